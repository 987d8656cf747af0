/**
 * The result of importers of other libraries' files.
 *
 * @module
 */
import type { Graph } from "../modules/graph.ts";

/** A float model from a file, with notes. */
export interface ImportedModel {
  /** The float model: prepare and convert quantize it. */
  readonly model: Graph;
  /**
   * What was left out, rounded or assumed: a sentence each that names the tensor, node or layer.
   * Empty if there is nothing to report.
   */
  readonly notes: readonly string[];
}
