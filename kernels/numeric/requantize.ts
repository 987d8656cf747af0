/**
 * Rounding, saturation and rescaling: the one definition of each that every other kernel calls.
 *
 * @module
 */

/**
 * 1.5 * 2^52. Adding and subtracting it rounds a double of magnitude below 2^51 to an integer, half
 * to even.
 *
 * @example
 * ```ts
 * import { ROUND_MAGIC } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([0.5, 1.5, -2.5].map((x) => (x + ROUND_MAGIC) - ROUND_MAGIC), [0, 2, -2]);
 * ```
 */
export const ROUND_MAGIC = 6755399441055744;

/**
 * Rounds to the nearest integer, half to even.
 *
 * Exact for |x| <= 2^51, with +0 for both zeros; above, the result is within one part in 2^51 of x,
 * so that clamping it still saturates at the correct end. NaN and the infinities stay.
 *
 * @example
 * ```ts
 * import { roundHalfEven } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([0.5, 1.5, 2.5, 2.51].map(roundHalfEven), [0, 2, 2, 3]);
 * ```
 */
export function roundHalfEven(x: number): number {
  return (x + ROUND_MAGIC) - ROUND_MAGIC;
}

/**
 * `a * b + c` rounded once to float32 (a fused multiply-add), for any finite float32 a, b and c.
 * Results that are subnormal or overflow are rounded right too; a zero is +0 unless both terms are
 * -0.
 *
 * The product of two float32 values is exact in double; the sum is rounded to odd before it is
 * rounded to float32 (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
 *
 * @example
 * ```ts
 * import { fmaFloat32 } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(fmaFloat32(1 + 2 ** -23, 1 - 2 ** -23, -1), -(2 ** -46));
 * ```
 */
export function fmaFloat32(a: number, b: number, c: number): number {
  return Math.fround(addRoundedToOdd(a * b, c));
}

// The low word of a double comes first: the machines that this package supports are little-endian.
const doubleView = new Float64Array(1);
const wordView = new Uint32Array(doubleView.buffer);

/**
 * `a + b` rounded to odd: the exact sum where it is a double, else the one of its two neighbours
 * whose last bit is 1. For doubles of magnitude up to 2^1000; an overflow is passed on.
 *
 * @example
 * ```ts
 * import { addRoundedToOdd } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(addRoundedToOdd(1, 2 ** -60), 1 + 2 ** -52);
 * assertEquals(addRoundedToOdd(1, -(2 ** -60)), 1 - 2 ** -53);
 * ```
 */
export function addRoundedToOdd(a: number, b: number): number {
  const s = a + b;
  const t = s - a;
  const error = (a - (s - t)) + (b - t);
  if (error === 0 || error !== error) return s;
  doubleView[0] = s;
  if ((wordView[0]! & 1) === 0) {
    // Away from zero if the error has the sum's sign, toward zero otherwise.
    if ((error > 0) === (s > 0)) {
      wordView[0]! |= 1;
    } else {
      if (wordView[0] === 0) wordView[1]! -= 1;
      wordView[0]! -= 1;
    }
  }
  return doubleView[0];
}

/**
 * 2^k for integers -1022 <= k <= 1023, exact in every engine, as Math.pow need not be.
 *
 * @example
 * ```ts
 * import { powerOfTwo } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([powerOfTwo(10), powerOfTwo(-1)], [1024, 0.5]);
 * ```
 */
export function powerOfTwo(k: number): number {
  wordView[0] = 0;
  wordView[1] = (k + 1023) << 20;
  return doubleView[0]!;
}

/**
 * Clamps to lo..hi, lo <= hi. NaN stays NaN.
 *
 * @example
 * ```ts
 * import { clamp } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([-1, 3, 300].map((x) => clamp(x, 0, 255)), [0, 3, 255]);
 * ```
 */
export function clamp(x: number, lo: number, hi: number): number {
  return x < lo ? lo : x > hi ? hi : x;
}

/**
 * The largest float32 value.
 *
 * @example
 * ```ts
 * import { MAX_FLOAT32 } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([Math.fround(MAX_FLOAT32), Math.fround(2 * MAX_FLOAT32)], [MAX_FLOAT32, Infinity]);
 * ```
 */
export const MAX_FLOAT32 = 3.4028234663852886e38;

/**
 * Saturates overflowed results in place: infinities become the largest float32 value of the same
 * sign.
 *
 * Otherwise Infinity - Infinity or 0 * Infinity would later give NaN, which cannot be quantized.
 *
 * @param x float32 values, none NaN.
 *
 * @example
 * ```ts
 * import { MAX_FLOAT32, saturateFloat32 } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * const x = Float32Array.of(1, -Infinity);
 * saturateFloat32(x);
 * assertEquals([...x], [1, -MAX_FLOAT32]);
 * ```
 */
export function saturateFloat32(x: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i] = clamp(x[i]!, -MAX_FLOAT32, MAX_FLOAT32);
}

/**
 * The reciprocal that quantization multiplies by: `f(1 / f(scale))`, f rounding to float32. Finite
 * for scales above 2^-128, which all kernels require.
 *
 * @example
 * ```ts
 * import { reciprocal } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(reciprocal(0.1), Math.fround(1 / Math.fround(0.1)));
 * ```
 */
export function reciprocal(scale: number): number {
  return Math.fround(1 / Math.fround(scale));
}

/**
 * One float32 value to its integer: `clamp(rne(f(x * inv)) + zeroPoint, quantMin, quantMax)`, as
 * torch.quantize_per_tensor computes it for quint8 and qint8. Exact for any quantMin <= zeroPoint
 * <= quantMax in int32 (torch adds the zero point of qint32 in float32:
 * {@linkcode quantizeValueWide}; up to 16 bits it is the same). Huge and infinite values saturate
 * at the end of the range that has their sign.
 *
 * @param x A float32 value, not NaN.
 * @param inverseScale {@linkcode reciprocal} of the scale.
 *
 * @example
 * ```ts
 * import { quantizeValue } from "@splitgate/splitgate/kernels";
 * import { reciprocal } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(quantizeValue(1.25, reciprocal(0.5), 10, 0, 255), 12);
 * ```
 */
export function quantizeValue(
  x: number,
  inverseScale: number,
  zeroPoint: number,
  quantMin: number,
  quantMax: number,
): number {
  return clamp(
    roundHalfEven(Math.fround(x * inverseScale)) + zeroPoint,
    quantMin,
    quantMax,
  );
}

/**
 * {@linkcode quantizeValue} as torch.quantize_per_tensor computes it for qint32: the zero point is
 * added in float32, `clamp(f(rne(f(x * inv)) + zeroPoint))`. Equal to it wherever the sum is below
 * 2^24, hence in any range of 16 bits.
 *
 * @example
 * ```ts
 * import { quantizeValueWide, reciprocal } from "./requantize.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(quantizeValueWide(1e30, reciprocal(1), 0, -(2 ** 31), 2 ** 31 - 1), 2 ** 31 - 1);
 * ```
 */
export function quantizeValueWide(
  x: number,
  inverseScale: number,
  zeroPoint: number,
  quantMin: number,
  quantMax: number,
): number {
  return clamp(
    Math.fround(roundHalfEven(Math.fround(x * inverseScale)) + zeroPoint),
    quantMin,
    quantMax,
  );
}

/**
 * One integer to its real value: `f(scale * f(q - zeroPoint))`.
 *
 * torch's rule for every int32 q and zeroPoint whose difference fits an int32; torch wraps others,
 * this does not.
 *
 * @example
 * ```ts
 * import { dequantizeValue } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(dequantizeValue(12, 0.5, 10), 1);
 * ```
 */
export function dequantizeValue(
  q: number,
  scale: number,
  zeroPoint: number,
): number {
  return Math.fround(Math.fround(scale) * Math.fround(q - zeroPoint));
}
