/**
 * Layers models of TensorFlow.js as float models.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import type { ImportedModel } from "../imported_model.ts";
import { importLayers, type ImportLayersOptions, LAYER_OPTIONS } from "../keras/model.ts";
import { readTfjs, type TfjsShards } from "./read.ts";

/**
 * Makes a float model from a layers model of TensorFlow.js. Modules are named after the layers,
 * take [batch, steps, ...] and compute the same as TensorFlow.js, in float32.
 *
 * @param modelJson The text of model.json, or the parsed value.
 * @param shards The files that it names, by name, or their concatenation.
 * @throws {TypeError} If an argument is of another type, or an option is unknown.
 * @throws {RangeError} If the files cannot be read, or a layer is not supported: the message names
 * it and lists the supported ones.
 *
 * @example
 * ```ts
 * import { importTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
 * import { assertEquals } from "@std/assert";
 * const folder = "tests/models/tfjs-made/lstm-chars-uint8";
 * const json = JSON.parse(await Deno.readTextFile(`${folder}/model.json`));
 * const shards = new Map<string, Uint8Array>();
 * for (const path of shardPaths(json)) shards.set(path, await Deno.readFile(`${folder}/${path}`));
 * const { model } = importTfjs(json, shards, { cut: { activation: false } });
 * assertEquals([...model.children.keys()], [
 *   "emb",
 *   "lstm_a",
 *   "lstm_b",
 *   "lstm_b_last",
 *   "hid",
 *   "hid_relu",
 *   "out",
 * ]);
 * ```
 */
export function importTfjs(
  modelJson: string | object,
  shards: TfjsShards,
  options: ImportLayersOptions = {},
): ImportedModel {
  checkOptions("options", options, LAYER_OPTIONS);
  return importLayers(readTfjs(modelJson, shards), options);
}
