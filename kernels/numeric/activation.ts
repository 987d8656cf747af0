/**
 * Sigmoid and tanh: the float functions, computed from basic arithmetic alone so that every engine gives the
 * same bits, and their tables over quantized inputs.
 *
 * @module
 */
import type { Affine } from "./quantize.ts";
import { clamp, powerOfTwo, reciprocal, ROUND_MAGIC, roundHalfEven } from "./requantize.ts";

const LN2_HIGH = 0.6931471803691238; // upper 32 bits of ln 2, so that k * LN2_HIGH is exact
const LN2_LOW = 1.9082149292705877e-10;

/**
 * e^x - 1 in double for |x| <= 256, relative error below 2^-51 (worst found 2^-51.98, over 60,000 inputs). Uses only
 * operations that IEEE 754 fixes.
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
 * How far, relatively, Math.exp and Math.tanh may be off for the results below to hold: 256 units in the last place,
 * where engines stay within about one. ECMAScript sets no bound.
 */
const ENGINE_ERROR = 2 ** -44;

/**
 * The logistic function as PyTorch's CPU kernels compute it: `e = f(exp(-x)); f(1 / f(1 + e))`, f rounding to
 * float32 and exp {@linkcode expFloat32}. The same bits in every engine. Below -88.72 it is 0, as in PyTorch, for e
 * overflows.
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
 * Correctly rounded, which was checked for every float32 value (tests/kernels/activation_exhaustive.ts).
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
  // Ziv's rounding test: where all that Math.exp may mean rounds alike, it is right, and many times as fast.
  const y = Math.exp(x);
  const rounded = Math.fround(y * (1 + ENGINE_ERROR));
  if (rounded === Math.fround(y * (1 - ENGINE_ERROR))) return rounded;
  // Down here expm1 + 1 would cancel, so that the power is taken of the positive argument.
  return Math.fround(x < 0 ? 1 / (1 + expm1(-x)) : 1 + expm1(x));
}

/**
 * The hyperbolic tangent rounded to float32, correctly for every float32 value as {@linkcode expFloat32}. The same bits
 * in every engine.
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

/** Which function a table holds. */
export type Activation = "sigmoid" | "tanh";

/**
 * A function over quantized inputs, tabulated entry by entry as inputs are met. Inputs and outputs are
 * integers less their zero points. A large table has memory only once it has been asked often: for a few steps, that
 * would cost more than the function.
 */
export interface ActivationTable {
  /** Outputs by `input - first`, NaN where not computed yet; empty while none are kept. */
  data: Float32Array;
  /** Whether outputs are kept. */
  kept: boolean;
  /** How many outputs are kept once it has been asked often, as {@linkcode tableLength} says. */
  readonly size: number;
  /** How often it is asked before they are. */
  patience: number;
  /** Smallest input. */
  readonly first: number;
  /** What {@linkcode lookup} falls back on: the output for an input, both less their zero points. */
  readonly compute: (input: number) => number;
}

/**
 * Tables of up to so many outputs keep them from the beginning, larger ones once they have been asked often.
 *
 * @example
 * ```ts
 * import { activationTable, SMALL_TABLE } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const small = activationTable("sigmoid", { scale: 0.01, zeroPoint: 0, quantMin: 0, quantMax: SMALL_TABLE - 1 }, to);
 * const large = activationTable("sigmoid", { scale: 0.01, zeroPoint: 0, quantMin: 0, quantMax: SMALL_TABLE }, to);
 * assertEquals([small.kept, large.kept], [true, false]);
 * ```
 */
export const SMALL_TABLE = 4096;

/** How often a larger one is asked before it has. */
const PATIENCE = 2048;

const NONE = /* @__PURE__ */ new Float32Array(0);

/**
 * Sigmoid or tanh of quantized inputs, both sides less their zero points: the float function of `f(scale * f(input))`,
 * quantized as {@linkcode quantizeValue} does. It never falls as its input, an int32, grows.
 *
 * fbgemm and qnnpack agree here: where qnnpack rounds in a way of its own, to 1/256 and 1/128, the product that it does
 * not round to float32 is exact.
 *
 * @param scale Scale of the input, a float32 value.
 * @param to Parameters of the output.
 *
 * @example
 * ```ts
 * import { quantizedActivation } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const sigmoid = quantizedActivation("sigmoid", 0.1, to);
 * assertEquals([-20, 0, 1000].map(sigmoid), [31, 128, 255]);
 * ```
 */
export function quantizedActivation(
  activation: Activation,
  scale: number,
  to: Affine,
): (input: number) => number {
  const float = activation === "sigmoid" ? sigmoidFloat32 : tanhFloat32;
  const inverse = reciprocal(to.scale);
  const lo = to.quantMin - to.zeroPoint;
  const hi = to.quantMax - to.zeroPoint;
  return (input) =>
    clamp(
      roundHalfEven(Math.fround(float(Math.fround(scale * Math.fround(input))) * inverse)),
      lo,
      hi,
    );
}

/**
 * How many outputs a table keeps: one an input that `from` can have, up to 65,536; none beyond, or where outputs exceed
 * the 24 bits of a float32.
 *
 * @example
 * ```ts
 * import { tableLength } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * assertEquals([tableLength(q, q), tableLength({ ...q, quantMax: 65536 }, q)], [256, 0]);
 * ```
 */
export function tableLength(from: Affine, to: Affine): number {
  const size = from.quantMax - from.quantMin + 1;
  return size <= 65536 && to.quantMax - to.zeroPoint <= 16777216 &&
      to.zeroPoint - to.quantMin <= 16777216
    ? size
    : 0;
}

/**
 * A table of {@linkcode quantizedActivation} over the inputs `from` can have.
 *
 * @param outputs All of them, where they are known; else they are computed as they are asked for.
 *
 * @example
 * ```ts
 * import { activationTable, lookup } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const from = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const table = activationTable("sigmoid", from, to);
 * assertEquals(lookup(table, 0), 128);
 * ```
 */
export function activationTable(
  activation: Activation,
  from: Affine,
  to: Affine,
  outputs: Float32Array | null = null,
): ActivationTable {
  const size = tableLength(from, to);
  const kept = outputs !== null || (size > 0 && size <= SMALL_TABLE);
  return {
    data: outputs ?? (kept ? new Float32Array(size).fill(NaN) : NONE),
    kept,
    size,
    patience: PATIENCE,
    first: from.quantMin - from.zeroPoint,
    compute: quantizedActivation(activation, from.scale, to),
  };
}

/** Gives a table its memory, and tells whether there was some; if not, it will be asked for again. */
function keep(table: ActivationTable): boolean {
  try {
    table.data = new Float32Array(table.size).fill(NaN);
    return table.kept = true;
  } catch {
    table.patience = PATIENCE;
    return false;
  }
}

/**
 * The output for an input, both less their zero points, computed and kept on first use.
 *
 * @param input An integer that the table's input parameters allow.
 *
 * @example
 * ```ts
 * import { activationTable, lookup } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const from = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const to = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * assertEquals(lookup(activationTable("tanh", from, to), 127), 127);
 * ```
 */
export function lookup(table: ActivationTable, input: number): number {
  if (!table.kept && (table.size === 0 || table.patience-- > 0 || !keep(table))) {
    return table.compute(input);
  }
  const { data } = table;
  const index = input - table.first;
  const known = data[index]!;
  return known === known ? known : data[index] = table.compute(input);
}

/**
 * What tells tables apart: all that they depend on.
 *
 * @example
 * ```ts
 * import { activationKey } from "@splitgate/splitgate/kernels";
 * import { assert, assertEquals } from "@std/assert";
 * const q = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * assertEquals(activationKey("tanh", q, { ...q }), activationKey("tanh", q, q));
 * assert(activationKey("tanh", q, q) !== activationKey("sigmoid", q, q));
 * ```
 */
export function activationKey(activation: Activation, from: Affine, to: Affine): string {
  return [activation, ...[from, to].flatMap((q) => [q.scale, q.zeroPoint, q.quantMin, q.quantMax])]
    .join();
}
