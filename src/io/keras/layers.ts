/**
 * Conversion of Keras' layers to modules, by class.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { INPUT } from "../../core/topology.ts";
import { Add } from "../../modules/add/float.ts";
import { BatchNorm1d } from "../../modules/batch_norm/float.ts";
import { Concat } from "../../modules/concat/float.ts";
import { Embedding } from "../../modules/embedding/float.ts";
import { LayerNorm } from "../../modules/layer_norm/float.ts";
import { LeakyReLU } from "../../modules/leaky_relu/float.ts";
import { Linear } from "../../modules/linear/float.ts";
import { MaxOverTime } from "../../modules/max_over_time/float.ts";
import { MeanOverTime } from "../../modules/mean_over_time/float.ts";
import type { Module } from "../../modules/module.ts";
import { ReLU } from "../../modules/relu/float.ts";
import { Softmax } from "../../modules/softmax/float.ts";
import { UnitNorm } from "../../modules/unit_norm/float.ts";
import { type Flow, sizeOf, withSize } from "./builder.ts";
import {
  activated,
  flag,
  type Import,
  inputOf,
  type LayerCall,
  nameOf,
  projectedOf,
  refuse,
} from "./call.ts";
import { fieldOf, type KerasLayer, readLayer } from "./config.ts";
import { bidirectional, recurrent } from "./recurrent.ts";
import { checkWeight, forHalves, transposed } from "./tensors.ts";
import { weightsFor } from "./weights.ts";
import { convolution, flattening, pooling, zeroPadding } from "./windows.ts";

/** Keras' default if a config lacks it. */
const EPSILON = 1e-3;
const LEAKY_RELU_SLOPE = 0.3;

/** A layer without weights that keeps its input's shape. */
function pointwise(make: (call: LayerCall) => Module): Import {
  return (call) => {
    const flow = inputOf(call);
    return call.builder.add(call.layer.name, make(call), [flow], flow.dims);
  };
}

/** A layer that has no effect in inference. */
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
  const flow = flag(fieldOf(layer.config, "mask_zero"))
    ? masked(call, inputOf(call), 0, "mask_zero=True masks token 0")
    : inputOf(call);
  const [table] = weightsFor(at, weights, ["embeddings"]);
  checkWeight(`${at}.embeddings`, table!, [undefined, undefined]);
  const [numEmbeddings, embeddingDim] = table!.shape as [number, number];
  const module = new Embedding({ numEmbeddings, embeddingDim });
  return builder.add(layer.name, module, [flow], [...flow.dims, embeddingDim], { weight: table! });
}

/** Records a layer that masks steps whose features all have one value. */
function masked({ layer, builder }: LayerCall, flow: Flow, value: unknown, what: string): Flow {
  builder.masks.push({ layer: nameOf(layer), what, value, ofInput: flow.name === INPUT });
  return { ...flow, masked: true };
}

function masking(call: LayerCall): Flow {
  const value = fieldOf(call.layer.config, "mask_value") ?? 0;
  return masked(call, nothing(call), value, `steps of nothing but ${value} are masked`);
}

/** Requires that a layer's axis is the last one. */
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

/** A layer with several inputs. */
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

/** A layer that reduces a sequence to one row, of the steps that are not masked or of all. */
function overTime(make: () => Module, steps: "maskReaders" | "maskIgnorers"): Import {
  return (call) => {
    const { layer, builder } = call;
    const flow = inputOf(call);
    builder[steps].push(nameOf(layer));
    refuse(layer, layer.config, { keepdims: false, data_format: "channels_last" });
    return builder.add(layer.name, make(), [flow], [sizeOf(nameOf(layer), flow)]);
  };
}

/** Layers that treat every row independently, as TimeDistributed requires of its layer. */
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

/** Summary of the supported layers for messages; a list of all classes would be too long. */
export const SUPPORTED: string = "LSTM, GRU, Bidirectional, TimeDistributed, Embedding, Dense, " +
  "Conv1D, pooling, ZeroPadding1D, Flatten, activations, normalizations, Add, Concatenate, Masking " +
  "or dropout (the option cut imports a part)";

/** Converters by class of layer. */
export const LAYERS: Readonly<Record<string, Import>> = {
  ...ROWS,
  ActivityRegularization: nothing,
  Add: add,
  AlphaDropout: nothing,
  AveragePooling1D: pooling("average"),
  Bidirectional: bidirectional,
  Concatenate: concatenate,
  Conv1D: convolution,
  Convolution1D: convolution,
  CuDNNGRU: recurrent,
  CuDNNLSTM: recurrent,
  Embedding: embedding,
  Flatten: flattening,
  GaussianDropout: nothing,
  GaussianNoise: nothing,
  GRU: recurrent,
  GlobalAveragePooling1D: overTime(() => new MeanOverTime({ batchFirst: true }), "maskReaders"),
  GlobalMaxPooling1D: overTime(() => new MaxOverTime({ batchFirst: true }), "maskIgnorers"),
  LSTM: recurrent,
  Masking: masking,
  MaxPooling1D: pooling("max"),
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
  ZeroPadding1D: zeroPadding,
};
