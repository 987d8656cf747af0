/**
 * Lowering what projects rows: a linear layer's whole work, and a cell's on inputs that its step
 * does not take.
 *
 * @module
 */
import {
  integerBound,
  type LinearMap,
  lowerProjection,
  orderRows,
} from "../../kernels/packed/lower.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { ProjectorProgram } from "../runtime/projector.ts";

/**
 * Whether packed rows take integers of these parameters: up to 24 bits, so that 2^20 products with
 * int8 stay exact.
 */
export function packs(q: PerTensorQParams | null): boolean {
  return q === null || q.quantMax - q.quantMin <= 2 ** 24;
}

/** Parameters whose smallest integer stands for 0, as torch's linear_relu clamps. */
export function reluFloor(to: PerTensorQParams): PerTensorQParams {
  return { ...to, quantMin: Math.max(to.quantMin, to.zeroPoint) };
}

/** Lowers what projects rows of parameters `input`, or of float32 values where that is null. */
export function lowerProjector(
  map: LinearMap,
  input: PerTensorQParams | null,
  to: readonly (PerTensorQParams | null)[],
): ProjectorProgram {
  const { weight, bias, order } = map;
  const { outFeatures } = weight;
  const rows = orderRows(weight, order, input === null ? 0 : integerBound(input));
  if (input !== null) {
    const projection = lowerProjection(map, input, to);
    return { rows, projection, float: null };
  }
  const indices = order.subarray(0, outFeatures);
  const { scales } = weight;
  const scaleOf = (row: number) => scales[Math.floor(row * scales.length / outFeatures)]!;
  return {
    rows,
    projection: null,
    float: {
      scales: Float32Array.from(indices, scaleOf),
      bias: bias && Float32Array.from(indices, (row) => bias[row]!),
      to,
    },
  };
}
