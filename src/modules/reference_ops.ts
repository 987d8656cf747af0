/**
 * Operations of the reference graph that several kinds use, and their float32 arithmetic.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float/linear.ts";
import { dequantizePerChannel } from "../../kernels/numeric/quantize.ts";
import { pointwiseFloat32 } from "../cells/float_executor.ts";
import type { Activation } from "../../kernels/numeric/float_functions.ts";
import type { GraphNode, ReferenceOp } from "./reference.ts";

const dequantizedWeights = new WeakMap<GraphNode, Float32Array>();

/** A linear's or a convolution's weight, dequantized once. */
export function dequantizedWeight(node: GraphNode): Float32Array {
  let out = dequantizedWeights.get(node);
  if (out === undefined) {
    const { data, scales, zeroPoints } = node.weight!;
    out = new Float32Array(data.length);
    dequantizePerChannel(data, out, scales, zeroPoints, data.length / scales.length);
    dequantizedWeights.set(node, out);
  }
  return out;
}

/** @param relu Whether negative sums become 0. */
function linear(relu: boolean): ReferenceOp {
  return {
    inputs: 1,
    hasWeight: true,
    width({ weight, bias }, [given]) {
      if (weight === undefined) return "has no weight";
      if (weight.inFeatures !== given) {
        return `multiplies ${weight.inFeatures} columns with ${given}`;
      }
      if (bias != null && bias.length !== weight.outFeatures) {
        return `adds a bias of ${bias.length} values`;
      }
      return weight.outFeatures;
    },
    compute(node, [x], _layout, weight) {
      const { width, bias = null } = node;
      const { inFeatures } = node.weight!;
      const rows = x!.length / inFeatures;
      const data = new Float32Array(rows * width);
      const own = weight ?? dequantizedWeight(node);
      const layer = { weight: own, bias, inFeatures, outFeatures: width };
      for (let r = 0; r < rows; r++) {
        linearFloat32(layer, x as Float32Array, r * inFeatures, data, r * width);
      }
      return relu ? data.map((value) => value > 0 ? value : 0) : data;
    },
  };
}

/**
 * An elementwise operation on values of equal width.
 *
 * @param op The operation, unless a node's constants name a function with parameters.
 */
function pointwise(op: "add" | "sub" | "mul" | Activation, inputs: number): ReferenceOp {
  return {
    inputs,
    width(_node, widths) {
      const [width] = widths;
      return widths.every((each) => each === width)
        ? width!
        : `reads values of widths ${widths.join(" and ")}`;
    },
    compute({ constants }, [a, b]) {
      const own = (constants?.activation ?? op) as typeof op;
      return pointwiseFloat32(own, a as Float32Array, b as Float32Array);
    },
  };
}

/** Operations that belong to no single kind. */
export const BASE_OPS: Readonly<Record<string, ReferenceOp>> = {
  linear: linear(false),
  linear_relu: linear(true),
  add: pointwise("add", 2),
  sub: pointwise("sub", 2),
  mul: pointwise("mul", 2),
  sigmoid: pointwise("sigmoid", 1),
  tanh: pointwise("tanh", 1),
  relu: pointwise("relu", 1),
  hardsigmoid: pointwise("hardSigmoid", 1),
  identity: pointwise("linear", 1),
  chunk: {
    inputs: 1,
    passes: true,
    width: ({ constants }, [given]) => given! / (constants!.chunks as number),
    compute({ width, constants }, [x]) {
      const chunks = constants!.chunks as number;
      const rows = x!.length / (chunks * width);
      const data = new Float32Array(rows * width);
      for (let r = 0; r < rows; r++) {
        const at = (chunks * r + (constants!.chunk as number)) * width;
        data.set(x!.subarray(at, at + width), r * width);
      }
      return data;
    },
  },
  concat: {
    inputs: null,
    width: (_node, widths) => widths.reduce((sum, width) => sum + width, 0),
    compute({ width, constants }, inputs) {
      const widths = constants!.widths as readonly number[];
      const rows = inputs[0]!.length / widths[0]!;
      const data = new Float32Array(rows * width);
      for (let r = 0, at = 0; r < rows; r++) {
        widths.forEach((each, i) => {
          data.set(inputs[i]!.subarray(r * each, (r + 1) * each), at);
          at += each;
        });
      }
      return data;
    },
  },
};
