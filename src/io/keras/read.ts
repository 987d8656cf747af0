/**
 * Reading Keras' files: HDF5 of Keras 1.2 to 3 (`.h5`, `.hdf5`, `.weights.h5`) and the archives of
 * Keras 3 (`.keras`). Every file is treated as hostile.
 *
 * @module
 */
import { Unzip, UnzipInflate } from "fflate/browser";
import { bytesOf, type BytesSource } from "../../core/bytes.ts";
import { checkOptions } from "../../core/check.ts";
import { failRange, failType, isObject } from "../../core/errors.ts";
import { recognize } from "../recognize.ts";
import { fieldOf, type KerasLayer, readConfig } from "./config.ts";
import { type Hdf5Node, openHdf5 } from "./hdf5.ts";
import type { KerasFile, KerasWeight, KerasWeights } from "./weights.ts";

/**
 * Options of {@linkcode readKeras}.
 *
 * @example
 * ```ts
 * import { importKeras, type ReadKerasOptions } from "@splitgate/splitgate/import/keras";
 * const folder = "tests/models/keras-made";
 * const options: ReadKerasOptions = {
 *   config: await Deno.readTextFile(`${folder}/lstm.json`), // what model.to_json() gave
 * };
 * importKeras(await Deno.readFile(`${folder}/lstm.weights.h5`), options);
 * ```
 */
export interface ReadKerasOptions {
  /** The config of a weights file: the result of `model.to_json()`, or the parsed value. */
  readonly config?: string | object;
}

const CONFIG = "config.json";
const METADATA = "metadata.json";
const WEIGHTS = "model.weights.h5";

/** Bytes that an archive may unpack to, in addition to a multiple of its size. */
const FREE_BYTES = 2 ** 24;
const MAX_RATIO = 4;

/** Bytes of an archive that are inflated at a time. */
const PIECE = 4096;

/** Largest nesting depth of groups. */
const MAX_DEPTH = 16;

/** The files of Keras' archives, by name. */
function unzip(bytes: Uint8Array): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  let left = FREE_BYTES + MAX_RATIO * bytes.length;
  try {
    const archive = new Unzip((file) => {
      if (![CONFIG, METADATA, WEIGHTS].includes(file.name) || found.has(file.name)) return;
      const pieces: Uint8Array[] = [];
      file.ondata = (error, piece, final) => {
        if (error) throw error;
        left -= piece.length;
        if (left < 0) throw new RangeError("a bomb: far more bytes than a model of its size has");
        pieces.push(piece.slice());
        if (final) found.set(file.name, joined(pieces));
      };
      file.start();
    });
    archive.register(UnzipInflate);
    for (let at = 0; at < bytes.length; at += PIECE) {
      archive.push(bytes.subarray(at, at + PIECE), at + PIECE >= bytes.length);
    }
  } catch (error) {
    failRange("bytes", "a readable zip archive", `${error}`);
  }
  return found;
}

/** Concatenates pieces. */
function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** Requires JSON. */
function parseConfig(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return failRange(name, "JSON", `${error}`);
  }
}

/** A list of strings, in one attribute or, if it is long, in several numbered ones. */
function list(node: Hdf5Node, attribute: string): string[] | undefined {
  const whole = node.texts(attribute);
  if (whole !== undefined) return whole;
  const parts: string[] = [];
  for (let i = 0;; i++) {
    const part = node.texts(`${attribute}${i}`);
    if (part === undefined) return i === 0 ? undefined : parts;
    parts.push(...part);
  }
}

function weightOf(name: string, node: Hdf5Node): KerasWeight {
  const { shape, data, dtype } = node.read();
  return { name, shape, data, dtype };
}

/** Weights by layer of Keras 1 and 2, and of Keras 3's `.h5`. */
function namedWeights(root: Hdf5Node, layers: readonly string[]): KerasWeights {
  const weights = new Map<string, KerasWeight[]>();
  for (const layer of layers) {
    const group = root.get(layer);
    if (group === undefined) failRange(`layer ${layer}`, "a group of its weights", "none");
    const names = list(group, "weight_names") ?? [];
    weights.set(
      layer,
      names.map((name) => {
        const node = group.get(name);
        if (!node?.isArray) failRange(`layer ${layer}`, `its weight ${name}`, "none");
        return weightOf(name, node);
      }),
    );
  }
  return weights;
}

/** Keras sorts directions alphabetically, backward first; forward comes first here. */
function inOrder(a: string, b: string): number {
  const key = (name: string) => name.startsWith("forward") ? `a${name}` : `b${name}`;
  return /^\d+$/.test(a) && /^\d+$/.test(b) ? Number(a) - Number(b) : key(a) < key(b) ? -1 : 1;
}

/** All weights below a group. */
function weightsBelow(group: Hdf5Node, prefix = "", depth = 0): KerasWeight[] {
  if (depth > MAX_DEPTH) failRange(group.path, `at most ${MAX_DEPTH} groups in groups`, "more");
  return group.names().sort(inOrder).flatMap((name) => {
    const node = group.get(name);
    if (node === undefined) return [];
    return node.isArray
      ? weightOf(prefix + name, node)
      // Dropout's random state.
      : name === "seed_generator"
      ? []
      : weightsBelow(node, `${prefix}${name}/`, depth + 1);
  });
}

/** Keras' snake_case of a class name, after which Keras 3 names groups. */
function snakeCase(className: string): string {
  return className.replace(/\W+/g, "").replace(/(.)([A-Z][a-z]+)/g, "$1_$2")
    .replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();
}

/** Weights by layer of Keras 3, whose groups are named after the layers' classes. */
function numberedWeights(groups: Hdf5Node, layers: readonly KerasLayer[]): KerasWeights {
  const counts = new Map<string, number>();
  const weights = new Map<string, KerasWeight[]>();
  for (const { className, name } of layers) {
    const key = snakeCase(className);
    const count = counts.get(key) ?? 0;
    counts.set(key, count + 1);
    const group = groups.get(count === 0 ? key : `${key}_${count}`) ?? groups.get(name);
    weights.set(name, group === undefined ? [] : weightsBelow(group));
  }
  return weights;
}

/** The version that wrote a config: only Keras 3 gives the modules of classes. */
function versionOf(config: unknown): string {
  const version = fieldOf(config, "keras_version");
  if (typeof version === "string") return version;
  return fieldOf(config, "module") === undefined ? "" : "3";
}

function readHdf5(bytes: Uint8Array, given: unknown, writtenBy: string): KerasFile {
  const root = openHdf5(bytes);
  const model = root.get("model_weights") ?? root;
  const text = root.texts("model_config")?.[0];
  const own = text === undefined ? null : parseConfig("model_config", text);
  const config = own ?? given;
  const version = (root.texts("keras_version") ?? model.texts("keras_version"))?.[0] ??
    (writtenBy || versionOf(config));
  const names = list(model, "layer_names");
  if (names !== undefined) {
    return { version, config, weights: namedWeights(model, names) };
  }
  const groups = root.get("layers") ?? root.get("_layer_checkpoint_dependencies");
  if (groups === undefined) {
    failRange("bytes", "a file of Keras, with layer_names or layers", "other HDF5");
  }
  if (config === null) {
    const expected = "the config that belongs to these weights (what model.to_json() gave)";
    return failRange("options.config", expected, undefined);
  }
  return {
    version,
    config,
    weights: numberedWeights(groups, readConfig(config).layers),
  };
}

/**
 * Reads a Keras file: a whole model (`.h5`, `.hdf5`, `.keras`), or a weights file and its config.
 * Weights are returned as float32 by layer, in Keras' layout and order; optimizer weights are
 * ignored.
 *
 * @param bytes A whole file, in a view or buffer of any kind.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view, or an option is unknown.
 * @throws {RangeError} If it is no such file or damaged, an array is chunked or not numeric, or the
 * config is missing.
 *
 * @example
 * ```ts
 * import { readKeras } from "@splitgate/splitgate/import/keras";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/ao_gru_a/gru_model.keras");
 * const { version, weights } = readKeras(bytes);
 * assertEquals(version, "3.13.2");
 * assertEquals(weights.get("dense")!.map(({ name, shape }) => [name, shape]), [
 *   ["vars/0", [16, 2]],
 *   ["vars/1", [2]],
 * ]);
 * ```
 */
export function readKeras(bytes: BytesSource, options: ReadKerasOptions = {}): KerasFile {
  const file = bytesOf("bytes", bytes);
  checkOptions("options", options, ["config"]);
  const { config = null } = options;
  if (config !== null && typeof config !== "string" && !isObject(config)) {
    failType("options.config", "JSON, or what it stands for", config);
  }
  const given = typeof config === "string" ? parseConfig("options.config", config) : config;
  const start = String.fromCharCode(...file.subarray(0, 4));
  if (start === "\x89HDF") return readHdf5(file, given, "");
  if (start !== "PK\x03\x04") {
    const known = recognize(file);
    return failRange("bytes", "a file of Keras (.h5, .hdf5, .keras)", known?.kind ?? start);
  }
  const files = unzip(file);
  const text = (name: string) => {
    const entry = files.get(name);
    if (entry === undefined) failRange("bytes", `an archive of Keras, with ${name}`, "none");
    return new TextDecoder().decode(entry);
  };
  const own = parseConfig(CONFIG, text(CONFIG));
  const version = fieldOf(parseConfig(METADATA, text(METADATA)), "keras_version");
  const weights = files.get(WEIGHTS);
  if (weights === undefined) {
    failRange("bytes", `an archive of Keras, with ${WEIGHTS} in one file`, "none");
  }
  return readHdf5(weights, own, typeof version === "string" ? version : "");
}
