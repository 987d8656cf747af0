/**
 * Lowering of projections of rows: the work of a linear layer, and a cell's input projection where
 * its fast step does not do it.
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
 * Whether packed rows support integers of these parameters: up to 24 bits, so that sums of 2^20
 * products with int8 stay exact.
 */
export function packs(q: PerTensorQParams | null): boolean {
  return q === null || q.quantMax - q.quantMin <= 2 ** 24;
}

/**
 * Parameters whose smallest integer stands for 0, so that clamping applies ReLU, as in torch's
 * linear_relu.
 */
export function reluFloor(to: PerTensorQParams): PerTensorQParams {
  return { ...to, quantMin: Math.max(to.quantMin, to.zeroPoint) };
}

/** Lowers a projection of rows with parameters `input`, or of float32 rows if that is null. */
export function lowerProjector(
  map: LinearMap,
  input: PerTensorQParams | null,
  to: readonly (PerTensorQParams | null)[],
): ProjectorProgram {
  const { weight, bias, order } = map;
  const { outFeatures } = weight;
  const rows = orderRows(weight, order, input === null ? 0 : integerBound(input));
  if (input !== null) return { rows, projection: lowerProjection(map, input, to), float: null };
  const indices = order.subarray(0, outFeatures);
  const { scales } = weight;
  const scaleOf = (row: number) => scales[Math.floor(row * scales.length / outFeatures)]!;
  const bounds = new Float64Array(to.length).fill(NaN);
  return {
    rows,
    projection: {
      term: Float64Array.from(indices, (row) => bias?.[row] ?? 0),
      multiplier: new Float64Array(outFeatures).fill(1),
      exact: false,
      lo: bounds,
      hi: bounds,
    },
    float: { scales: Float32Array.from(indices, scaleOf), to },
  };
}
