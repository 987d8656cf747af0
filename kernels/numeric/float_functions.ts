/**
 * Functions of one float32 value, each result a float32 value: made of operations that IEEE 754
 * fixes, so that every engine gives the same bits. {@linkcode FLOAT_FUNCTIONS} lists those that can
 * be an activation, both in float32 execution and in tables.
 *
 * @module
 */
import { clamp, powerOfTwo, ROUND_MAGIC } from "./requantize.ts";

const f = Math.fround;

const LN2_HIGH = 0.6931471803691238; // upper 32 bits of ln 2, so that k * LN2_HIGH is exact
const LN2_LOW = 1.9082149292705877e-10;

/**
 * e^x - 1 in double for |x| <= 256, relative error below 2^-51 (worst found 2^-51.98, over 60,000
 * inputs). Uses only operations that IEEE 754 fixes.
 */
function expm1(x: number): number {
  const k = (x * 1.4426950408889634 + ROUND_MAGIC) - ROUND_MAGIC;
  const r = (x - k * LN2_HIGH) - k * LN2_LOW;
  // e^r - 1 for |r| <= ln(2)/2: the Taylor polynomial to degree 14, by Horner.
  let p = 0;
  for (let n = 14; n > 1; n--) p = (p * r + 1) / n;
  p = r + r * r * p;
  const scale = powerOfTwo(k);
  return scale * p + (scale - 1);
}

/**
 * Relative error of Math.exp and Math.tanh up to which the results below are correct: 256 units in
 * the last place. ECMAScript sets no bound; engines stay within about one unit.
 */
const ENGINE_ERROR = 2 ** -44;

/**
 * The logistic function as PyTorch's CPU kernels compute it: `e = f(exp(-x)); f(1 / f(1 + e))`, f
 * rounding to float32 and exp {@linkcode expFloat32}. The same bits in every engine. Below -88.72
 * it is 0, as in PyTorch, because e overflows.
 *
 * @param x A float32 value, the infinities included; NaN gives NaN.
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

/**
 * e^x rounded to float32, overflow and subnormal results included. The same bits in every engine.
 *
 * Correctly rounded, which was checked for every float32 value
 * (tests/kernels/numeric/float_functions_exhaustive.ts).
 *
 * @param x A float32 value, the infinities included; NaN gives NaN.
 *
 * @example
 * ```ts
 * import { expFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals([expFloat32(0), expFloat32(1), expFloat32(-200)], [1, Math.fround(Math.E), 0]);
 * ```
 */
export function expFloat32(x: number): number {
  // Ziv's rounding test: where both ends of Math.exp's error interval round to the same float32
  // value, that value is correct, and found many times faster.
  const y = Math.exp(x);
  const rounded = Math.fround(y * (1 + ENGINE_ERROR));
  if (rounded === Math.fround(y * (1 - ENGINE_ERROR))) return rounded;
  return Math.fround(expFloat64(x));
}

/**
 * e^x in double for |x| <= 256, relative error below 2^-50; not correctly rounded, but the same
 * bits in every engine, which `Math.exp` need not give.
 *
 * @example
 * ```ts
 * import { expFloat64 } from "./float_functions.ts";
 * import { assertAlmostEquals } from "@std/assert";
 * assertAlmostEquals(expFloat64(-3), Math.exp(-3), 1e-16);
 * ```
 */
export function expFloat64(x: number): number {
  // Below 0, expm1(x) + 1 would cancel: the reciprocal of e^-x does not.
  return x < 0 ? 1 / (1 + expm1(-x)) : 1 + expm1(x);
}

/**
 * The hyperbolic tangent rounded to float32, correctly for every float32 value as
 * {@linkcode expFloat32}. The same bits in every engine.
 *
 * @param x A float32 value, the infinities included; NaN gives NaN.
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
  const y = Math.tanh(x);
  const rounded = Math.fround(y * (1 + ENGINE_ERROR));
  if (rounded === Math.fround(y * (1 - ENGINE_ERROR))) return rounded;
  const t = expm1(2 * x);
  return Math.fround(t / (t + 2));
}

/** Fraction bits of the fixed-point numbers that {@linkcode logFloat32} falls back on. */
const LOG_BITS = 160n;

/**
 * 2 atanh(numerator / denominator) * 2^160 by its power series, for ratios of magnitude up to 1/3.
 */
function twoAtanh(numerator: bigint, denominator: bigint): bigint {
  const ratio = (numerator << LOG_BITS) / denominator;
  const square = (ratio * ratio) >> LOG_BITS;
  let sum = 0n;
  // Shifting rounds down, so that the power of a negative ratio ends at -1.
  for (let power = ratio, n = 1n; power !== 0n && power !== -1n; n += 2n) {
    sum += power / n;
    power = (power * square) >> LOG_BITS;
  }
  return 2n * sum;
}

/**
 * The natural logarithm of a positive float32 value other than 1, to 2^-120 of its size, rounded to
 * odd in double.
 */
function logRoundedToOdd(x: number): number {
  // x = mantissa * 2^exponent, the mantissa's logarithm 2 atanh((m - 1) / (m + 1)) for m near 1.
  let exponent = 0;
  let mantissa = x;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    exponent--;
  }
  while (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  const units = BigInt(mantissa * 2 ** 24);
  const one = 1n << 24n;
  const log = twoAtanh(units - one, units + one) + BigInt(exponent) * twoAtanh(1n, 3n);
  const size = log < 0n ? -log : log;
  const surplus = BigInt(Math.max(0, size.toString(2).length - 53));
  const quotient = size >> surplus;
  // No logarithm of a rational number but 1 is rational: something is always cut off.
  const odd = Number(quotient | 1n);
  return (log < 0n ? -odd : odd) * powerOfTwo(Number(surplus - LOG_BITS));
}

/**
 * The natural logarithm rounded to float32, correctly for every float32 value (checked as
 * {@linkcode expFloat32}'s). The same bits in every engine.
 *
 * @param x A float32 value; 0 gives -Infinity, negative values and NaN give NaN.
 *
 * @example
 * ```ts
 * import { logFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals([1, 10, 0].map(logFloat32), [0, Math.fround(Math.LN10), -Infinity]);
 * ```
 */
export function logFloat32(x: number): number {
  const y = Math.log(x);
  const rounded = f(y * (1 + ENGINE_ERROR));
  if (rounded === f(y * (1 - ENGINE_ERROR)) || x !== x || x < 0) return rounded;
  return f(logRoundedToOdd(x));
}

/**
 * max(x, 0), torch.relu.
 *
 * @param x A float32 value; NaN stays.
 *
 * @example
 * ```ts
 * import { reluFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals([-2, 0.5].map(reluFloat32), [0, 0.5]);
 * ```
 */
export function reluFloat32(x: number): number {
  return x < 0 ? 0 : x;
}

/**
 * torch.nn.LeakyReLU: x where it is above 0, else `f(x * f(negativeSlope))`.
 *
 * @param x A float32 value.
 * @param negativeSlope Used as float32.
 *
 * @example
 * ```ts
 * import { leakyReluFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals([leakyReluFloat32(-2, 0.25), leakyReluFloat32(2, 0.25)], [-0.5, 2]);
 * ```
 */
export function leakyReluFloat32(x: number, negativeSlope: number): number {
  return x > 0 ? x : f(x * f(negativeSlope));
}

/**
 * torch.nn.Hardsigmoid: `f(clamp(f(x + 3), 0, 6) / 6)`.
 *
 * @param x A float32 value.
 *
 * @example
 * ```ts
 * import { hardSigmoidFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals([-4, 0, 1.5, 4].map(hardSigmoidFloat32), [0, 0.5, 0.75, 1]);
 * ```
 */
export function hardSigmoidFloat32(x: number): number {
  return f(clamp(f(x + 3), 0, 6) / 6);
}

/**
 * The hard sigmoid of a given slope and offset: `clamp(f(f(f(slope) * x) + f(offset)), 0, 1)`.
 *
 * Keras 2 and ONNX's default: slope 0.2, offset 0.5. Keras 3: slope 1/6, offset 0.5, which is
 * {@linkcode hardSigmoidFloat32} except in the last bits.
 *
 * @param x A float32 value.
 *
 * @example
 * ```ts
 * import { hardSigmoidOf } from "./float_functions.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([-3, 0, 3].map((x) => hardSigmoidOf(x, 0.2, 0.5)), [0, 0.5, 1]);
 * ```
 */
export function hardSigmoidOf(x: number, slope: number, offset: number): number {
  return clamp(f(f(f(slope) * x) + f(offset)), 0, 1);
}

/**
 * x itself.
 *
 * @example
 * ```ts
 * import { linearFunction } from "./float_functions.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(linearFunction(3), 3);
 * ```
 */
export function linearFunction(x: number): number {
  return x;
}

/**
 * Activations without parameters, by name: float32 value to float32 value.
 *
 * @example
 * ```ts
 * import { FLOAT_FUNCTIONS } from "@splitgate/splitgate/backend";
 * import { assertEquals } from "@std/assert";
 * assertEquals(FLOAT_FUNCTIONS.relu(-2), 0);
 * ```
 */
export const FLOAT_FUNCTIONS = {
  /** {@linkcode sigmoidFloat32} */
  sigmoid: sigmoidFloat32,
  /** {@linkcode tanhFloat32} */
  tanh: tanhFloat32,
  /** {@linkcode reluFloat32} */
  relu: reluFloat32,
  /** {@linkcode linearFunction} */
  linear: linearFunction,
  /** {@linkcode hardSigmoidFloat32}, as PyTorch computes it. */
  hardSigmoid: hardSigmoidFloat32,
} as const;

/**
 * The hard sigmoid with parameters: {@linkcode hardSigmoidOf}.
 *
 * @example
 * ```ts
 * import type { HardSigmoid } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const keras2: HardSigmoid = { name: "hardSigmoid", slope: 0.2, offset: 0.5 };
 * const at = (x: number) => Math.min(Math.max(keras2.slope * x + keras2.offset, 0), 1);
 * assertEquals([-9, 0, 9].map(at), [0, 0.5, 1]);
 * ```
 */
export interface HardSigmoid {
  /** Which function. */
  readonly name: "hardSigmoid";
  /** Factor of x, used as float32; not negative where outputs must not fall. */
  readonly slope: number;
  /** Added to the product; used as float32. */
  readonly offset: number;
}

/**
 * {@linkcode leakyReluFloat32} with its slope.
 *
 * @example
 * ```ts
 * import type { LeakyReLUFunction } from "@splitgate/splitgate/modules";
 * import { LeakyReLU } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const of: LeakyReLUFunction = { name: "leakyRelu", negativeSlope: 0.25 };
 * assertEquals(new LeakyReLU({ negativeSlope: 0.25 }).activation, of);
 * ```
 */
export interface LeakyReLUFunction {
  /** Which function. */
  readonly name: "leakyRelu";
  /** Factor of negative x, used as float32. */
  readonly negativeSlope: number;
}

/**
 * A function of one value: by name, or with its parameters where it has some. Plain data.
 *
 * @example
 * ```ts
 * import { Tanh } from "@splitgate/splitgate";
 * import type { Activation } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const activation: Activation = new Tanh().activation; // a name, or an object with numbers
 * assertEquals(activation, "tanh");
 * ```
 */
export type Activation = keyof typeof FLOAT_FUNCTIONS | HardSigmoid | LeakyReLUFunction;

/**
 * The float32 function that an activation stands for.
 *
 * @example
 * ```ts
 * import { floatFunction } from "./float_functions.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(floatFunction("tanh")(0), 0);
 * assertEquals(floatFunction({ name: "leakyRelu", negativeSlope: 0.5 })(-1), -0.5);
 * ```
 */
export function floatFunction(activation: Activation): (x: number) => number {
  if (typeof activation === "string") return FLOAT_FUNCTIONS[activation];
  if (activation.name === "leakyRelu") {
    const { negativeSlope } = activation;
    return (x) => leakyReluFloat32(x, negativeSlope);
  }
  const { slope, offset } = activation;
  return (x) => hardSigmoidOf(x, slope, offset);
}
