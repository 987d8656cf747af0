/**
 * The result of importers of other libraries' files.
 *
 * @module
 */
import type { Graph } from "../modules/graph.ts";

/**
 * A float model from a file, with notes.
 *
 * @example
 * ```ts
 * import { quantize } from "@splitgate/splitgate";
 * import { importKeras } from "@splitgate/splitgate/import/keras";
 * import type { ImportedModel } from "@splitgate/splitgate/import/keras";
 * const bytes = await Deno.readFile("tests/models/keras-made/lstm.keras");
 * const { model, notes }: ImportedModel = importKeras(bytes);
 * for (const note of notes) console.warn(note); // what was left out or assumed
 * await quantize(model, [new Float32Array(36).fill(0.5)]);
 * ```
 */
export interface ImportedModel {
  /** The float model: prepare and convert quantize it. */
  readonly model: Graph;
  /**
   * What was left out, rounded or assumed: a sentence each that names the tensor, node or layer.
   * Empty if there is nothing to report.
   */
  readonly notes: readonly string[];
}
