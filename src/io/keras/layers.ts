/**
 * Keras' layers as modules of a graph, each by its class.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { Add } from "../../modules/add/float.ts";
import { BatchNorm1d } from "../../modules/batch_norm/float.ts";
import { Concat } from "../../modules/concat/float.ts";
import { Embedding } from "../../modules/embedding/float.ts";
import { FinalHidden } from "../../modules/final_hidden/float.ts";
import { LastStep } from "../../modules/last_step/float.ts";
import { LayerNorm } from "../../modules/layer_norm/float.ts";
import { LeakyReLU } from "../../modules/leaky_relu/float.ts";
import { Linear } from "../../modules/linear/float.ts";
import { LSTM } from "../../modules/lstm/float.ts";
import { MaxOverTime } from "../../modules/max_over_time/float.ts";
import { MeanOverTime } from "../../modules/mean_over_time/float.ts";
import type { Module } from "../../modules/module.ts";
import { ReLU } from "../../modules/relu/float.ts";
import { UnitNorm } from "../../modules/unit_norm/float.ts";
import { Softmax } from "../../modules/softmax/float.ts";
import { type Builder, type Flow, sizeOf, withSize } from "./builder.ts";
import { type CellTensors, cellTensors, type Gates, LSTM_GATES } from "./cells.ts";
import { fieldOf, type JsonObject, type KerasLayer, readLayer } from "./config.ts";
import {
  activationModule,
  activationName,
  cellActivation,
  gateActivation,
  isKeras3,
} from "./functions.ts";
import { checkWeight, forHalves, transposed } from "./tensors.ts";
import { type KerasWeight, weightsFor } from "./weights.ts";

/** A layer, and what it is made into modules with. */
export interface LayerCall {
  readonly layer: KerasLayer;
  /** What it reads. */
  readonly inputs: readonly Flow[];
  readonly weights: readonly KerasWeight[];
  readonly builder: Builder;
  /** Who wrote the file. */
  readonly version: string;
  /** Whether padding is left to lengths. */
  readonly masking: "lengths" | undefined;
  /** Whether its activation is wanted. */
  readonly activation: boolean;
}

/** Makes modules of a layer and gives its value. */
type Import = (call: LayerCall) => Flow;

/** Keras' default where a config does not say it. */
const EPSILON = 1e-3;
const LEAKY_RELU_SLOPE = 0.3;

/** What messages call a layer. */
function nameOf({ className, name }: KerasLayer): string {
  return `layer ${name} (${className})`;
}

/** The one value that a layer reads. */
function inputOf({ layer, inputs, builder }: LayerCall): Flow {
  const [flow, ...others] = inputs;
  if (flow === undefined || others.length > 0) {
    failRange(nameOf(layer), "one input", inputs.length);
  }
  return builder.plain(flow);
}

/** The same for layers whose weights multiply it: two directions are added up by them. */
function projectedOf(call: LayerCall): Flow {
  const [flow] = call.inputs;
  return call.inputs.length === 1 ? flow! : inputOf(call);
}

/** Refuses options that have other values than these. */
function refuse(layer: KerasLayer, config: JsonObject, values: JsonObject): void {
  for (const [key, expected] of Object.entries(values)) {
    const value = fieldOf(config, key);
    if (value !== undefined && value !== null && value !== expected) {
      failRange(`${nameOf(layer)}.${key}`, `${expected}`, value);
    }
  }
}

/** A flag; false where the config does not have it. */
function flag(value: unknown): boolean {
  return value === true;
}

/** Adds the activation of a layer behind it. */
function activated(call: LayerCall, flow: Flow, value: unknown): Flow {
  const { layer, builder, version } = call;
  const module = activationModule(`${nameOf(layer)}.activation`, value, version);
  if (module === null || !call.activation) return flow;
  return builder.add(`${flow.name}_${activationName(value)}`, module, [flow], flow.dims);
}

/** A layer without weights that gives values of the shape that it reads. */
function pointwise(make: (call: LayerCall) => Module): Import {
  return (call) => {
    const flow = inputOf(call);
    return call.builder.add(call.layer.name, make(call), [flow], flow.dims);
  };
}

/** A layer that does nothing when a model is used. */
function nothing({ layer, inputs: [flow, ...others] }: LayerCall): Flow {
  return flow !== undefined && others.length === 0
    ? flow
    : failRange(nameOf(layer), "one input", others.length);
}

function dense(call: LayerCall): Flow {
  const { layer, builder, weights } = call;
  const { config } = layer;
  const at = nameOf(layer);
  const flow = projectedOf(call);
  const bias = fieldOf(config, "use_bias", "bias") !== false;
  const [kernel, offset] = weightsFor(at, weights, ["kernel", ...bias ? ["bias"] : []]);
  checkWeight(`${at}.kernel`, kernel!, [undefined, undefined]);
  const size = kernel!.shape[1]!;
  if (bias) checkWeight(`${at}.bias`, offset!, [size]);
  const weight = transposed(forHalves(kernel!, flow));
  const linear = new Linear({ inFeatures: weight.shape[1]!, outFeatures: size, bias });
  const tensors = { weight, ...bias && { bias: offset! } };
  const out = builder.add(layer.name, linear, [flow], withSize(flow, size), tensors);
  return activated(call, out, fieldOf(config, "activation"));
}

function embedding(call: LayerCall): Flow {
  const { layer, builder, weights } = call;
  const at = nameOf(layer);
  const flow = inputOf(call);
  if (flag(fieldOf(layer.config, "mask_zero"))) masked(call, "mask_zero=True skips token 0");
  const [table] = weightsFor(at, weights, ["embeddings"]);
  checkWeight(`${at}.embeddings`, table!, [undefined, undefined]);
  const [numEmbeddings, embeddingDim] = table!.shape as [number, number];
  const module = new Embedding({ numEmbeddings, embeddingDim });
  return builder.add(layer.name, module, [flow], [...flow.dims, embeddingDim], { weight: table! });
}

/** What a layer that masks steps comes to. */
function masked({ layer, builder, masking }: LayerCall, what: string): void {
  if (masking !== "lengths") {
    failRange(
      nameOf(layer),
      `a layer without masking: ${what}. Where that is padding only, import with ` +
        'masking: "lengths" and give sequences without it, or the lengths of batches',
      "one with it",
    );
  }
  builder.notes.push(
    `${
      nameOf(layer)
    }: ${what}; here the lengths of sequences say what is padding, which stands behind`,
  );
}

function masking(call: LayerCall): Flow {
  const value = fieldOf(call.layer.config, "mask_value") ?? 0;
  masked(call, `steps of nothing but ${value} are skipped`);
  return nothing(call);
}

/** How a recurrent layer's class is read. */
interface RecurrentClass {
  readonly gates: Gates;
  readonly cudnn: boolean;
}

const RECURRENT: Readonly<Record<string, RecurrentClass>> = {
  LSTM: { gates: LSTM_GATES, cudnn: false },
  CuDNNLSTM: { gates: LSTM_GATES, cudnn: true },
};

/** Adds a module for a recurrent layer's one or two directions, and what ends its time. */
function recurrentModule(
  call: LayerCall,
  inner: KerasLayer,
  flow: Flow,
  directions: readonly (readonly KerasWeight[])[],
): Flow {
  const { layer, builder, version } = call;
  const { config, className } = inner;
  const at = nameOf(layer);
  const { gates, cudnn } = RECURRENT[className]!;
  refuse(layer, config, { time_major: false, return_state: false });
  const bias = fieldOf(config, "use_bias") !== false;
  const cells = directions.map((weights) => cellTensors(at, weights, flow, { gates, cudnn, bias }));
  const [{ inputSize, units }, second] = cells as [CellTensors, CellTensors?];
  if (second !== undefined && (second.units !== units || second.inputSize !== inputSize)) {
    failRange(at, `two directions of ${units} units`, second.units);
  }
  const gateDefault = isKeras3(version) ? "sigmoid" : "hard_sigmoid";
  const gate = fieldOf(config, "recurrent_activation", "inner_activation") ?? gateDefault;
  const module = new LSTM({
    inputSize,
    hiddenSize: units,
    bias,
    bidirectional: second !== undefined,
    batchFirst: true,
    ...cudnn ? {} : {
      gateActivation: gateActivation(`${at}.recurrent_activation`, gate, version),
      activation: cellActivation(`${at}.activation`, fieldOf(config, "activation") ?? "tanh"),
    },
  });
  const tensors: Record<string, Tensor> = {};
  cells.forEach(({ weightIh, weightHh, biases }, d) => {
    const suffix = d === 0 ? "_l0" : "_l0_reverse";
    tensors[`weight_ih${suffix}`] = weightIh;
    tensors[`weight_hh${suffix}`] = weightHh;
    if (biases === null) return;
    tensors[`bias_ih${suffix}`] = biases[0];
    tensors[`bias_hh${suffix}`] = biases[1];
  });
  const size = units * directions.length;
  if (flow.dims.length < 2) failRange(at, "an input with steps", flow.dims);
  const out = builder.add(layer.name, module, [flow], withSize(flow, size), tensors);
  if (flag(fieldOf(config, "stateful"))) {
    builder.notes.push(
      `${at}: stateful, which is what a session does: its state stays until reset()`,
    );
  }
  if (flag(fieldOf(config, "return_sequences"))) return out;
  const end = second === undefined
    ? new LastStep({ batchFirst: true })
    : new FinalHidden({ bidirectional: true, batchFirst: true });
  return builder.add(`${out.name}_last`, end, [out], [size]);
}

function recurrent(call: LayerCall): Flow {
  const { layer, weights } = call;
  const flow = projectedOf(call);
  if (!flag(fieldOf(layer.config, "go_backwards"))) {
    return recurrentModule(call, layer, flow, [weights]);
  }
  if (flag(fieldOf(layer.config, "return_sequences"))) {
    const expected =
      "return_sequences=False, since go_backwards=True gives steps in reversed order";
    failRange(`${nameOf(layer)}.return_sequences`, expected, true);
  }
  // The backward direction of two; the other one has the same weights, so that both have a range.
  const both = recurrentModule(call, layer, flow, [weights, weights]);
  return { ...both, dims: [sizeOf(nameOf(layer), both) / 2], halves: [0, 1] };
}

/** What each mode of a Bidirectional gives of its two directions; null for both. */
const MERGES: Readonly<Record<string, readonly [number, number] | null>> = {
  concat: null,
  sum: [1, 1],
  ave: [0.5, 0.5],
};

function bidirectional(call: LayerCall): Flow {
  const { layer, weights } = call;
  const { config } = layer;
  const at = nameOf(layer);
  const inner = readLayer(`${at}.layer`, fieldOf(config, "layer"));
  if (!Object.hasOwn(RECURRENT, inner.className)) {
    failRange(`${at}.layer`, Object.keys(RECURRENT).join(", "), inner.className);
  }
  const mode = fieldOf(config, "merge_mode");
  if (typeof mode !== "string" || !Object.hasOwn(MERGES, mode)) {
    failRange(`${at}.merge_mode`, Object.keys(MERGES).join(", "), mode);
  }
  refuse(layer, inner.config, { go_backwards: false });
  const backward = fieldOf(config, "backward_layer");
  if (backward !== undefined && backward !== null) {
    const other = readLayer(`${at}.backward_layer`, backward);
    const keys = ["use_bias", "activation", "recurrent_activation", "return_sequences", "units"];
    const text = ({ className, config }: KerasLayer) =>
      JSON.stringify([className, ...keys.map((key) => fieldOf(config, key))]);
    if (text(other) !== text(inner)) {
      failRange(`${at}.backward_layer`, "a layer like the forward one", other.className);
    }
  }
  const half = weights.length / 2;
  const named = (direction: string) => weights.filter(({ name }) => name.includes(direction));
  const [forward, back] = [named("forward"), named("backward")];
  const split = forward.length === half && back.length === half;
  const directions = split ? [forward, back] : [weights.slice(0, half), weights.slice(half)];
  const out = recurrentModule(call, inner, projectedOf(call), directions);
  const halves = MERGES[mode]!;
  return halves === null ? out : { ...out, dims: withSize(out, sizeOf(at, out) / 2), halves };
}

/** Requires that a layer works along the last dimension. */
function lastAxis(layer: KerasLayer, { dims }: Flow, other = -1): void {
  const value = fieldOf(layer.config, "axis");
  const axis = Array.isArray(value) && value.length === 1 ? value[0] : value ?? other;
  if (axis !== -1 && axis !== dims.length) {
    failRange(`${nameOf(layer)}.axis`, "-1, the last dimension", axis);
  }
}

function batchNormalization(call: LayerCall): Flow {
  const { layer, builder, weights } = call;
  const { config } = layer;
  const at = nameOf(layer);
  const flow = inputOf(call);
  lastAxis(layer, flow);
  refuse(layer, config, { mode: 0 });
  const scale = fieldOf(config, "scale") !== false;
  const center = fieldOf(config, "center") !== false;
  const roles = [
    ...scale ? ["gamma"] : [],
    ...center ? ["beta"] : [],
    "moving_mean",
    "moving_variance",
  ];
  const found = weightsFor(at, weights, roles);
  const numFeatures = found[0]!.shape[0]!;
  found.forEach((weight, i) => checkWeight(`${at}.${roles[i]}`, weight, [found[0]!.data.length]));
  const of = (role: string) => found[roles.indexOf(role)];
  const filled = (value: number): Tensor => ({
    data: new Float32Array(numFeatures).fill(value),
    shape: [numFeatures],
  });
  const eps = epsilonOf(layer);
  const affine = scale || center;
  const module = new BatchNorm1d({ numFeatures, eps, affine });
  return builder.add(layer.name, module, [flow], flow.dims, {
    ...affine && { weight: of("gamma") ?? filled(1), bias: of("beta") ?? filled(0) },
    running_mean: of("moving_mean")!,
    running_var: of("moving_variance")!,
  });
}

function epsilonOf(layer: KerasLayer): number {
  const value = fieldOf(layer.config, "epsilon") ?? EPSILON;
  return typeof value === "number"
    ? value
    : failRange(`${nameOf(layer)}.epsilon`, "a number", value);
}

function layerNormalization(call: LayerCall): Flow {
  const { layer, builder, weights } = call;
  const { config } = layer;
  const at = nameOf(layer);
  const flow = inputOf(call);
  lastAxis(layer, flow);
  refuse(layer, config, { rms_scaling: false });
  const scale = fieldOf(config, "scale") !== false;
  const center = fieldOf(config, "center") !== false;
  const roles = [...scale ? ["gamma"] : [], ...center ? ["beta"] : []];
  const found = weightsFor(at, weights, roles);
  const normalizedShape = found[0]?.data.length ?? sizeOf(at, flow);
  found.forEach((weight, i) => checkWeight(`${at}.${roles[i]}`, weight, [normalizedShape]));
  const gamma: Tensor = scale ? found[0]! : {
    data: new Float32Array(normalizedShape).fill(1),
    shape: [normalizedShape],
  };
  const affine = scale || center;
  const options = { normalizedShape, eps: epsilonOf(layer), elementwiseAffine: affine };
  return builder.add(layer.name, new LayerNorm({ ...options, bias: center }), [flow], flow.dims, {
    ...affine && { weight: gamma },
    ...center && { bias: found.at(-1)! },
  });
}

/** A layer of several inputs. */
function joined(join: (call: LayerCall, flows: readonly Flow[]) => Flow): Import {
  return (call) => {
    const { layer, inputs, builder } = call;
    if (inputs.length < 2) failRange(nameOf(layer), "two inputs or more", inputs.length);
    return join(call, inputs.map((flow) => builder.plain(flow)));
  };
}

const concatenate = joined((call, flows) => {
  const { layer, builder } = call;
  lastAxis(layer, flows[0]!);
  const size = flows.reduce((sum, flow) => sum + sizeOf(nameOf(layer), flow), 0);
  return builder.add(layer.name, new Concat(), flows, withSize(flows[0]!, size));
});

const add = joined(({ layer, builder }, flows) =>
  flows.reduce((sum, flow) => builder.add(layer.name, new Add(), [sum, flow], flow.dims))
);

/** A layer that gives one row for a sequence. */
function overTime(make: () => Module): Import {
  return (call) => {
    const { layer, builder } = call;
    const flow = inputOf(call);
    refuse(layer, layer.config, { keepdims: false, data_format: "channels_last" });
    return builder.add(layer.name, make(), [flow], [sizeOf(nameOf(layer), flow)]);
  };
}

/** Layers that treat every row by itself, which is what TimeDistributed asks of its layer. */
const ROWS: Readonly<Record<string, Import>> = {
  Dense: dense,
  TimeDistributedDense: dense,
  Activation: (call) => activated(call, inputOf(call), fieldOf(call.layer.config, "activation")),
  ReLU: pointwise(({ layer }) => {
    refuse(layer, layer.config, { negative_slope: 0, threshold: 0 });
    const max = fieldOf(layer.config, "max_value") ?? null;
    if (max !== null) failRange(`${nameOf(layer)}.max_value`, "none", max);
    return new ReLU();
  }),
  LeakyReLU: pointwise(({ layer }) => {
    const slope = fieldOf(layer.config, "negative_slope", "alpha") ?? LEAKY_RELU_SLOPE;
    if (typeof slope !== "number") failRange(`${nameOf(layer)}.alpha`, "a number", slope);
    return new LeakyReLU({ negativeSlope: slope });
  }),
  Softmax: (call) => {
    lastAxis(call.layer, call.inputs[0]!);
    return pointwise(() => new Softmax())(call);
  },
  Dropout: nothing,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  UnitNormalization: (call) => {
    lastAxis(call.layer, call.inputs[0]!);
    return pointwise(() => new UnitNorm())(call);
  },
};

/** Makes modules of each class of layers. */
export const LAYERS: Readonly<Record<string, Import>> = {
  ...ROWS,
  ActivityRegularization: nothing,
  Add: add,
  AlphaDropout: nothing,
  Bidirectional: bidirectional,
  Concatenate: concatenate,
  CuDNNLSTM: recurrent,
  Embedding: embedding,
  GaussianDropout: nothing,
  GaussianNoise: nothing,
  GlobalAveragePooling1D: overTime(() => new MeanOverTime({ batchFirst: true })),
  GlobalMaxPooling1D: overTime(() => new MaxOverTime({ batchFirst: true })),
  LSTM: recurrent,
  Masking: masking,
  SpatialDropout1D: nothing,
  TimeDistributed(call) {
    const { layer, inputs: [flow] } = call;
    const inner = readLayer(`${nameOf(layer)}.layer`, fieldOf(layer.config, "layer"));
    if (!Object.hasOwn(ROWS, inner.className)) {
      failRange(`${nameOf(layer)}.layer`, Object.keys(ROWS).join(", "), inner.className);
    }
    if (flow !== undefined && flow.dims.length < 2) {
      failRange(nameOf(layer), "an input with steps", flow.dims);
    }
    const named = { ...inner, name: layer.name };
    return ROWS[inner.className]!({ ...call, layer: named });
  },
};
