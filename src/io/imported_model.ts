/**
 * What an importer of another library's files gives.
 *
 * @module
 */
import type { Graph } from "../modules/graph.ts";

/** A float model out of a file, and what is to be known about it. */
export interface ImportedModel {
  /** The float model: prepare and convert quantize it. */
  readonly model: Graph;
  /**
   * What was left out, rounded or assumed, a sentence each, naming the tensor, node or layer; empty
   * where there is nothing to say.
   */
  readonly notes: readonly string[];
}
