/**
 * Models of Keras: `.h5`, `.hdf5`, `.keras`, and weights with a config beside them.
 *
 * @module
 */
export type { ImportedModel } from "../imported_model.ts";
export { importKeras, type ImportKerasOptions } from "./import.ts";
export { skipMasked, type UnmaskedSequences } from "./masking.ts";
export type { ImportLayersOptions, KerasCut } from "./model.ts";
export { readKeras, type ReadKerasOptions } from "./read.ts";
export type { KerasFile, KerasWeight, KerasWeights } from "./weights.ts";
