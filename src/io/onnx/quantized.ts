/**
 * Operators of graphs that are already quantized: weights are dequantized, and the graph's own
 * quantization of activations is dropped, since models are quantized anew here.
 *
 * @module
 */
import { isInt8Array, isUint8Array } from "../../../kernels/numeric/typed_array.ts";
import { constant, isInteger, type NodeContext } from "./context.ts";
import { linearFlow, weightOf } from "./linear.ts";
import type { Constant, DynamicScale, Flow, OnnxValue } from "./values.ts";

/** Parameters of integers. */
interface Params {
  readonly scale: Constant;
  /** Zeros if omitted. */
  readonly zero: Constant | undefined;
  /** Index of an element's scale. */
  group(index: number): number;
  /** Number of scales. */
  readonly groups: number;
}

/** (q - zero) * scale. */
export function dequantized(
  node: NodeContext,
  { data }: Constant,
  { scale, zero, group, groups }: Params,
): Float32Array {
  if (scale.data.length !== groups || zero !== undefined && zero.data.length !== groups) {
    node.fail(`${groups} scales and zero points`, scale.data.length);
  }
  node.graph.spend(node.label, data.length);
  return Float32Array.from(data, (q, i) => {
    const k = group(i);
    return (q - (zero?.data[k] ?? 0)) * scale.data[k]!;
  });
}

/** Parameters of a whole tensor, or of each index of an axis. */
function paramsOf(
  node: NodeContext,
  shape: readonly number[],
  [scale, zero]: readonly [Constant, Constant | undefined],
  axis: number,
): Params {
  const whole = { scale, zero, group: () => 0, groups: 1 };
  if (scale.data.length === 1) return whole;
  const at = node.axis(axis, shape.length);
  const inner = shape.slice(at + 1).reduce((product, n) => product * n, 1);
  const groups = shape[at]!;
  return { ...whole, groups, group: (i) => Math.floor(i / inner) % groups };
}

function optional(node: NodeContext, i: number): Constant | undefined {
  return node.inputs[i] === undefined ? undefined : node.constant(i);
}

/** A constant of integers as float32. */
function dequantizedConstant(
  node: NodeContext,
  from: Constant,
  params: readonly [Constant, Constant | undefined],
  axis: number,
): Constant {
  const { shape } = from;
  return constant(dequantized(node, from, paramsOf(node, shape, params, axis)), shape, from.name);
}

/** DequantizeLinear. */
export function dequantizeLinear(node: NodeContext): OnnxValue {
  const from = node.given(0);
  const scale = node.constant(1);
  const zero = optional(node, 2);
  const axis = node.number("axis", 1);
  if (from.kind === "constant") return dequantizedConstant(node, from, [scale, zero], axis);
  if (from.kind !== "flow" || from.mark === undefined) {
    return node.fail("integers", "a value of the model", ".inputs[0]");
  }
  const { mark, ...flow } = from;
  const table = flow.part?.table;
  if (mark.kind === "table" && table !== undefined) {
    const known = table.scale;
    if (known === null) {
      if (scale.data.length !== 1) node.fail("one scale of a table", scale.data.length);
      table.scale = scale;
      table.table = dequantizedConstant(node, table.table, [scale, zero], 0);
    } else if (known.data[0] !== scale.data[0]) {
      node.fail("the scale with which the table was dequantized before", "another");
    }
    return flow;
  }
  if (mark.kind === "quantized" && mark.scale.data.join() === scale.data.join()) return flow;
  return node.fail("integers of QuantizeLinear with the same scale", "others", ".inputs[0]");
}

/** QuantizeLinear, of constants and of values that are dequantized again at once. */
export function quantizeLinear(node: NodeContext): OnnxValue {
  const from = node.given(0);
  const scale = node.constant(1);
  const zero = optional(node, 2);
  if (from.kind === "constant") {
    const params = paramsOf(node, from.shape, [scale, zero], node.number("axis", 1));
    const signed = isInt8Array(zero?.data);
    const [low, high] = signed ? [-128, 127] : [0, 255];
    if (zero !== undefined && !signed && !isUint8Array(zero.data)) {
      node.fail("integers of 8 bits", zero.data.constructor.name, ".inputs[2]");
    }
    node.graph.spend(node.label, from.data.length);
    const data = new (signed ? Int8Array : Uint8Array)(from.data.length);
    from.data.forEach((value: number, i: number) => {
      const k = params.group(i);
      const quotient = Math.fround(value / params.scale.data[k]!);
      const floor = Math.floor(quotient);
      const half = quotient - floor;
      const even = half > 0.5 || half === 0.5 && floor % 2 !== 0 ? floor + 1 : floor;
      data[i] = Math.min(high, Math.max(low, even + (zero?.data[k] ?? 0)));
    });
    return constant(data, from.shape, from.name);
  }
  const flow = node.flow(0);
  const first = scale.data[0]!;
  const what = isInt8Array(zero?.data) ? "int8" : "uint8";
  node.graph.notes.add(
    `${JSON.stringify(node.node.inputs[0]!)} is rounded to ${what} in the file, scale ${first}, ` +
      `zero point ${zero?.data[0] ?? 0}: here calibration finds its parameters`,
  );
  return { ...flow, mark: { kind: "quantized", scale } };
}

/** DynamicQuantizeLinear: integers, their scale and their zero point. */
export function dynamicQuantizeLinear(node: NodeContext): readonly OnnxValue[] {
  const flow = node.flow(0);
  const id = {};
  const rest = (kind: DynamicScale["kind"]): DynamicScale => ({ kind, id, factor: null });
  return [{ ...flow, mark: { kind: "dynamic", id } }, rest("scale"), rest("zero point")];
}

/** A weight [outFeatures, inFeatures] of integers less their zero points. */
function centeredWeight(node: NodeContext, i: number, zeroAt: number): Constant {
  const matrix = node.constant(i);
  const one = constant(Float32Array.of(1), []);
  const zero = optional(node, zeroAt);
  const scale = zero === undefined || zero.data.length === 1
    ? one
    : constant(new Float32Array(zero.data.length).fill(1), zero.shape);
  const params: [Constant, Constant | undefined] = [scale, zero];
  return weightOf(node, dequantizedConstant(node, matrix, params, -1), false);
}

/** A Linear without bias that reads a value. */
function linearOf(node: NodeContext, from: Flow, weight: Constant): Flow {
  const { mark: _, ...flow } = from;
  const width = node.width(flow, flow.dims[flow.dims.length - 1] ?? []);
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  if (width !== inFeatures) node.fail(`a weight for ${width} features`, weight.shape);
  const data = weight.data as Float32Array;
  return linearFlow(node, flow, { inFeatures, outFeatures, weight: data, bias: null });
}

/** Scales each row of a Linear's weight. */
function scaleRows(node: NodeContext, flow: Flow, factor: Constant): void {
  const { weight, inFeatures, outFeatures } = flow.part!.linear!;
  const { data } = factor;
  if (data.length !== 1 && data.length !== outFeatures) {
    node.fail(`1 or ${outFeatures} scales`, data.length);
  }
  for (let i = 0; i < weight.length; i++) {
    weight[i]! *= data[data.length === 1 ? 0 : Math.floor(i / inFeatures)]!;
  }
}

/** A value that DynamicQuantizeLinear rounded, with its scale. */
function dynamicInput(node: NodeContext, i: number, scaleAt: number): [flow: Flow, id: object] {
  const flow = node.given(i);
  const scale = node.given(scaleAt);
  if (flow.kind !== "flow" || flow.mark?.kind !== "dynamic") {
    return node.fail("integers of DynamicQuantizeLinear", flow.kind, `.inputs[${i}]`);
  }
  const { id } = flow.mark;
  if (scale.kind !== "scale" && scale.kind !== "zero point" || scale.id !== id) {
    node.fail("what DynamicQuantizeLinear gave with the integers", scale.kind, `[${scaleAt}]`);
  }
  return [flow, id];
}

/** MatMulInteger of a result of DynamicQuantizeLinear; the product is still unscaled. */
export function matMulInteger(node: NodeContext): OnnxValue {
  const [flow, id] = dynamicInput(node, 0, 2);
  return { ...linearOf(node, flow, centeredWeight(node, 1, 3)), mark: { kind: "unscaled", id } };
}

/** Mul of a scale and a constant, or of a product of integers and its scale. */
export function dynamicMul(node: NodeContext): OnnxValue | undefined {
  const [a, b] = [node.given(0), node.given(1)];
  const [scale, other] = a.kind === "scale" ? [a, b] : [b, a];
  if (scale.kind !== "scale") return undefined;
  if (other.kind === "constant") {
    if (scale.factor !== null) node.fail("one constant factor of a scale", "two");
    return { ...scale, factor: other };
  }
  if (other.kind !== "flow" || other.mark?.kind !== "unscaled" || other.mark.id !== scale.id) {
    return node.fail("the product of integers that has this scale", other.kind);
  }
  const { mark: _, ...flow } = other;
  if (scale.factor !== null) scaleRows(node, flow, scale.factor);
  return flow;
}

/** Adds a bias to a Linear. */
function withBias(node: NodeContext, flow: Flow, i: number): Flow {
  if (node.inputs[i] === undefined) return flow;
  const linear = flow.part!.linear!;
  const bias = node.constant(i).data;
  if (bias.length !== linear.outFeatures || isInteger(node.constant(i))) {
    node.fail(`${linear.outFeatures} float32 numbers`, bias.length, `.inputs[${i}]`);
  }
  linear.bias = bias as Float32Array;
  return flow;
}

/** com.microsoft's DynamicQuantizeMatMul: A, B, scale of B, zero point of B, bias. */
export function dynamicQuantizeMatMul(node: NodeContext): OnnxValue {
  const flow = linearOf(node, node.flow(0), centeredWeight(node, 1, 3));
  scaleRows(node, flow, node.constant(2));
  return withBias(node, flow, 4);
}

/** com.microsoft's MatMulIntegerToFloat: A, B, their scales, their zero points, bias. */
export function matMulIntegerToFloat(node: NodeContext): OnnxValue {
  const [from] = dynamicInput(node, 0, 2);
  const flow = linearOf(node, from, centeredWeight(node, 1, 5));
  scaleRows(node, flow, node.constant(3));
  return withBias(node, flow, 6);
}

/** QLinearMatMul: A, its scale and zero point, B with those, those of the result. */
export function qLinearMatMul(node: NodeContext): OnnxValue {
  const from = node.given(0);
  if (from.kind !== "flow" || from.mark?.kind !== "quantized") {
    return node.fail("integers of QuantizeLinear", from.kind, ".inputs[0]");
  }
  const flow = linearOf(node, from, centeredWeight(node, 3, 5));
  scaleRows(node, flow, node.constant(4));
  return { ...flow, mark: { kind: "quantized", scale: node.constant(6) } };
}
