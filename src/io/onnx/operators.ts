/**
 * Operators that become modules, except recurrent ones (`recurrent.ts`) and those of quantized
 * graphs (`quantized.ts`); and the list of all operators.
 *
 * @module
 */
import type { Module } from "../../modules/module.ts";
import { Add } from "../../modules/add/float.ts";
import { BatchNorm1d } from "../../modules/batch_norm/float.ts";
import { Concat } from "../../modules/concat/float.ts";
import { Embedding } from "../../modules/embedding/float.ts";
import { FirstStep } from "../../modules/first_step/float.ts";
import { HardSigmoid } from "../../modules/hard_sigmoid/float.ts";
import { LastStep } from "../../modules/last_step/float.ts";
import { LayerNorm } from "../../modules/layer_norm/float.ts";
import { LeakyReLU } from "../../modules/leaky_relu/float.ts";
import { LogSoftmax } from "../../modules/log_softmax/float.ts";
import { MaxOverTime } from "../../modules/max_over_time/float.ts";
import { MeanOverTime } from "../../modules/mean_over_time/float.ts";
import { ReLU } from "../../modules/relu/float.ts";
import { Sigmoid } from "../../modules/sigmoid/float.ts";
import { Softmax } from "../../modules/softmax/float.ts";
import { Tanh } from "../../modules/tanh/float.ts";
import {
  axesOf,
  concatStates,
  constantOfShape,
  constantOp,
  expand,
  flatten,
  gatherStates,
  identity,
  reshape,
  shapeOp,
  sliceStates,
  squeeze,
  transpose,
  unsqueeze,
} from "./axes.ts";
import { isInteger, type NodeContext } from "./context.ts";
import { foldArithmetic, foldConcat, foldGather, foldSlice, slices } from "./fold.ts";
import { gemm, matMul } from "./linear.ts";
import { numberOf, sizeOf } from "./sizes.ts";
import {
  type Atom,
  atom,
  type Constant,
  dimSize,
  type Flow,
  type OnnxValue,
  type Part,
} from "./values.ts";
import {
  dequantizeLinear,
  dynamicMul,
  dynamicQuantizeLinear,
  dynamicQuantizeMatMul,
  matMulInteger,
  matMulIntegerToFloat,
  qLinearMatMul,
  quantizeLinear,
} from "./quantized.ts";
import { recurrent } from "./recurrent.ts";
import { conv, pad, pool } from "./windows.ts";

/** Imports a node, and returns what is known about each of its outputs. */
export type Operator = (node: NodeContext) => OnnxValue | readonly OnnxValue[];

/** The output of a module that keeps its input's axes. */
function sameShape(node: NodeContext, flow: Flow, make: () => Module): Flow {
  const part = node.part([flow], { make });
  // Anything learned later about the model's input then holds for this value, too.
  return { kind: "flow", part, dims: flow.dims, features: flow.features };
}

/** A function of each value. */
function pointwise(make: (node: NodeContext) => Module): Operator {
  return (node) => sameShape(node, node.flow(0), () => make(node));
}

/** A constant with one number a feature, which broadcasts over all other axes. */
function perFeature(node: NodeContext, flow: Flow, values: Constant): Float32Array {
  const rank = flow.dims.length;
  const { shape, data } = values;
  const wide = shape.findIndex((n) => n !== 1);
  if (shape.some((n, i) => n !== 1 && i !== wide)) {
    node.fail("a constant of one number, or one a feature", `one of shape [${shape}]`);
  }
  const known = node.graph.features(flow);
  const dim = wide >= 0
    ? flow.dims[wide + rank - shape.length]
    : known.length > 0
    ? known
    : flow.dims[rank - 1];
  const size = node.width(flow, dim ?? node.fail("a value with more axes", rank));
  if (data.length !== 1 && data.length !== size) {
    node.fail(`${size} numbers, one a feature`, data.length);
  }
  return new Float32Array(size).map((_, i) => data[data.length === 1 ? 0 : i]!);
}

/** A factor and a term of each feature. */
function affine(
  node: NodeContext,
  flow: Flow,
  { scale, shift }: { readonly scale?: Float32Array; readonly shift?: Float32Array },
): Flow {
  return sameShape(node, flow, () => {
    const numFeatures = (scale ?? shift)!.length;
    const norm = new BatchNorm1d({ numFeatures, eps: 0 });
    if (scale !== undefined) norm.weight!.set(scale);
    if (shift !== undefined) norm.bias!.set(shift);
    return norm;
  });
}

/** Requires two values with the same axes. */
function requireSameAxes(node: NodeContext, flows: readonly Flow[]): void {
  const [first, ...others] = flows;
  const list = (flow: Flow) => flow.dims.map((dim) => dim.map(({ size }) => size));
  for (const other of others) {
    const same = JSON.stringify(list(first!)) === JSON.stringify(list(other)) &&
      first!.dims.every((dim, i) =>
        dim.every((each, k) =>
          each === other.dims[i]![k] ||
          each.role === "features" && other.dims[i]![k]!.role === "features"
        )
      );
    if (!same) node.fail("values with the same axes", "others");
  }
}

/** Add, Sub, Mul, Div. */
function arithmetic(node: NodeContext): OnnxValue {
  const folded = foldArithmetic(node);
  if (folded !== undefined) return folded;
  const { op } = node.node;
  const dynamic = op === "Mul" ? dynamicMul(node) : undefined;
  if (dynamic !== undefined) return dynamic;
  if (!node.isConstant(0) && !node.isConstant(1)) {
    if (op !== "Add") node.fail("a constant, or another operator", "two values of the model");
    const flows = [node.flow(0), node.flow(1)];
    requireSameAxes(node, flows);
    const [{ dims, features }] = flows as [Flow];
    return { kind: "flow", part: node.part(flows, { make: () => new Add() }), dims, features };
  }
  const first = node.isConstant(0);
  const flow = node.flow(first ? 1 : 0);
  const values = perFeature(node, flow, node.constant(first ? 0 : 1));
  if (op === "Add") return addBias(node, flow, { values, alone: node.readsAlone(first ? 1 : 0) });
  if (op === "Mul") return affine(node, flow, { scale: values });
  if (op === "Div") {
    if (first) node.fail("a constant divisor", "a value of the model");
    return affine(node, flow, { scale: values.map((value) => 1 / value) });
  }
  return first
    ? affine(node, flow, { scale: new Float32Array(values.length).fill(-1), shift: values })
    : affine(node, flow, { shift: values.map((value) => -value) });
}

/**
 * A constant added to a value: becomes the bias of the Linear before it, if that has no other
 * reader.
 */
function addBias(
  node: NodeContext,
  flow: Flow,
  { values, alone }: { readonly values: Float32Array; readonly alone: boolean },
): Flow {
  const linear = flow.part?.linear;
  if (linear === undefined || !alone || linear.bias !== null) {
    return affine(node, flow, { shift: values });
  }
  linear.bias = values;
  const { name } = node.part([], {});
  if (name !== "add") flow.part!.name = name;
  return flow;
}

/** Rows of a table, by token ids: an Embedding. */
function embedding(node: NodeContext): OnnxValue {
  const table = node.constant(0);
  const ids = node.flow(1);
  const [count, width] = table.shape;
  if (table.shape.length !== 2 || node.axis(node.number("axis", 0), 2) !== 0) {
    node.fail("a table with two axes, whose rows are taken", table.shape, ".inputs[0]");
  }
  if (ids.part !== null) node.fail("the model's input as token ids", "a value", ".inputs[1]");
  const features = [atom(sizeOf(width!), "features")];
  const part: Part = { ...node.part([ids], {}), table: { table, scale: null } };
  part.make = () => {
    const module = new Embedding({ numEmbeddings: count!, embeddingDim: width! });
    module.weight.set(part.table!.table.data);
    return module;
  };
  const flow: Flow = { kind: "flow", part, dims: [...ids.dims, features], features };
  return isInteger(table) ? { ...flow, mark: { kind: "table" } } : flow;
}

/** Selects the first or the last step of a sequence, or the only element of an axis. */
function stepAt(
  node: NodeContext,
  flow: Flow,
  { axis, index, keep }: { readonly axis: number; readonly index: number; readonly keep: boolean },
): Flow {
  const dim = flow.dims[axis]!;
  if (dim.length === 0 && (index === 0 || index === -1)) {
    return { ...flow, dims: flow.dims.filter((_, i) => keep || i !== axis) };
  }
  const size = numberOf(dimSize(dim));
  const last = index === -1 || size !== undefined && index === size - 1;
  if (!last && index !== 0) {
    node.fail("the first step or the last one", index, ".inputs[1]");
  }
  return endTime(node, flow, {
    axis,
    keep,
    what: last ? "last" : "first",
    make: (batchFirst) => new (last ? LastStep : FirstStep)({ batchFirst }),
  });
}

/** Adds a module that reduces a sequence to one row. */
function endTime(
  node: NodeContext,
  flow: Flow,
  { axis, keep, what, make }: {
    readonly axis: number;
    readonly keep: boolean;
    /** Its name is appended to its input's. */
    readonly what: string;
    make(batchFirst: boolean): Module;
  },
): Flow {
  node.claim(flow.dims[axis]!, "time");
  const dims: (readonly Atom[])[] = flow.dims.filter((_, i) => i !== axis);
  const part = node.part([flow], { make }, flow.part === null ? what : `${flow.part.name}_${what}`);
  const features = flow.features ?? claimRest(node, flow, dims);
  if (keep) dims.splice(axis, 0, []);
  return { kind: "flow", part, dims, features };
}

/** The features of the model's input, if not yet determined: the last axis. */
function claimRest(
  node: NodeContext,
  flow: Flow,
  dims: readonly (readonly Atom[])[],
): readonly Atom[] | null {
  if (node.graph.features(flow).length === 0) {
    node.width(flow, dims[dims.length - 1] ?? node.fail("an axis of features", "none"));
  }
  return null;
}

/** Gather: rows of a table, one step of a sequence, or one of constants. */
function gather(node: NodeContext): OnnxValue {
  const folded = foldGather(node) ?? gatherStates(node);
  if (folded !== undefined) return folded;
  const from = node.given(0);
  if (from.kind === "constant") return embedding(node);
  const flow = node.flow(0);
  const axis = node.axis(node.number("axis", 0), flow.dims.length);
  const { data, shape } = node.constant(1);
  if (data.length !== 1) node.fail("one index", data.length, ".inputs[1]");
  return stepAt(node, flow, { axis, index: data[0]!, keep: shape.length > 0 });
}

/** Slice: one step of a sequence, all of an axis, states or constants. */
function slice(node: NodeContext): OnnxValue {
  const folded = foldSlice(node) ?? sliceStates(node);
  if (folded !== undefined) return folded;
  const flow = node.flow(0);
  let out: Flow = flow;
  for (const { axis, bounds: [start, end, step] } of slices(node, flow.dims.length)) {
    const size = numberOf(dimSize(flow.dims[axis]!)) ?? Infinity;
    const first = numberOf(start) ?? node.fail("a known start", "a size", ".starts");
    if (first === 0 && end >= Math.min(size, 2 ** 31 - 1) && step === 1) continue;
    const from = first < 0 && size < Infinity ? first + size : first;
    const to = end < 0 && size < Infinity ? end + size : end;
    const isLast = from === -1 && to >= 2 ** 31 - 1 || from === size - 1 && to >= size;
    const isFirst = from === 0 && to === 1;
    if (step !== 1 || !isLast && !isFirst) {
      node.fail("all of an axis, or the first or last step of a sequence", `${first}:${end}`);
    }
    out = stepAt(node, out, { axis, index: isLast ? -1 : 0, keep: true });
  }
  return out;
}

/** Concat of features, of states or of constants. */
function concat(node: NodeContext): OnnxValue {
  node.given(0);
  const folded = foldConcat(node) ?? concatStates(node);
  if (folded !== undefined) return folded;
  const flows = node.inputs.map((_, i) => node.flow(i));
  const [first] = flows;
  const axis = node.axis(node.number("axis", 0), first!.dims.length);
  const widths = flows.map((flow) =>
    node.width(flow, flow.dims[axis] ?? node.fail("values with the same axes", "others"))
  );
  const others = flows.map((flow) => ({ ...flow, dims: flow.dims.filter((_, i) => i !== axis) }));
  requireSameAxes(node, others);
  const features = [atom(sizeOf(widths.reduce((sum, width) => sum + width, 0)), "features")];
  const dims = [...first!.dims];
  dims[axis] = features;
  const part = node.part(flows, { make: () => new Concat() });
  return { kind: "flow", part, dims, features };
}

/** Softmax and LogSoftmax over the features. */
function softmax(Kind: typeof Softmax | typeof LogSoftmax): Operator {
  return (node) => {
    const flow = node.flow(0);
    const rank = flow.dims.length;
    const old = node.graph.opset < 13;
    const axis = node.axis(node.number("axis", old ? 1 : -1), rank);
    node.width(flow, old ? flow.dims.slice(axis).flat() : flow.dims[axis]!);
    return sameShape(node, flow, () => new Kind());
  };
}

/** ReduceMean and ReduceMax over time. */
function reduce(Kind: typeof MeanOverTime | typeof MaxOverTime): Operator {
  return (node) => {
    const flow = node.flow(0);
    const axes = node.integers(1, "axes") ?? node.fail("one axis, that of time", "none", ".axes");
    const [axis, ...others] = axesOf(node, axes, flow.dims.length);
    if (axis === undefined || others.length > 0) {
      node.fail("one axis, that of time", axes, ".axes");
    }
    const keep = node.number("keepdims", 1) !== 0;
    return endTime(node, flow, {
      axis: axis!,
      keep,
      what: Kind === MaxOverTime ? "max" : "mean",
      make: (batchFirst) => new Kind({ batchFirst }),
    });
  };
}

/** GlobalAveragePool and GlobalMaxPool: [batch, features, steps]. */
function globalPool(Kind: typeof MeanOverTime | typeof MaxOverTime): Operator {
  return (node) => {
    const flow = node.flow(0);
    if (flow.dims.length !== 3) node.fail("[batch, features, steps]", `${flow.dims.length} axes`);
    node.width(flow, flow.dims[1]!);
    return endTime(node, flow, {
      axis: 2,
      keep: true,
      what: Kind === MaxOverTime ? "max" : "mean",
      make: (batchFirst) => new Kind({ batchFirst }),
    });
  };
}

/** Numbers, one a feature. */
function vector(node: NodeContext, i: number, size: number): Float32Array {
  const { data } = node.constant(i);
  if (data.length !== size) node.fail(`${size} numbers, one a feature`, data.length, `[${i}]`);
  return data as Float32Array;
}

/** BatchNormalization, whose features are the second axis. */
function batchNorm(node: NodeContext): OnnxValue {
  const flow = node.flow(0);
  if (node.number("training_mode", 0) !== 0) node.fail("0", 1, ".training_mode");
  const numFeatures = node.width(flow, flow.dims[1] ?? node.fail("[batch, features]", "one axis"));
  const eps = node.number("epsilon", 1e-5);
  const [weight, bias, mean, variance] = [1, 2, 3, 4].map((i) => vector(node, i, numFeatures));
  return sameShape(node, flow, () => {
    const norm = new BatchNorm1d({ numFeatures, eps });
    norm.weight!.set(weight!);
    norm.bias!.set(bias!);
    norm.runningMean.set(mean!);
    norm.runningVar.set(variance!);
    return norm;
  });
}

/** LayerNormalization over the last axis. */
function layerNorm(node: NodeContext): OnnxValue {
  const [flow, normalizedShape] = node.featuresLast(node.flow(0));
  const rank = flow.dims.length;
  if (node.axis(node.number("axis", -1), rank) !== rank - 1) {
    node.fail("the last axis", node.number("axis", -1), ".axis");
  }
  const eps = node.number("epsilon", 1e-5);
  const weight = vector(node, 1, normalizedShape);
  const bias = node.inputs[2] === undefined ? null : vector(node, 2, normalizedShape);
  return sameShape(node, flow, () => {
    const norm = new LayerNorm({ normalizedShape, eps, bias: bias !== null });
    norm.weight!.set(weight);
    if (bias !== null) norm.bias!.set(bias);
    return norm;
  });
}

/** Dropout, which has no effect in inference. */
function dropout(node: NodeContext): OnnxValue {
  const training = node.inputs[2];
  if (training !== undefined && node.constant(2).data[0] !== 0) {
    node.fail("a constant that is false", "another", ".inputs[2]");
  }
  return node.given(0);
}

/** Summary of the supported operators for messages; a list of all names would be too long. */
export const SUPPORTED: string =
  "LSTM, GRU, Conv, pooling, Gemm, MatMul, Add, Gather, Concat, activations, Softmax, " +
  "normalization, ReduceMean and ReduceMax, what moves axes, what computes shapes, or quantized ones";

/** The supported operators by name; those of com.microsoft are prefixed with it. */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ["Add", arithmetic],
  ["AveragePool", pool],
  ["BatchNormalization", batchNorm],
  ["Cast", identity],
  ["Concat", concat],
  ["Constant", constantOp],
  ["ConstantOfShape", constantOfShape],
  ["Conv", conv],
  ["DequantizeLinear", dequantizeLinear],
  ["Div", arithmetic],
  ["Dropout", dropout],
  ["DynamicQuantizeLinear", dynamicQuantizeLinear],
  ["Expand", expand],
  ["Flatten", flatten],
  ["Gather", gather],
  ["Gemm", gemm],
  ["GlobalAveragePool", globalPool(MeanOverTime)],
  ["GlobalMaxPool", globalPool(MaxOverTime)],
  ["GRU", recurrent],
  [
    "HardSigmoid",
    pointwise((node) =>
      new HardSigmoid({ slope: node.number("alpha", 0.2), offset: node.number("beta", 0.5) })
    ),
  ],
  ["Identity", identity],
  ["LSTM", recurrent],
  ["LayerNormalization", layerNorm],
  [
    "LeakyRelu",
    pointwise((node) => new LeakyReLU({ negativeSlope: node.number("alpha", 0.01) })),
  ],
  ["LogSoftmax", softmax(LogSoftmax)],
  ["MatMul", matMul],
  ["MatMulInteger", matMulInteger],
  ["MaxPool", pool],
  ["Mul", arithmetic],
  ["Pad", pad],
  ["QLinearMatMul", qLinearMatMul],
  ["QuantizeLinear", quantizeLinear],
  ["ReduceMax", reduce(MaxOverTime)],
  ["ReduceMean", reduce(MeanOverTime)],
  ["Relu", pointwise(() => new ReLU())],
  ["Reshape", reshape],
  ["Shape", shapeOp],
  ["Sigmoid", pointwise(() => new Sigmoid())],
  ["Slice", slice],
  ["Softmax", softmax(Softmax)],
  ["Squeeze", squeeze],
  ["Sub", arithmetic],
  ["Tanh", pointwise(() => new Tanh())],
  ["Transpose", transpose],
  ["Unsqueeze", unsqueeze],
  ["com.microsoft.DynamicQuantizeLSTM", recurrent],
  ["com.microsoft.DynamicQuantizeMatMul", dynamicQuantizeMatMul],
  ["com.microsoft.MatMulIntegerToFloat", matMulIntegerToFloat],
]);
