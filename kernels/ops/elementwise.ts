/**
 * Quantized add and mul, elementwise, as quantized::add and quantized::mul of torch compute them.
 *
 * @module
 */
import {
  clamp,
  dequantizeValue,
  quantizeValue,
  reciprocal,
  roundHalfEven,
} from "../numeric/requantize.ts";
import type { Affine, QuantizedInput, QuantizedOutput } from "../numeric/quantize.ts";

/**
 * Quantized sum: `clamp(rne(f(f(A + B) * inv(scale))) + zeroPoint)` with A and B dequantized
 * ({@linkcode dequantizeValue}), the scalar rule of fbgemm at every position, between any dtypes.
 * torch's rule for sums below 2^24, hence in 8 and 16 bits; above, torch adds qint32's zero point
 * in float32 and this adds it exactly.
 *
 * @param a quint8, qint8 or qint32; each value less its zero point fits an int32. `b` likewise.
 * @param out As long as `a` and `b`.
 * @param relu Whether negative results become 0; false by default.
 *
 * @example
 * ```ts
 * import { addInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 0.5, zeroPoint: 10, quantMin: 0, quantMax: 255 };
 * const out = new Uint8Array(1);
 * addInt8(
 *   { data: Uint8Array.of(12), qparams: q },
 *   { data: Uint8Array.of(13), qparams: q },
 *   { data: out, qparams: q },
 * );
 * assertEquals(out[0], 15);
 * ```
 */
export function addInt8(
  a: QuantizedInput,
  b: QuantizedInput,
  out: QuantizedOutput,
  relu = false,
): void {
  const { scale: scaleA, zeroPoint: zeroPointA } = a.qparams;
  const { scale: scaleB, zeroPoint: zeroPointB } = b.qparams;
  const { data, qparams: to } = out;
  const inverse = reciprocal(to.scale);
  const lo = relu ? Math.max(to.zeroPoint, to.quantMin) : to.quantMin;
  for (let i = 0; i < data.length; i++) {
    const x = a.data[i]! - zeroPointA;
    const y = b.data[i]! - zeroPointB;
    const sum = dequantizedSum(x, scaleA, y, scaleB);
    data[i] = quantizeValue(sum, inverse, to.zeroPoint, lo, to.quantMax);
  }
}

/**
 * The float32 sum of two quantized values, `f(A + B)` with A and B dequantized
 * ({@linkcode dequantizeValue}).
 *
 * @param a Less its zero point; fits an int32. `b` likewise.
 *
 * @example
 * ```ts
 * import { dequantizedSum } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(dequantizedSum(3, 0.5, -2, 0.25), 1);
 * ```
 */
export function dequantizedSum(a: number, scaleA: number, b: number, scaleB: number): number {
  return Math.fround(dequantizeValue(a, scaleA, 0) + dequantizeValue(b, scaleB, 0));
}

/**
 * The constants of qnnpack's fixed-point addition of two quint8 tensors: multipliers of up to 2^22,
 * a shift of 14..35.
 *
 * @example
 * ```ts
 * import { buildFixedPointAdd, type FixedPointAdd } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const { multiplierA, multiplierB, step }: FixedPointAdd = buildFixedPointAdd(0.5, 0.25, 1)!;
 * assertEquals([multiplierA / step, multiplierB / step], [0.5, 0.25]); // the ratios of the scales
 * ```
 */
export interface FixedPointAdd {
  /** Multiplier of the first operand less its zero point, an integer up to 2^22. */
  readonly multiplierA: number;
  /** Multiplier of the second operand less its zero point, an integer up to 2^22. */
  readonly multiplierB: number;
  /** Size of the output's step in units of the sum: a power of two. */
  readonly step: number;
}

/**
 * Makes the constants of qnnpack's fixed-point addition
 * (pytorch_qnnp_compute_add_quantization_params): the ratios of scales, as integers of which the
 * larger has 22 bits. Where both ratios are below 2^-10 torch shifts an int32 by more than 31 bits,
 * which is undefined in C; here the shift has its mathematical meaning.
 *
 * @returns The constants; null where a ratio of scales lies outside [2^-14, 2^8), which torch
 * refuses.
 *
 * @example
 * ```ts
 * import { buildFixedPointAdd } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(buildFixedPointAdd(0.5, 0.25, 1), {
 *   multiplierA: 2 ** 21,
 *   multiplierB: 2 ** 20,
 *   step: 2 ** 22,
 * });
 * assertEquals(buildFixedPointAdd(1e-6, 1, 1), null);
 * ```
 */
export function buildFixedPointAdd(
  scaleA: number,
  scaleB: number,
  outScale: number,
): FixedPointAdd | null {
  const ratioA = Math.fround(Math.fround(scaleA) / Math.fround(outScale));
  const ratioB = Math.fround(Math.fround(scaleB) / Math.fround(outScale));
  const largest = Math.max(ratioA, ratioB);
  const smallest = Math.min(ratioA, ratioB);
  if (!(smallest >= 2 ** -14 && largest < 256)) return null;
  let exponent = 0;
  while (2 ** exponent > largest) exponent--;
  while (2 ** (exponent + 1) <= largest) exponent++;
  const shift = 21 - exponent;
  return {
    multiplierA: roundHalfEven(Math.fround(ratioA * 2 ** shift)),
    multiplierB: roundHalfEven(Math.fround(ratioB * 2 ** shift)),
    step: 2 ** shift,
  };
}

/**
 * `(a * multiplierA + b * multiplierB) / step`, rounded half away from zero; a and b less their
 * zero points. Exact for integers within -255..255 and the constants of
 * {@linkcode buildFixedPointAdd}, where the sum stays below 2^31. Never -0.
 *
 * @param step A power of two.
 *
 * @example
 * ```ts
 * import { fixedPointSum } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(fixedPointSum(3, 0, 2 ** 20, 0, 2 ** 21), 2); // 1.5
 * assertEquals(fixedPointSum(-3, 0, 2 ** 20, 0, 2 ** 21), -2);
 * ```
 */
export function fixedPointSum(
  a: number,
  b: number,
  multiplierA: number,
  multiplierB: number,
  step: number,
): number {
  const scaled = (a * multiplierA + b * multiplierB) / step;
  return scaled < 0 ? 0 - Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
}

/**
 * Quantized sum of quint8 tensors in qnnpack's fixed point:
 * `clamp(fixedPointSum(a - za, b - zb) + zeroPoint)`.
 *
 * @param a quint8; `b` likewise.
 * @param out As long as `a` and `b`; a quantMin of its zero point makes negative results 0.
 * @param add {@linkcode buildFixedPointAdd} of the three scales.
 *
 * @example
 * ```ts
 * import { addQuint8FixedPoint, buildFixedPointAdd } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Uint8Array(1);
 * const q = { scale: 0.5, zeroPoint: 10, quantMin: 0, quantMax: 255 };
 * addQuint8FixedPoint(
 *   { data: Uint8Array.of(12), qparams: q },
 *   { data: Uint8Array.of(13), qparams: q },
 *   { data: out, qparams: q },
 *   buildFixedPointAdd(0.5, 0.5, 0.5)!,
 * );
 * assertEquals(out[0], 15);
 * ```
 */
export function addQuint8FixedPoint(
  a: QuantizedInput,
  b: QuantizedInput,
  out: QuantizedOutput,
  add: FixedPointAdd,
): void {
  const zeroPointA = a.qparams.zeroPoint;
  const zeroPointB = b.qparams.zeroPoint;
  const { data, qparams: { zeroPoint, quantMin, quantMax } } = out;
  for (let i = 0; i < data.length; i++) {
    const sum = fixedPointSum(
      a.data[i]! - zeroPointA,
      b.data[i]! - zeroPointB,
      add.multiplierA,
      add.multiplierB,
      add.step,
    );
    data[i] = clamp(sum + zeroPoint, quantMin, quantMax);
  }
}

/**
 * The multiplier of a quantized product: `f(f(sa * sb) * inv(scale))`; `f(f(sa * sb) / scale)`
 * where the product is qint8 over its whole range, which torch computes by another kernel.
 *
 * @param to Parameters of the product.
 *
 * @example
 * ```ts
 * import { mulMultiplier } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(
 *   mulMultiplier(0.5, 0.25, { scale: 2, zeroPoint: 0, quantMin: 0, quantMax: 255 }),
 *   0.0625,
 * );
 * ```
 */
export function mulMultiplier(
  scaleA: number,
  scaleB: number,
  to: Affine,
): number {
  const scale = Math.fround(Math.fround(scaleA) * Math.fround(scaleB));
  return Math.fround(
    to.quantMin === -128 && to.quantMax === 127
      ? scale / Math.fround(to.scale)
      : scale * reciprocal(to.scale),
  );
}

/**
 * Quantized product: `clamp(rne(f(f((a - za) * (b - zb)) * m)) + zeroPoint)`, m
 * {@linkcode mulMultiplier}, on every engine and between any dtypes.
 *
 * The integer product is exact below 2^53, hence for any integers of up to 26 bits; above it may be
 * one part in 2^52 off before it is rounded to float32, and still saturates at the correct end.
 * torch agrees below 2^31, beyond which its product of two qint32 wraps.
 *
 * @example
 * ```ts
 * import { mulInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 0.5, zeroPoint: 10, quantMin: 0, quantMax: 255 };
 * const out = new Uint8Array(1);
 * mulInt8(
 *   { data: Uint8Array.of(12), qparams: q },
 *   { data: Uint8Array.of(14), qparams: q },
 *   { data: out, qparams: q },
 * );
 * assertEquals(out[0], 14);
 * ```
 */
export function mulInt8(a: QuantizedInput, b: QuantizedInput, out: QuantizedOutput): void {
  const { data, qparams: to } = out;
  const zeroPointA = a.qparams.zeroPoint;
  const zeroPointB = b.qparams.zeroPoint;
  const multiplier = mulMultiplier(a.qparams.scale, b.qparams.scale, to);
  for (let i = 0; i < data.length; i++) {
    const product = Math.fround((a.data[i]! - zeroPointA) * (b.data[i]! - zeroPointB));
    data[i] = clamp(
      roundHalfEven(Math.fround(product * multiplier)) + to.zeroPoint,
      to.quantMin,
      to.quantMax,
    );
  }
}
