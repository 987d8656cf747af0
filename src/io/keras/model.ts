/**
 * From a file's layers to a Graph: its edges, its beginning and its end.
 *
 * @module
 */
import { checkFloat32, checkOptions } from "../../core/check.ts";
import { checkBoolean, failRange, failType, isObject } from "../../core/errors.ts";
import { INPUT } from "../../core/topology.ts";
import { Graph } from "../../modules/graph.ts";
import type { ImportedModel } from "../imported_model.ts";
import { Builder, type Flow } from "./builder.ts";
import { fieldOf, type KerasConfig, type KerasLayer, readConfig, tensorsIn } from "./config.ts";
import { LAYERS, SUPPORTED } from "./layers.ts";
import type { KerasFile } from "./weights.ts";

/**
 * Where an imported model begins and ends.
 *
 * @example
 * ```ts
 * import { importKeras, type KerasCut } from "@splitgate/splitgate/import/keras";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/keras-made/lstm.keras");
 * const cut: KerasCut = { from: "lstm", to: "dense" }; // both are part of it
 * const names = [...importKeras(bytes, { cut }).model.children.keys()];
 * assertEquals(names, ["lstm", "lstm_last", "dense", "dense_softmax"]);
 * ```
 */
export interface KerasCut {
  /** The first layer; those before it are left out. */
  readonly from?: string;
  /** The last layer; those after it are left out. */
  readonly to?: string;
  /**
   * Whether the last layer's activation is included; with false the model returns logits. true by
   * default.
   */
  readonly activation?: boolean;
}

/**
 * Options for importing layers.
 *
 * @example
 * ```ts
 * import { importKeras, type ImportLayersOptions } from "@splitgate/splitgate/import/keras";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/keras-made/lstm.keras");
 * const options: ImportLayersOptions = { cut: "lstm" }; // ends at the layer of this name
 * const { model } = importKeras(bytes, options);
 * assertEquals([...model.children.keys()], ["first", "lstm", "lstm_last"]);
 * ```
 */
export interface ImportLayersOptions {
  /** Imports a part of the model; a string names its last layer. */
  readonly cut?: string | KerasCut;
  /**
   * "lengths": the caller removes the steps that Masking or an Embedding with mask_zero masks and
   * passes `lengths` (see `skipMasked`); without this option a model of which they change the
   * result is refused. The model's `maskValue` says which steps these are.
   */
  readonly masking?: "lengths";
}

/** The names of these options. */
export const LAYER_OPTIONS = ["cut", "masking"] as const;

/** Largest number of layers. */
const MAX_LAYERS = 1000;

/** Dtypes with values that float32 cannot represent. */
const ROUNDED = /^(.f8|.[iu][48]|int32)$/;

const INPUT_LAYER = "InputLayer";

/** Requires options. */
function checkCut(cut: unknown): KerasCut {
  if (typeof cut === "string") return { to: cut };
  if (cut === undefined) return {};
  checkOptions("options.cut", cut, ["from", "to", "activation"]);
  const { from, to, activation = true } = cut as Record<string, unknown>;
  for (const [key, value] of Object.entries({ from, to })) {
    if (value !== undefined && typeof value !== "string") {
      failType(`options.cut.${key}`, "the name of a layer", value);
    }
  }
  checkBoolean("options.cut.activation", activation);
  return cut as KerasCut;
}

/** Declared dimensions of a layer's input, after the batch; null if it declares none. */
function inputDims({ config }: KerasLayer): (number | null)[] | null {
  const shape = fieldOf(config, "batch_shape", "batch_input_shape");
  if (!Array.isArray(shape) || shape.length < 2) return null;
  return shape.slice(1).map((n) => Number.isSafeInteger(n) && n > 0 ? n : null);
}

/** Names of a layer's input layers. */
function readsOf(layer: KerasLayer): string[] {
  const at = `layer ${layer.name} (${layer.className})`;
  const { calls } = layer;
  if (calls === null || calls.length === 0) return [];
  if (calls.length > 1) failRange(at, "a layer that is called once", `${calls.length} calls`);
  const [call] = calls;
  // Since Keras 3 a call has args, in which tensors are objects.
  const tensors = isObject(call) && !Array.isArray(call)
    ? kerasTensors(fieldOf(call, "args"))
    : call;
  const initial = kerasTensors(fieldOf(call, "kwargs"));
  if (initial.length > 0) failRange(at, "a layer without further tensors", "initial states");
  return tensorsIn(at, tensors);
}

/** The tensors in the arguments of a call, as lists of name, call and output. */
function kerasTensors(value: unknown, depth = 0): unknown[] {
  if (!isObject(value) || depth > 8) return [];
  const history = fieldOf(fieldOf(value, "config"), "keras_history");
  if (history !== undefined) return [history];
  return Object.values(value).flatMap((each) => kerasTensors(each, depth + 1));
}

/** The inputs of the layers of a functional model or a Sequential. */
function readersOf({ layers, sequential }: KerasConfig): Map<string, readonly string[]> {
  const reads = new Map<string, readonly string[]>();
  layers.forEach((layer, i) => {
    if (reads.has(layer.name)) failRange("config.layers", "layers of different names", layer.name);
    const before = i === 0 ? [] : [layers[i - 1]!.name];
    reads.set(layer.name, sequential ? before : readsOf(layer));
  });
  return reads;
}

/**
 * What masked steps of the model's input hold, if leaving them out gives what Keras gives.
 *
 * @throws {RangeError} If it does not: the message names the layer.
 */
function maskValueOf(builder: Builder, masking: "lengths" | undefined): number | null {
  const { masks, maskReaders, maskIgnorers, besideMask, notes } = builder;
  const [first] = masks;
  if (first === undefined) return null;
  const { layer, what, value } = first;
  if (maskReaders.length === 0) {
    notes.push(`${layer}: ${what}, which changes nothing here: no layer behind it heeds a mask`);
    return null;
  }
  const cure = "the option cut imports a part of the model";
  const inner = masks.find(({ ofInput }) => !ofInput);
  if (inner !== undefined) {
    failRange(inner.layer, `a mask of the model's input (${cure})`, "one of what a layer gives");
  }
  const other = masks.find((each) => each.value !== value);
  if (other !== undefined) failRange(other.layer, `the mask of ${layer}, ${value}`, other.value);
  const [ignorer] = maskIgnorers;
  if (ignorer !== undefined) {
    failRange(
      ignorer,
      `only layers that leave masked steps out, since ${layer} masks some (${cure})`,
      "another",
    );
  }
  const [beside] = besideMask;
  if (beside !== undefined) {
    failRange(`layer ${beside}`, `the input behind the mask of ${layer} (${cure})`, "all steps");
  }
  if (masking !== "lengths") {
    failRange(
      layer,
      `a layer without masking: ${what}. Import with masking: "lengths" and leave such steps ` +
        "out, as skipMasked does",
      "one with it",
    );
  }
  notes.push(`${layer}: ${what}; what runs the model leaves them out, since they change no state`);
  return checkFloat32(`${layer}.mask_value`, value);
}

/**
 * Makes a Graph of a file's layers.
 *
 * @throws {RangeError} If a layer is not supported: the message names the first one by name and
 * class, and lists the supported ones.
 */
export function importLayers(file: KerasFile, options: ImportLayersOptions): ImportedModel {
  const { cut, masking } = options;
  const { from, to, activation = true } = checkCut(cut);
  if (masking !== undefined && masking !== "lengths") {
    failRange("options.masking", '"lengths"', masking);
  }
  if (file.config === null) {
    failRange("options.config", "the model's config (model.to_json()): the file has none", null);
  }
  const config = readConfig(file.config);
  const { layers } = config;
  if (layers.length > MAX_LAYERS) {
    failRange("config.layers", `at most ${MAX_LAYERS} layers`, layers.length);
  }
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const reads = readersOf(config);
  const builder = new Builder();
  const ends = to === undefined ? config.outputs : [to];
  for (const name of [...ends, ...from === undefined ? [] : [from]]) {
    if (!byName.has(name)) failRange("options.cut", [...byName.keys()].join(", "), name);
  }
  const flows = new Map<string, Flow | null>();
  let input: string | undefined;
  const start = (layer: KerasLayer): Flow => {
    if (input !== undefined) {
      const cure = "import a part of it by the option cut";
      failRange(`layer ${layer.name}`, `a model of one input, ${input} (${cure})`, "a second one");
    }
    input = layer.name;
    const unknown = layer.className === "Embedding" ? [null] : [null, null];
    return { name: INPUT, dims: inputDims(layer) ?? unknown };
  };
  const visit = (name: string): Flow => {
    const known = flows.get(name);
    if (known !== undefined) return known ?? failRange(`layer ${name}`, "no circle", "one");
    const layer = byName.get(name);
    if (layer === undefined) return failRange("config.layers", `a layer ${name}`, "none");
    flows.set(name, null);
    const { className } = layer;
    const own = reads.get(name)!;
    const begins = name === from || own.length === 0;
    const inputs = begins ? [start(layer)] : own.map(visit);
    if (!Object.hasOwn(LAYERS, className) && !(begins && className === INPUT_LAYER)) {
      failRange(`layer ${name} (${className})`, SUPPORTED, className);
    }
    const weights = file.weights.get(name) ?? [];
    const rounded = weights.filter(({ dtype }) => ROUNDED.test(dtype));
    if (rounded.length > 0) {
      const of = rounded.map((weight) => `${weight.name} (${weight.dtype})`).join(", ");
      builder.notes.push(`layer ${name}: weights are rounded to float32: ${of}`);
    }
    const flow = className === INPUT_LAYER ? inputs[0]! : LAYERS[className]!({
      layer,
      inputs,
      weights,
      builder,
      version: file.version,
      activation: activation || !ends.includes(name),
    });
    flows.set(name, flow);
    return flow;
  };
  const outputs = ends.map((name) => builder.plain(visit(name)).name);
  const maskValue = maskValueOf(builder, masking);
  return {
    model: new Graph(builder.children, {
      // Two layers without effect can share a value.
      outputs: [...new Set(outputs)],
      ...maskValue !== null && { maskValue },
    }),
    notes: builder.notes,
  };
}
