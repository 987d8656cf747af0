/**
 * Keras' files as float models.
 *
 * @module
 */
import type { BytesSource } from "../../core/bytes.ts";
import { checkOptions } from "../../core/check.ts";
import type { ImportedModel } from "../imported_model.ts";
import { importLayers, type ImportLayersOptions, LAYER_OPTIONS } from "./model.ts";
import { readKeras, type ReadKerasOptions } from "./read.ts";

/**
 * Options of {@linkcode importKeras}.
 *
 * @example
 * ```ts
 * import { importKeras, type ImportKerasOptions } from "@splitgate/splitgate/import/keras";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/keras-made/lstm.keras");
 * const options: ImportKerasOptions = { cut: { activation: false } }; // logits
 * assertEquals([...importKeras(bytes, options).model.children.keys()].at(-1), "dense");
 * ```
 */
export interface ImportKerasOptions extends ReadKerasOptions, ImportLayersOptions {}

/**
 * Makes a float model from a file of Keras 1.2 to 3: `.h5`, `.hdf5` or `.keras`, or a weights file
 * and its config. Modules are named after the layers, take [batch, steps, ...] and compute the same
 * as Keras, in float32.
 *
 * @param bytes A whole file, in a view or buffer of any kind.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view, or an option is unknown or of the
 * wrong type.
 * @throws {RangeError} If the file cannot be read, or a layer is not supported: the message names
 * it and lists the supported ones.
 *
 * @example
 * ```ts
 * import { importKeras } from "@splitgate/splitgate/import/keras";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/astrorapid/ZTF_unknown_redshift.hdf5");
 * const { model, notes } = importKeras(bytes, { masking: "lengths" });
 * assertEquals([...model.children.keys()], [
 *   "lstm",
 *   "lstm_1",
 *   "time_distributed",
 *   "time_distributed_softmax",
 * ]);
 * assertEquals([notes.length, model.maskValue], [1, 0]);
 * ```
 */
export function importKeras(bytes: BytesSource, options: ImportKerasOptions = {}): ImportedModel {
  checkOptions("options", options, ["config", ...LAYER_OPTIONS]);
  const { config, ...layers } = options;
  return importLayers(readKeras(bytes, config === undefined ? {} : { config }), layers);
}
