/**
 * Sigmoid and tanh: the float functions, computed from basic arithmetic alone so that every engine gives the
 * same bits, and their tables over quantized inputs.
 *
 * @module
 */
import { roundHalfEven } from "./requantize.ts";

const LN2_HIGH = 0.6931471803691238; // upper 32 bits of ln 2, so that k * LN2_HIGH is exact
const LN2_LOW = 1.9082149292705877e-10;

/** 2^k for -1022 <= k <= 1023, exact. */
function powerOfTwo(k: number): number {
  let power = 1, base = k < 0 ? 0.5 : 2;
  for (let n = k < 0 ? -k : k; n > 0; n >>= 1) {
    if (n & 1) power *= base;
    base *= base;
  }
  return power;
}

/**
 * e^r - 1 for |r| <= ln(2)/2, within 1 ulp: the Taylor polynomial to degree 14, by Horner.
 */
function expm1Reduced(r: number): number {
  let p = 1 / 87178291200;
  p = p * r + 1 / 6227020800;
  p = p * r + 1 / 479001600;
  p = p * r + 1 / 39916800;
  p = p * r + 1 / 3628800;
  p = p * r + 1 / 362880;
  p = p * r + 1 / 40320;
  p = p * r + 1 / 5040;
  p = p * r + 1 / 720;
  p = p * r + 1 / 120;
  p = p * r + 1 / 24;
  p = p * r + 1 / 6;
  p = p * r + 0.5;
  return r + r * r * p;
}

/**
 * e^x - 1 in double, relative error below 2^-50. Saturates: x > 709 gives Infinity, x < -745 gives -1.
 *
 * Uses only operations that IEEE 754 fixes, unlike Math.exp, whose last bits differ between engines.
 */
function expm1(x: number): number {
  if (x > 709) return Infinity;
  if (x < -40) return -1;
  const k = roundHalfEven(x * 1.4426950408889634);
  const r = (x - k * LN2_HIGH) - k * LN2_LOW;
  const p = expm1Reduced(r);
  if (k === 0) return p;
  const scale = powerOfTwo(k);
  return scale * p + (scale - 1);
}

/**
 * The logistic function as PyTorch's CPU kernels compute it: `e = f(exp(-x)); f(1 / f(1 + e))`, f rounding to
 * float32. The same bits in every engine.
 *
 * @param x A float32 value.
 * @returns A float32 value in 0..1.
 *
 * @example
 * ```ts
 * import { sigmoidFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(sigmoidFloat32(0), 0.5);
 * ```
 */
export function sigmoidFloat32(x: number): number {
  return Math.fround(1 / Math.fround(1 + expFloat32(-x)));
}

/** e^x rounded to float32: below the smallest subnormal it is 0. */
export function expFloat32(x: number): number {
  if (x < -104) return 0;
  // Down here expm1 + 1 would cancel, so that the power is taken of the positive argument.
  return Math.fround(x < 0 ? 1 / (1 + expm1(-x)) : 1 + expm1(x));
}

/**
 * The hyperbolic tangent rounded to float32. The same bits in every engine.
 *
 * @param x A float32 value.
 * @returns A float32 value in -1..1.
 *
 * @example
 * ```ts
 * import { tanhFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 * assertAlmostEquals(tanhFloat32(0.5), Math.tanh(0.5), 1e-7);
 * ```
 */
export function tanhFloat32(x: number): number {
  if (x > 10) return 1;
  if (x < -10) return -1;
  const t = expm1(2 * x);
  return Math.fround(t / (t + 2));
}
