/**
 * Layers models of TensorFlow.js: model.json and its shards.
 *
 * @module
 */
export type { ImportedModel } from "../imported_model.ts";
export type { ImportLayersOptions, KerasCut } from "../keras/model.ts";
export { importTfjs } from "./import.ts";
export { readTfjs, shardPaths, type TfjsShards } from "./read.ts";
export type { KerasFile, KerasWeight, KerasWeights } from "../keras/weights.ts";
