/**
 * Checks in the constructors of quantized modules.
 *
 * A module that passes them computes no NaN, and no infinity that is not clamped at once: finite
 * inputs give finite results, the same in every executor. If a float32 product or sum overflows on
 * the way to an integer, the integer saturates at the correct end, since the sign is right.
 * Therefore products of scales, dequantized values, biases in steps of the accumulator, and sums
 * that stay float32 must be finite.
 *
 * @module
 */
import {
  biasTerm,
  canRescale,
  type Engine,
  linearEngine,
  type LinearWeight,
} from "../../kernels/ops/linear.ts";
import { isInt8Array } from "../../kernels/numeric/typed_array.ts";
import { integerBound } from "../../kernels/packed/lower.ts";
import { checkFinite, checkInteger, failRange, failType } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";

/** Parameters; null is float32. */
export type OptionalQParams = PerTensorQParams | null;

/** What a linear operator computes with. */
export interface LinearOperator {
  readonly engine: Engine;
  readonly weight: LinearWeight;
  readonly bias: Float32Array | null;
  /** Whether its weights are multiplied as integers although the input is float32. */
  readonly dynamic?: boolean | undefined;
}

/** Whether a value, rounded to float32, is finite. */
export function fitsFloat32(value: number): boolean {
  return Math.abs(Math.fround(value)) < Infinity;
}

/** Requires an eps that is finite and positive, or 0 where that is allowed. */
export function checkEps(name: string, eps: unknown, zero: boolean): number {
  const expected = `a finite number, ${zero ? "0 or more" : "above 0"}`;
  if (typeof eps !== "number") failType(name, expected, eps);
  if (!(eps < Infinity && (zero ? eps >= 0 : eps > 0))) failRange(name, expected, eps);
  return eps;
}

/** Requires parameters whose integers stand for finite values. */
export function checkValues(name: string, q: OptionalQParams): void {
  if (q !== null && !fitsFloat32(q.scale * Math.fround(integerBound(q)))) {
    failRange(
      name,
      `a scale of which float32 holds ${integerBound(q)} steps`,
      q.scale,
    );
  }
}

/** Sum of the magnitudes of a row's weights, and the largest of them, less the zero point. */
function rowMagnitudes({ data, inFeatures }: LinearWeight, row: number, zeroPoint: number) {
  let sum = 0;
  let max = 0;
  for (let k = row * inFeatures; k < (row + 1) * inFeatures; k++) {
    const magnitude = Math.abs(data[k]! - zeroPoint);
    sum += magnitude;
    if (magnitude > max) max = magnitude;
  }
  return { sum, max };
}

/**
 * Requires a linear operator that suits its input's scale: the accumulator's scale, the product of
 * the scales of input and weight, has a finite reciprocal and a finite multiplier to each output;
 * weights, biases in its steps, and float32 outputs are finite.
 *
 * @param x Parameters of the input; null is float32.
 * @param to Parameters of the outputs, one a gate or one for all; null is float32.
 * @throws {RangeError} If one of these fails; the message names the first.
 */
export function checkLinear(
  name: string,
  { engine, weight, bias, dynamic = false }: LinearOperator,
  x: OptionalQParams,
  to: readonly OptionalQParams[],
): void {
  const { outFeatures, inFeatures, perChannel, scales, zeroPoints } = weight;
  const each = outFeatures / scales.length;
  scales.forEach((scale, channel) => {
    const at = `${name}.scales[${channel}]`;
    const step = Math.fround((x?.scale ?? 1) * scale);
    if (!(step > 0 && to.every((y) => canRescale(step, step / (y?.scale ?? 1))))) {
      failRange(at, "a positive number that suits the input's scale", scale);
    }
    // An int8 less its zero point is at most 255 in magnitude.
    const certain = dynamic || fitsFloat32(scale * 255);
    const rule = x === null ? engine : linearEngine(engine, x, to);
    for (let row = channel * each; row < (channel + 1) * each; row++) {
      if (!certain && !fitsFloat32(scale * rowMagnitudes(weight, row, zeroPoints[channel]!).max)) {
        failRange(at, "weights that are float32 values", scale);
      }
      if (x === null) continue;
      const y = to[Math.floor(row * to.length / outFeatures)]!;
      const term = biasTerm(rule, perChannel || y === null, bias?.[row] ?? 0, step);
      if (!fitsFloat32(term)) {
        failRange(`${name}'s bias[${row}]`, `float32 to hold it in steps of ${step}`, bias![row]);
      }
      if (y !== null) continue;
      const bound = integerBound(x);
      const fits = (sum: number) => fitsFloat32(Math.fround(Math.abs(term) + sum * bound) * step);
      if (
        !fits(255 * inFeatures) && !fits(rowMagnitudes(weight, row, zeroPoints[channel]!).sum)
      ) {
        failRange(at, "sums that are float32 values", scale);
      }
    }
  });
}

/**
 * Requires the arrays of a linear operator, and that it suits each of its inputs: see
 * {@linkcode checkLinear}.
 *
 * @throws {TypeError} If the weight is no Int8Array.
 * @throws {RangeError} If a length, scale, zero point or bias is wrong.
 */
export function checkLayer(
  name: string,
  operator: LinearOperator,
  from: readonly OptionalQParams[],
  to: readonly OptionalQParams[],
): void {
  const { weight, bias } = operator;
  const { data, outFeatures, inFeatures, scales, zeroPoints } = weight ?? {};
  const each = scales?.length;
  if (!isInt8Array(data)) failType(`${name}.data`, "an Int8Array", data);
  if (data.length !== outFeatures * inFeatures) {
    failRange(name, `[${outFeatures}, ${inFeatures}]`, data.length);
  }
  if (!(each > 0) || outFeatures % each !== 0 || zeroPoints?.length !== each) {
    failRange(`${name}.scales`, `as many as zeroPoints, a divisor of ${outFeatures}`, each);
  }
  zeroPoints.forEach((point, i) => checkInteger(`${name}.zeroPoints[${i}]`, point, -128, 127));
  if (bias !== null) {
    if (bias?.length !== outFeatures) {
      failRange(`${name}'s bias`, `${outFeatures} elements`, bias?.length);
    }
    checkFinite(`${name}'s bias`, bias);
  }
  for (const x of from) checkLinear(name, operator, x, to);
}
