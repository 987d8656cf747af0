/**
 * The int8 linear operator: integer accumulators, then bias and rescaling in float32 as PyTorch's
 * two arithmetics do them.
 *
 * @module
 */
import { clamp, fmaFloat32, reciprocal, roundHalfEven } from "../numeric/requantize.ts";
import type { Affine, Integers, QuantizedInput, QuantizedOutput } from "../numeric/quantize.ts";

/**
 * PyTorch's two families of rounding. `fbgemm` (also x86) adds the float bias to the accumulator;
 * `qnnpack` rounds the bias to an integer first, multiplies by reciprocals of scales, and adds
 * quint8 tensors in fixed point.
 *
 * @example
 * ```ts
 * import { chooseQParamsDynamic, type Engine } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * // torch's kernels for x86 and for ARM, which round in other ways.
 * const engines: Engine[] = ["fbgemm", "qnnpack"];
 * const scales = engines.map((engine) => chooseQParamsDynamic(0, 127, true, engine).scale);
 * assertEquals(scales, [1, Math.fround(127 / 255)]); // fbgemm's range is reduced to 7 bits
 * ```
 */
export type Engine = "fbgemm" | "qnnpack";

/**
 * An int8 weight [outFeatures, inFeatures].
 *
 * @example
 * ```ts
 * import type { LinearWeight } from "@splitgate/splitgate/kernels";
 * const weight: LinearWeight = {
 *   data: Int8Array.of(1, 2, 3, 4, 5, 6), // [out, in]
 *   outFeatures: 2,
 *   inFeatures: 3,
 *   perChannel: false,
 *   scales: Float32Array.of(0.5),
 *   zeroPoints: new Int32Array(1),
 * };
 * const real = (row: number, column: number) =>
 *   weight.data[row * weight.inFeatures + column]! * weight.scales[0]!;
 * real(1, 2); // 6 / 2
 * ```
 */
export interface LinearWeight {
  /** Row-major, one row an output. */
  readonly data: Int8Array;
  /** Rows. */
  readonly outFeatures: number;
  /** Columns. */
  readonly inFeatures: number;
  /** Whether it was quantized per channel: fbgemm then rounds the bias differently. */
  readonly perChannel: boolean;
  /**
   * One for all rows, one for each of several equal blocks of rows (split gates have four), or one
   * a row.
   */
  readonly scales: Float32Array;
  /** As many as there are scales. */
  readonly zeroPoints: Int32Array;
}

/**
 * What a linear operator computes with.
 *
 * @example
 * ```ts
 * import { linearInt8, type LinearParameters } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(1, 2, 3, 4, 5, 6), // [out, in]
 *   outFeatures: 2,
 *   inFeatures: 3,
 *   perChannel: false,
 *   scales: Float32Array.of(0.5),
 *   zeroPoints: new Int32Array(1),
 * };
 * const qparams = { scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const out = { data: new Uint8Array(2), qparams };
 * const x = { data: Uint8Array.of(1, 1, 1), qparams: { scale: 1, zeroPoint: 0 } };
 * const parameters: LinearParameters = { weight, bias: Float32Array.of(0, 0.5), relu: true };
 * linearInt8("fbgemm", x, parameters, out);
 * assertEquals([...out.data], [3, 8]);
 * ```
 */
export interface LinearParameters {
  /** [outFeatures, inFeatures] */
  readonly weight: LinearWeight;
  /** float32 [outFeatures], or null. */
  readonly bias: Float32Array | null;
  /** Whether negative results become 0; false by default. */
  readonly relu?: boolean;
}

/**
 * Index of the scale and zero point of a weight's row.
 *
 * @example
 * ```ts
 * import { channelOf } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * const weight = { outFeatures: 8, scales: new Float32Array(4) }; // one a block of two rows
 * assertEquals(channelOf(weight, 5), 2);
 * ```
 */
export function channelOf(
  { scales, outFeatures }: Pick<LinearWeight, "scales" | "outFeatures">,
  row: number,
): number {
  return Math.floor(row * scales.length / outFeatures);
}

/**
 * `sum (x[k] - zeroPoint) * (w[k] - weightZeroPoint)` of one weight row: an exact integer while
 * below 2^53, hence for any row of 8-bit values of up to 2^37. torch sums in int32, which holds any
 * 33,025 such products.
 *
 * @param x Integers; [inFeatures] at `offset` are read.
 * @param zeroPoint Of `x`.
 *
 * @example
 * ```ts
 * import { dotInt8 } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(2, -1),
 *   outFeatures: 1,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(1),
 *   zeroPoints: Int32Array.of(0),
 * };
 * assertEquals(dotInt8(Uint8Array.of(12, 10), 0, 10, weight, 0), 4);
 * ```
 */
export function dotInt8(
  x: Integers,
  offset: number,
  zeroPoint: number,
  weight: LinearWeight,
  row: number,
): number {
  const { data, inFeatures } = weight;
  const start = row * inFeatures;
  const weightZeroPoint = weight.zeroPoints[channelOf(weight, row)]!;
  let sum = 0;
  for (let k = 0; k < inFeatures; k++) {
    sum += (x[offset + k]! - zeroPoint) * (data[start + k]! - weightZeroPoint);
  }
  return sum;
}

/**
 * The quantized linear operator, plain: quantized::linear and quantized::linear_relu of torch,
 * `clamp(rne(f(addBias * linearMultiplier)) + zeroPoint)`.
 *
 * torch's result wherever its int32 accumulator does not overflow and the result is quint8, its
 * only one; other dtypes and wider sums follow the same rule. Scales, and products of input and
 * weight scale, are above 2^-128.
 *
 * @param engine Whose rounding.
 * @param x [rows, inFeatures]
 * @param out [rows, outFeatures]
 *
 * @example
 * ```ts
 * import { linearInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(2, -1),
 *   outFeatures: 1,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(0.5),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const out = new Uint8Array(1);
 * linearInt8(
 *   "fbgemm",
 *   { data: Uint8Array.of(12, 10), qparams: { scale: 1, zeroPoint: 10 } },
 *   { weight, bias: Float32Array.of(1) },
 *   { data: out, qparams: { scale: 0.5, zeroPoint: 0, quantMin: 0, quantMax: 255 } },
 * );
 * assertEquals(out[0], 6);
 * ```
 */
export function linearInt8(
  engine: Engine,
  x: QuantizedInput,
  linear: LinearParameters,
  out: QuantizedOutput,
): void {
  const { data, qparams: from } = x;
  const { weight, bias } = linear;
  const { inFeatures, outFeatures, perChannel } = weight;
  const { data: integers, qparams: to } = out;
  const lo = linear.relu ? Math.max(to.zeroPoint, to.quantMin) : to.quantMin;
  for (let i = 0, o = 0; i < data.length; i += inFeatures) {
    for (let row = 0; row < outFeatures; row++, o++) {
      const sum = dotInt8(data, i, from.zeroPoint, weight, row);
      const scale = Math.fround(from.scale * weight.scales[channelOf(weight, row)]!);
      const value = addBias(
        engine,
        sum,
        perChannel,
        bias === null ? 0 : bias[row]!,
        scale,
      );
      const product = Math.fround(
        value * linearMultiplier(engine, scale, to.scale),
      );
      integers[o] = clamp(roundHalfEven(product) + to.zeroPoint, lo, to.quantMax);
    }
  }
}

/**
 * The int8 linear operator with float32 results, for an output that is not quantized: the bias is
 * added as fbgemm adds it per channel (qnnpack: as it always does, see {@linkcode linearEngine}),
 * and the sum is multiplied by the accumulator's scale.
 *
 * @param x [rows, inFeatures]
 * @param out float32 [rows, outFeatures].
 *
 * @example
 * ```ts
 * import { linearInt8Float32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(2, -1),
 *   outFeatures: 1,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(0.5),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const out = new Float32Array(1);
 * const x = { data: Uint8Array.of(12, 10), qparams: { scale: 1, zeroPoint: 10 } };
 * linearInt8Float32("fbgemm", x, { weight, bias: Float32Array.of(1) }, out);
 * assertEquals(out[0], 3);
 * ```
 */
export function linearInt8Float32(
  engine: Engine,
  x: QuantizedInput,
  linear: LinearParameters,
  out: Float32Array,
): void {
  const { data, qparams: from } = x;
  const { weight, bias, relu = false } = linear;
  const { inFeatures, outFeatures, scales } = weight;
  for (let i = 0, o = 0; i < data.length; i += inFeatures) {
    for (let row = 0; row < outFeatures; row++, o++) {
      const sum = dotInt8(data, i, from.zeroPoint, weight, row);
      const scale = Math.fround(from.scale * scales[channelOf(weight, row)]!);
      const y = addBias(engine, sum, true, bias === null ? 0 : bias[row]!, scale) * scale;
      out[o] = relu && !(y > 0) ? 0 : y;
    }
  }
}

/**
 * The engine whose rule a linear operator follows: qnnpack's only for 8 bits in and out, the only
 * case that torch has. With wider values qnnpack's rule, which rounds the bias to the accumulator's
 * step and to int32, would lose precision or overflow.
 *
 * @param from Parameters of the input.
 * @param to Parameters of its outputs, one a gate or one for all; null where one is float32.
 *
 * @example
 * ```ts
 * import { linearEngine } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * assertEquals([linearEngine("qnnpack", q, [q]), linearEngine("qnnpack", q, [null])], [
 *   "qnnpack",
 *   "fbgemm",
 * ]);
 * ```
 */
export function linearEngine(engine: Engine, from: Affine, to: readonly (Affine | null)[]): Engine {
  return [from, ...to].every((q) => q !== null && q.quantMax - q.quantMin <= 255)
    ? engine
    : "fbgemm";
}

/**
 * The accumulator with its bias, in units of `scale`, rounded to float32 by the engine's rule:
 * fbgemm `fma(bias, inv(scale), f(sum))` per tensor, `f(f(sum) + f(bias / scale))` per channel;
 * qnnpack `f(sum + rne(f(bias * inv(scale))))`.
 *
 * @param sum An integer below 2^53.
 * @param bias A float32 value; 0 is no bias.
 * @param scale A float32 value above 2^-128.
 *
 * @example
 * ```ts
 * import { addBias } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(addBias("fbgemm", 10, false, 0.75, 0.5), 11.5);
 * assertEquals(addBias("qnnpack", 10, false, 0.75, 0.5), 12); // rne(1.5) = 2
 * ```
 */
export function addBias(
  engine: Engine,
  sum: number,
  perChannel: boolean,
  bias: number,
  scale: number,
): number {
  if (bias === 0) return Math.fround(sum);
  if (engine === "qnnpack") {
    return Math.fround(sum + biasTerm(engine, perChannel, bias, scale));
  }
  if (perChannel) {
    return Math.fround(
      Math.fround(sum) + biasTerm(engine, perChannel, bias, scale),
    );
  }
  return fmaFloat32(bias, reciprocal(scale), Math.fround(sum));
}

/**
 * The bias in units of the accumulator, exact as a double: what is added to the accumulator before
 * the one rounding to float32. qnnpack's is an integer, clamped to int32.
 *
 * @example
 * ```ts
 * import { biasTerm } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([biasTerm("fbgemm", false, 0.75, 0.5), biasTerm("qnnpack", false, 0.75, 0.5)], [
 *   1.5,
 *   2,
 * ]);
 * ```
 */
export function biasTerm(
  engine: Engine,
  perChannel: boolean,
  bias: number,
  scale: number,
): number {
  if (engine === "qnnpack") {
    return clamp(
      roundHalfEven(Math.fround(bias * reciprocal(scale))),
      -2147483648,
      2147483647,
    );
  }
  return perChannel ? Math.fround(bias / scale) : bias * reciprocal(scale);
}

/**
 * The factor from units of `scale` to units of `outScale`, a float32 value: `f(scale / outScale)`
 * for fbgemm, `f(scale * inv(outScale))` for qnnpack.
 *
 * @example
 * ```ts
 * import { linearMultiplier } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(linearMultiplier("fbgemm", 0.125, 0.5), 0.25);
 * ```
 */
export function linearMultiplier(
  engine: Engine,
  scale: number,
  outScale: number,
): number {
  return Math.fround(
    engine === "qnnpack" ? scale * reciprocal(outScale) : scale / Math.fround(outScale),
  );
}

/**
 * Whether an accumulator can be rescaled in float32: the reciprocal of its scale and the multiplier
 * towards the output are finite.
 *
 * @param scale Scale of the accumulator, a positive float32 value.
 * @param multiplier Towards the output, as {@linkcode linearMultiplier} gives it.
 *
 * @example
 * ```ts
 * import { canRescale } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([canRescale(2 ** -127, 1), canRescale(2 ** -128, 1)], [true, false]);
 * ```
 */
export function canRescale(scale: number, multiplier: number): boolean {
  return Math.max(reciprocal(scale), Math.fround(multiplier)) < Infinity;
}

/**
 * The bias term with which one plain addition, `f(term + sum)`, leads to the same integer as the
 * engine's rule.
 *
 * qnnpack's term is an integer, and integers add exactly. Per channel the term is a float32 value,
 * and the double sum of two float32 values rounds to float32 as if rounded once. Per tensor,
 * fbgemm's term is a product of 48 bits: it is rounded to odd at a step of at most 1/2 that is fine
 * enough for adding the accumulator, an even number of steps, to be exact in double. Where the sum
 * is at least 2^25 steps, half-way points of float32 are even numbers of steps too, so that the odd
 * term stays on its side of them; where it is less, it nearly cancels, and both sums give less than
 * half a step of the output.
 *
 * @param engine Whose rounding.
 * @param perChannel Whether the weight has a scale a row.
 * @param term {@linkcode biasTerm} of the row.
 * @param bound Largest magnitude that the accumulator can have.
 * @param multiplier {@linkcode linearMultiplier} of the row.
 * @returns The term, or NaN where a plain addition is not enough: {@linkcode addBias}'s result is
 * then that of `term` and the accumulator rounded to float32, added with
 * {@linkcode addRoundedToOdd} and rounded to float32.
 *
 * @example
 * ```ts
 * import { addBias, biasTerm, plainBiasTerm } from "./linear.ts";
 * import { assertEquals } from "@std/assert";
 * const scale = Math.fround(0.01), sum = 1000;
 * const term = plainBiasTerm("fbgemm", false, biasTerm("fbgemm", false, 0.25, scale), 5000, 0.1);
 * assertEquals(Math.fround(term + sum), addBias("fbgemm", sum, false, 0.25, scale));
 * ```
 */
export function plainBiasTerm(
  engine: Engine,
  perChannel: boolean,
  term: number,
  bound: number,
  multiplier: number,
): number {
  if (engine === "qnnpack") return term;
  if (bound >= 2 ** 24) return NaN;
  if (perChannel || term === 0) return term;
  const step = 2 ** (Math.ceil(Math.log2(Math.max(bound, Math.abs(term), 1))) - 51);
  if (step > 0.5 || step * 2 ** 25 * multiplier >= 0.5) return NaN;
  const low = Math.floor(term / step);
  return (low * step === term || low % 2 !== 0 ? low : low + 1) * step;
}
