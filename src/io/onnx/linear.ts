/**
 * MatMul and Gemm with a constant: Linear.
 *
 * @module
 */
import { isInteger, type NodeContext } from "./context.ts";
import { broadcast, transposed } from "./fold.ts";
import { sizeOf } from "./sizes.ts";
import { atom, type Constant, type Flow, type LinearPart, type OnnxValue } from "./values.ts";

/** The output of a Linear: the last axis is replaced. */
export function linearFlow(node: NodeContext, flow: Flow, given: LinearPart): Flow {
  const linear = flow.backward ? widened(given) : given;
  const features = [atom(sizeOf(linear.outFeatures), "features")];
  const part = node.part([flow], { linear });
  return { kind: "flow", part, dims: [...flow.dims.slice(0, -1), features], features };
}

/** A weight that reads only the second half of its input. */
export function secondHalf(weight: Float32Array, columns: number): Float32Array {
  const out = new Float32Array(2 * weight.length);
  for (let row = 0; row < weight.length / columns; row++) {
    out.set(weight.subarray(row * columns, (row + 1) * columns), (2 * row + 1) * columns);
  }
  return out;
}

function widened({ weight, inFeatures, ...rest }: LinearPart): LinearPart {
  return { ...rest, inFeatures: 2 * inFeatures, weight: secondHalf(weight, inFeatures) };
}

/** A weight [outFeatures, inFeatures] from a matrix. */
export function weightOf(node: NodeContext, matrix: Constant, isTransposed: boolean): Constant {
  if (matrix.shape.length !== 2 || isInteger(matrix)) {
    node.fail("a weight of float32 values with two axes", matrix.shape);
  }
  return isTransposed ? matrix : transposed(node, matrix, [1, 0]);
}

/** MatMul with a constant. */
export function matMul(node: NodeContext): OnnxValue {
  if (node.isConstant(0)) node.fail("a weight on the right", "one on the left");
  const weight = weightOf(node, node.constant(1), false);
  return linear(node, 0, weight, null);
}

/** A Linear of a weight [outFeatures, inFeatures]. */
function linear(node: NodeContext, i: number, weight: Constant, bias: Float32Array | null): Flow {
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  const [flow, width] = node.featuresLast(node.flowOrHalf(i));
  if (width !== inFeatures) node.fail(`a weight for ${width} features`, weight.shape);
  const data = weight.data as Float32Array;
  return linearFlow(node, flow, { inFeatures, outFeatures, weight: data, bias });
}

/** Gemm. */
export function gemm(node: NodeContext): OnnxValue {
  if (node.number("transA", 0) !== 0) node.fail("0", 1, ".transA");
  const weight = weightOf(node, node.constant(1), node.number("transB", 0) !== 0);
  const scaled = (values: Constant, factor: number): Float32Array =>
    factor === 1 ? values.data as Float32Array : Float32Array.from(values.data, (v) => v * factor);
  const own = { ...weight, data: scaled(weight, node.number("alpha", 1)) };
  let bias: Float32Array | null = null;
  if (node.inputs[2] !== undefined) {
    const given = node.constant(2);
    const beta = node.number("beta", 1);
    const size = weight.shape[0]!;
    if (given.data.length !== 1 && given.data.length !== size) {
      node.fail(`${size} numbers, one a feature`, given.shape, ".inputs[2]");
    }
    bias = scaled(broadcast(node, { ...given, shape: [given.data.length] }, [size]), beta);
  }
  return linear(node, 0, own, bias);
}
