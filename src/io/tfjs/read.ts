/**
 * Reading layers models of TensorFlow.js: model.json and its shards. Every file is treated as
 * hostile.
 *
 * @module
 */
import { bytesOf, type BytesSource } from "../../core/bytes.ts";
import { failRange, failType, isObject } from "../../core/errors.ts";
import { fieldOf, readConfig } from "../keras/config.ts";
import { SMALL_FLOATS } from "../small_floats.ts";
import type { KerasFile, KerasWeight } from "../keras/weights.ts";

/**
 * The shards of a model, by their paths in model.json, or concatenated.
 *
 * @example
 * ```ts
 * import { importTfjs, type TfjsShards } from "@splitgate/splitgate/import/tfjs";
 * const folder = "tests/models/tfjs-made/bilstm-gru-sensors";
 * const json = await Deno.readTextFile(`${folder}/model.json`);
 * const shards: TfjsShards = await Deno.readFile(`${folder}/group1-shard1of1.bin`); // or a Map
 * importTfjs(json, shards);
 * ```
 */
export type TfjsShards = ReadonlyMap<string, BytesSource> | BytesSource;

/** For each type, the bytes of a value and a reader of values. */
const STORED: Readonly<
  Record<string, readonly [size: number, read: (bytes: ArrayBuffer) => ArrayLike<number>]>
> = {
  float32: [4, (bytes) => new Float32Array(bytes)],
  float16: [2, (bytes) => SMALL_FLOATS.get("F16")!.widen(new Uint8Array(bytes))],
  uint16: [2, (bytes) => new Uint16Array(bytes)],
  uint8: [1, (bytes) => new Uint8Array(bytes)],
  int32: [4, (bytes) => new Int32Array(bytes)],
  bool: [1, (bytes) => new Uint8Array(bytes)],
};

/**
 * The paths of the shards that a model.json names, in their order.
 *
 * @example
 * ```ts
 * import { shardPaths } from "@splitgate/splitgate/import/tfjs";
 * import { assertEquals } from "@std/assert";
 * const modelJson = { weightsManifest: [{ paths: ["group1-shard1of1.bin"], weights: [] }] };
 * assertEquals(shardPaths(modelJson), ["group1-shard1of1.bin"]);
 * ```
 */
export function shardPaths(modelJson: unknown): string[] {
  return groupsOf(modelJson).flatMap(({ paths }) => paths);
}

interface Group {
  readonly paths: readonly string[];
  readonly weights: readonly unknown[];
}

function groupsOf(json: unknown): Group[] {
  const manifest = fieldOf(json, "weightsManifest");
  if (!Array.isArray(manifest)) failRange("weightsManifest", "a list of groups", manifest);
  return manifest.map((group, i) => {
    const paths = fieldOf(group, "paths");
    const weights = fieldOf(group, "weights");
    const at = `weightsManifest[${i}]`;
    if (!Array.isArray(paths) || paths.some((path) => typeof path !== "string")) {
      failRange(`${at}.paths`, "a list of texts", paths);
    }
    if (!Array.isArray(weights)) failRange(`${at}.weights`, "a list of weights", weights);
    return { paths, weights };
  });
}

/** The bytes of a group's shards. */
function joinShards(
  paths: readonly string[],
  shards: ReadonlyMap<string, BytesSource>,
): Uint8Array {
  const parts = paths.map((path) => {
    const shard = shards.get(path);
    if (shard === undefined) failRange("shards", `the bytes of ${path}`, shard);
    return bytesOf(`shards.${path}`, shard);
  });
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Reads a weight at an offset of its group's bytes, and returns its size in bytes, too. */
function readWeight(bytes: Uint8Array, start: number, value: unknown): [KerasWeight, number] {
  const name = fieldOf(value, "name");
  const shape = fieldOf(value, "shape");
  if (typeof name !== "string") failRange("weightsManifest", "weights with names", value);
  const quantization = fieldOf(value, "quantization");
  const dtype = fieldOf(quantization ?? value, "dtype");
  const type = typeof dtype === "string" && Object.hasOwn(STORED, dtype) ? STORED[dtype] : null;
  if (!type) return failRange(`${name}.dtype`, Object.keys(STORED).join(", "), dtype);
  const whole = Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (!whole) failRange(`${name}.shape`, "a list of integers", shape);
  const length = (shape as number[]).reduce((product, n) => product * n, 1);
  const [size, read] = type;
  if (!(start + length * size <= bytes.length)) {
    failRange("shards", `${start + length * size} bytes, up to the end of ${name}`, bytes.length);
  }
  // uint8 and uint16 are quantized by a minimum and a scale; float16 is not.
  const { scale = 1, min = 0 } = { ...Object(quantization) } as { scale?: number; min?: number };
  for (const number of [scale, min]) {
    if (!Number.isFinite(number)) failRange(`${name}.quantization`, "numbers", number);
  }
  const stored = read(Uint8Array.from(bytes.subarray(start, start + length * size)).buffer);
  const data = Float32Array.from(stored, (value) => value * scale + min);
  return [{ name, shape: shape as number[], data, dtype: dtype as string }, length * size];
}

/**
 * The layer of a weight: the first part of its name that is a layer's name, or else its first part.
 */
function layerOf(name: string, layers: ReadonlySet<string>): string {
  const parts = name.split("/");
  return parts.find((part) => layers.has(part)) ?? parts[0]!;
}

/**
 * Reads a layers model of TensorFlow.js. Weights come as float32, quantized ones (uint8, uint16,
 * float16) dequantized, by layer, in Keras' layout and order.
 *
 * @param modelJson The text of model.json, or the parsed value.
 * @param shards The files that it names ({@linkcode shardPaths}), by name, or their concatenation.
 * @throws {TypeError} If an argument is of another type.
 * @throws {RangeError} If it is no layers model, or a file is missing or too short.
 *
 * @example
 * ```ts
 * import { readTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
 * import { assertEquals } from "@std/assert";
 * const folder = "tests/models/tfjs-made/lstm-chars";
 * const json = JSON.parse(await Deno.readTextFile(`${folder}/model.json`));
 * const shards = new Map<string, Uint8Array>();
 * for (const path of shardPaths(json)) shards.set(path, await Deno.readFile(`${folder}/${path}`));
 * const { weights } = readTfjs(json, shards);
 * assertEquals(weights.get("emb")![0]!.shape, [50, 16]);
 * ```
 */
export function readTfjs(modelJson: string | object, shards: TfjsShards): KerasFile {
  let json: unknown = modelJson;
  if (typeof modelJson === "string") {
    try {
      json = JSON.parse(modelJson);
    } catch (error) {
      failRange("modelJson", "JSON", `${error}`);
    }
  } else if (!isObject(modelJson)) failType("modelJson", "the text of model.json", modelJson);
  const topology = fieldOf(json, "modelTopology");
  if (!isObject(topology)) failRange("modelTopology", "a layers model", fieldOf(json, "format"));
  // Models converted from Keras' files have the config one level deeper.
  const config = fieldOf(topology, "model_config") ?? topology;
  const layers = new Set(readConfig(config).layers.map(({ name }) => name));
  const groups = groupsOf(json);
  const whole = isMap(shards) ? null : bytesOf("shards", shards);
  const weights = new Map<string, KerasWeight[]>();
  let start = 0;
  for (const { paths, weights: entries } of groups) {
    const bytes = whole ?? joinShards(paths, shards as ReadonlyMap<string, BytesSource>);
    if (whole === null) start = 0;
    for (const entry of entries) {
      const [weight, size] = readWeight(bytes, start, entry);
      start += size;
      const layer = layerOf(weight.name, layers);
      const known = weights.get(layer);
      if (known === undefined) weights.set(layer, [weight]);
      else known.push(weight);
    }
  }
  const version = fieldOf(topology, "keras_version");
  return { version: typeof version === "string" ? version : "", config, weights };
}

function isMap(value: TfjsShards): value is ReadonlyMap<string, BytesSource> {
  return Object.prototype.toString.call(value) === "[object Map]";
}
