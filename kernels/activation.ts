/**
 * Sigmoid and tanh: the float functions, computed from basic arithmetic alone so that every engine gives the
 * same bits, and their tables over quantized inputs.
 *
 * @module
 */
import type { Engine } from "./linear.ts";
import type { Affine } from "./quantize.ts";
import { clamp, powerOfTwo, reciprocal, ROUND_MAGIC, roundHalfEven } from "./requantize.ts";

const LN2_HIGH = 0.6931471803691238; // upper 32 bits of ln 2, so that k * LN2_HIGH is exact
const LN2_LOW = 1.9082149292705877e-10;

/**
 * e^x - 1 in double, relative error below 2^-51 (worst found 2^-51.98, over 60,000 inputs). Saturates: x > 709 gives
 * Infinity, x < -40 gives -1.
 *
 * Uses only operations that IEEE 754 fixes, unlike Math.exp, whose last bits differ between engines.
 */
function expm1(x: number): number {
  if (x > 709) return Infinity;
  if (x < -40) return -1;
  const k = (x * 1.4426950408889634 + ROUND_MAGIC) - ROUND_MAGIC;
  const r = (x - k * LN2_HIGH) - k * LN2_LOW;
  // e^r - 1 for |r| <= ln(2)/2: the Taylor polynomial to degree 14, by Horner, and no call: a first run, in which
  // nothing is compiled yet, comes here some thousand times.
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
  p = r + r * r * p;
  if (k === 0) return p;
  const scale = powerOfTwo(k);
  return scale * p + (scale - 1);
}

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
  if (x < -104) return 0;
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
  if (x > 10) return 1;
  if (x < -10) return -1;
  const t = expm1(2 * x);
  return Math.fround(t / (t + 2));
}

/** Which function a table holds. */
export type Activation = "sigmoid" | "tanh";

/**
 * A function over quantized inputs, tabulated entry by entry as inputs are met. Inputs and outputs are
 * integers less their zero points.
 */
export interface ActivationTable {
  /**
   * Outputs by `input - first`; NaN where not computed yet. Length 0 where nothing is kept: where the input range
   * exceeds 16 bits, or outputs exceed the 24 bits of a float32.
   */
  readonly data: Float32Array;
  /** Smallest input. */
  readonly first: number;
  /** What {@linkcode lookup} falls back on: the output for an input, both less their zero points. */
  readonly compute: (input: number) => number;
}

/**
 * One output of sigmoid or tanh on a quantized input, both less their zero points: the float function of
 * `f(scale * f(input))`, quantized as {@linkcode quantizeValue} does.
 *
 * @param engine qnnpack has a rounding of its own where the output is quint8 at 1/256, 0 (sigmoid) or 1/128, 128
 * (tanh); at any other parameters the engines agree.
 * @param scale Scale of the input, a float32 value.
 * @param input The input less its zero point, an int32.
 * @param to Parameters of the output.
 *
 * @example
 * ```ts
 * import { activationInt } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * assertEquals(activationInt("fbgemm", "sigmoid", 0.1, 0, to), 128);
 * ```
 */
export function activationInt(
  engine: Engine,
  activation: Activation,
  scale: number,
  input: number,
  to: Affine,
): number {
  const x = Math.fround(scale * Math.fround(input));
  if (engine === "qnnpack" && to.quantMin === 0 && to.quantMax === 255) {
    if (
      activation === "sigmoid" && to.scale === 1 / 256 && to.zeroPoint === 0
    ) {
      return roundHalfEven(clamp(256 * sigmoidFloat32(x), 0, 255));
    }
    if (activation === "tanh" && to.scale === 1 / 128 && to.zeroPoint === 128) {
      return roundHalfEven(clamp(128 * tanhFloat32(x), -128, 127));
    }
  }
  const y = activation === "sigmoid" ? sigmoidFloat32(x) : tanhFloat32(x);
  return clamp(
    roundHalfEven(Math.fround(y * reciprocal(to.scale))),
    to.quantMin - to.zeroPoint,
    to.quantMax - to.zeroPoint,
  );
}

/**
 * An empty table of {@linkcode activationInt} over the inputs `from` can have: up to 65,536 entries.
 *
 * @example
 * ```ts
 * import { activationTable, lookup } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const from = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const table = activationTable("fbgemm", "sigmoid", from, to);
 * assertEquals(lookup(table, 0), 128);
 * ```
 */
export function activationTable(
  engine: Engine,
  activation: Activation,
  from: Affine,
  to: Affine,
): ActivationTable {
  const size = from.quantMax - from.quantMin + 1;
  const kept = size <= 65536 && to.quantMax - to.zeroPoint <= 16777216 && to.zeroPoint - to.quantMin <= 16777216;
  return {
    data: new Float32Array(kept ? size : 0).fill(NaN),
    first: from.quantMin - from.zeroPoint,
    compute: (input) => activationInt(engine, activation, from.scale, input, to),
  };
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
 * assertEquals(lookup(activationTable("fbgemm", "tanh", from, to), 127), 127);
 * ```
 */
export function lookup(table: ActivationTable, input: number): number {
  const { data } = table, index = input - table.first;
  if (index >= data.length) return table.compute(input);
  const known = data[index]!;
  return known === known ? known : data[index] = table.compute(input);
}

/** Tables made so far, by what they hold: gates, layers and directions that agree on it share one. */
export type ActivationTables = Map<string, ActivationTable>;

/**
 * {@linkcode activationTable}, or the one that `tables` already has for the same parameters.
 *
 * @example
 * ```ts
 * import { sharedActivationTable } from "@splitgate/splitgate/kernels";
 * import { assert } from "@std/assert";
 * const q = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 }, tables = new Map();
 * const table = sharedActivationTable(tables, "fbgemm", "tanh", q, q);
 * assert(sharedActivationTable(tables, "fbgemm", "tanh", { ...q }, q) === table);
 * ```
 */
export function sharedActivationTable(
  tables: ActivationTables,
  engine: Engine,
  activation: Activation,
  from: Affine,
  to: Affine,
): ActivationTable {
  const key = [engine, activation, ...[from, to].flatMap((q) => [q.scale, q.zeroPoint, q.quantMin, q.quantMax])].join();
  let table = tables.get(key);
  if (table === undefined) tables.set(key, table = activationTable(engine, activation, from, to));
  return table;
}
