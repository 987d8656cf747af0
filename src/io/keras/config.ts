/**
 * Reading Keras' JSON configs: config.json, the attribute model_config, model.to_json(), and
 * modelTopology of TensorFlow.js. Every field may hold anything.
 *
 * @module
 */
import { failRange, isObject } from "../../core/errors.ts";

/** An object of JSON. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** An own field of an object; undefined if missing. */
export function fieldOf(value: unknown, ...names: string[]): unknown {
  if (!isObject(value)) return undefined;
  const name = names.find((name) => Object.hasOwn(value, name));
  return name === undefined ? undefined : (value as JsonObject)[name];
}

/** A layer of a model, or the model itself. */
export interface KerasLayer {
  /** The name of its class. */
  readonly className: string;
  /** Its name; empty for unnamed layers inside wrappers. */
  readonly name: string;
  /** Its options, by Keras' names. */
  readonly config: JsonObject;
  /** The calls of a functional model's layer, as in the file; null in a Sequential. */
  readonly calls: readonly unknown[] | null;
}

/** A model, from its config. */
export interface KerasConfig {
  /** Its layers, in the file's order. */
  readonly layers: readonly KerasLayer[];
  /** Whether each layer reads the one before it. */
  readonly sequential: boolean;
  /** Names of the output layers; the last layer of a Sequential. */
  readonly outputs: readonly string[];
}

const SEQUENTIAL = "Sequential";

/** Largest nesting depth of lists of tensors. */
const MAX_DEPTH = 8;
const FUNCTIONAL: readonly unknown[] = ["Functional", "Model"];

/** Requires a layer's config. */
export function readLayer(at: string, value: unknown): KerasLayer {
  const className = fieldOf(value, "class_name");
  const config = fieldOf(value, "config") ?? {};
  if (typeof className !== "string") failRange(at, "a layer with class_name and config", value);
  if (!isObject(config) || Array.isArray(config)) failRange(`${at}.config`, "an object", config);
  const name = fieldOf(config, "name") ?? fieldOf(value, "name") ?? "";
  if (typeof name !== "string") failRange(`${at}.name`, "a text", name);
  const calls = fieldOf(value, "inbound_nodes") ?? null;
  if (calls !== null && !Array.isArray(calls)) failRange(`${at}.inbound_nodes`, "a list", calls);
  return { className, name, config: config as JsonObject, calls };
}

/** The tensors in a list, `["name", 0, 0]` each, possibly nested. */
export function tensorsIn(at: string, value: unknown, depth = 0): string[] {
  if (!Array.isArray(value) || depth > MAX_DEPTH) failRange(at, "tensors of layers", value);
  if (typeof value[0] !== "string") {
    return value.flatMap((each) => tensorsIn(at, each, depth + 1));
  }
  const [name, call = 0, output = 0] = value;
  if (call !== 0) failRange(at, "layers that are called once", `call ${call} of ${name}`);
  if (output !== 0) failRange(at, "the first output of a layer", `output ${output} of ${name}`);
  return [name];
}

/**
 * Reads a model's config.
 *
 * @throws {RangeError} If it is no config.
 */
export function readConfig(value: unknown): KerasConfig {
  const className = fieldOf(value, "class_name");
  const config = fieldOf(value, "config");
  const sequential = className === SEQUENTIAL;
  if (!sequential && !FUNCTIONAL.includes(className)) {
    failRange("config.class_name", "Sequential, Functional or Model", className);
  }
  // Before Keras 2.2.3 the config of a Sequential was the list of its layers.
  const list = Array.isArray(config) ? config : fieldOf(config, "layers");
  if (!Array.isArray(list) || list.length === 0) failRange("config.layers", "layers", list);
  const layers = list.map((each, i) => readLayer(`config.layers[${i}]`, each));
  const outputs = sequential
    ? [layers.at(-1)!.name]
    : tensorsIn("config.output_layers", fieldOf(config, "output_layers"));
  return { layers, sequential, outputs };
}
