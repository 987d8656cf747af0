/**
 * Softmax and its logarithm over the last dimension, in float32 and in torch's two quantized forms.
 *
 * @module
 */
import { expFloat32, expFloat64, logFloat32 } from "../numeric/float_functions.ts";
import type { Engine } from "./linear.ts";
import type { Affine, Integers, QuantizedInput, QuantizedOutput } from "../numeric/quantize.ts";
import {
  dequantizeValue,
  quantizeValue,
  reciprocal,
  roundHalfEven,
} from "../numeric/requantize.ts";

const f = Math.fround;

/** Largest of `width` values from `offset`. */
function maxOf(x: Integers | Float32Array, offset: number, width: number): number {
  let max = x[offset]!;
  for (let i = offset + 1; i < offset + width; i++) if (x[i]! > max) max = x[i]!;
  return max;
}

/**
 * Softmax of each row: with `e = expFloat32(f(x - max))`, `f(e / sum e)`, the sum accumulated in
 * double in the row's order. torch's float softmax within a few units in the last place: its
 * vectorized exp and its order of summation depend on the CPU.
 *
 * @param x Finite float32 [rows, width].
 * @param out float32, as long as `x`; may be `x`.
 * @param width 1 or more.
 *
 * @example
 * ```ts
 * import { softmaxFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * softmaxFloat32(Float32Array.of(3, 3), out, 2);
 * assertEquals([...out], [0.5, 0.5]);
 * ```
 */
export function softmaxFloat32(x: Float32Array, out: Float32Array, width: number): void {
  for (let row = 0; row < x.length; row += width) {
    const max = maxOf(x, row, width);
    let sum = 0;
    for (let i = row; i < row + width; i++) sum += out[i] = expFloat32(f(x[i]! - max));
    for (let i = row; i < row + width; i++) out[i] = out[i]! / sum;
  }
}

/**
 * The logarithm of softmax of each row: `f(f(x - max) - logFloat32(f(sum)))`, the sum that of
 * {@linkcode softmaxFloat32}. torch has it in float32 only.
 *
 * @param x Finite float32 [rows, width].
 * @param out float32, as long as `x`; may be `x`.
 * @param width 1 or more.
 *
 * @example
 * ```ts
 * import { logSoftmaxFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * logSoftmaxFloat32(Float32Array.of(3, 3), out, 2);
 * assertEquals([...out], [-Math.fround(Math.LN2), -Math.fround(Math.LN2)]);
 * ```
 */
export function logSoftmaxFloat32(x: Float32Array, out: Float32Array, width: number): void {
  for (let row = 0; row < x.length; row += width) {
    const max = maxOf(x, row, width);
    let sum = 0;
    for (let i = row; i < row + width; i++) sum += expFloat32(f(x[i]! - max));
    const log = logFloat32(f(sum));
    for (let i = row; i < row + width; i++) out[i] = f(x[i]! - max) - log;
  }
}

/**
 * quantized::softmax of torch for fbgemm, and for qnnpack where {@linkcode softmaxEngine} says so:
 * dequantized, {@linkcode softmaxFloat32}, quantized.
 *
 * torch's result wherever the last bits of its float softmax, which depend on the CPU, do not
 * decide the rounding.
 *
 * @param x [rows, width]
 * @param out As long as `x`.
 * @param width 1 or more.
 * @param scratch float32 [width].
 *
 * @example
 * ```ts
 * import { softmaxInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const out = new Uint8Array(2);
 * const x = { data: Uint8Array.of(9, 9), qparams: { scale: 0.1, zeroPoint: 3 } };
 * softmaxInt8(x, { data: out, qparams: to }, 2);
 * assertEquals([...out], [128, 128]);
 * ```
 */
export function softmaxInt8(
  x: QuantizedInput,
  out: QuantizedOutput,
  width: number,
  scratch: Float32Array = new Float32Array(width),
): void {
  const { data, qparams: { scale, zeroPoint } } = x;
  const { data: integers, qparams: to } = out;
  const inverse = reciprocal(to.scale);
  for (let row = 0; row < data.length; row += width) {
    for (let i = 0; i < width; i++) {
      scratch[i] = dequantizeValue(data[row + i]!, scale, zeroPoint);
    }
    softmaxFloat32(scratch, scratch, width);
    for (let i = 0; i < width; i++) {
      const y = scratch[i]!;
      integers[row + i] = quantizeValue(y, inverse, to.zeroPoint, to.quantMin, to.quantMax);
    }
  }
}

/** The range of quint8, which qnnpack's softmax needs whole. */
const QUINT8_MAX = 255;

/** e^x is below half a unit of the table there, whatever the width. */
const SMALLEST_EXPONENT = -20;

/** Largest entry of qnnpack's table: 23 bits. */
const LARGEST_ENTRY = 8388607;

/**
 * The engine whose softmax torch uses: qnnpack's fixed point for quint8 to quint8 of scale 1/256
 * and zero point 0, the only case it supports; else fbgemm's float form.
 *
 * @example
 * ```ts
 * import { softmaxEngine } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * assertEquals(softmaxEngine("qnnpack", q, q), "qnnpack");
 * assertEquals(softmaxEngine("qnnpack", q, { ...q, zeroPoint: 1 }), "fbgemm");
 * ```
 */
export function softmaxEngine(engine: Engine, from: Affine, to: Affine): Engine {
  const whole = [from, to].every((q) => q.quantMin === 0 && q.quantMax === QUINT8_MAX);
  return whole && to.scale === 1 / 256 && to.zeroPoint === 0 ? engine : "fbgemm";
}

/**
 * The table of qnnpack's softmax: `rne(min((2^32 - 1) / width, 2^23 - 1) * e^((i - 255) * scale))`
 * for i = 0..255, so that the sum of a row's entries fits 32 bits.
 *
 * The exponential is computed in double within 2^-50: an entry, of 23 bits, is the correctly
 * rounded one unless it lies within 2^-27 of a half.
 *
 * @param scale Of the input.
 * @param width Values in a row, 1 or more.
 *
 * @example
 * ```ts
 * import { softmaxTable } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const table = softmaxTable(0.1, 10);
 * assertEquals([table.length, table[255]], [256, 8388607]);
 * ```
 */
export function softmaxTable(scale: number, width: number): Uint32Array {
  const largest = Math.min(4294967295 / width, LARGEST_ENTRY);
  return Uint32Array.from({ length: QUINT8_MAX + 1 }, (_, i) => {
    const exponent = (i - QUINT8_MAX) * f(scale);
    return exponent < SMALLEST_EXPONENT ? 0 : roundHalfEven(largest * expFloat64(exponent));
  });
}

/**
 * quantized::softmax of torch for qnnpack, in integers: with `t` the table's entry for `x - max +
 * 255` and `sum` that of the row, `min(floor((256 t + floor(sum / 2)) / sum), 255)`. To scale 1/256
 * and zero point 0.
 *
 * In rows of more than 512 values that are nearly all the largest, rounding of the table may take
 * the sum to 2^32, where torch's wraps and it gives 255 for each; here it does not wrap.
 *
 * @param table Of {@linkcode softmaxTable} for the input's scale and this width.
 * @param x [rows, width].
 * @param out As long as `x`; may be `x`.
 * @param width 1 or more, below 2^24.
 *
 * @example
 * ```ts
 * import { softmaxQuint8FixedPoint, softmaxTable } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Uint8Array(2);
 * softmaxQuint8FixedPoint(softmaxTable(0.1, 2), Uint8Array.of(9, 9), out, 2);
 * assertEquals([...out], [128, 128]);
 * ```
 */
export function softmaxQuint8FixedPoint(
  table: Uint32Array,
  x: Uint8Array,
  out: Uint8Array,
  width: number,
): void {
  for (let row = 0; row < x.length; row += width) {
    const shift = QUINT8_MAX - maxOf(x, row, width);
    let sum = 0;
    for (let i = row; i < row + width; i++) sum += table[x[i]! + shift]!;
    const half = Math.floor(sum / 2);
    for (let i = row; i < row + width; i++) {
      // Below 2^33: the quotient in double is never rounded up to the next integer.
      const quotient = Math.floor((256 * table[x[i]! + shift]! + half) / sum);
      out[i] = quotient > QUINT8_MAX ? QUINT8_MAX : quotient;
    }
  }
}
