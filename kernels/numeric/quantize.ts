/**
 * Quantizing float32 to quint8, qint8 and qint32 and back, per tensor and per channel, and
 * requantizing integers.
 *
 * @module
 */
import {
  clamp,
  dequantizeValue,
  quantizeValue,
  quantizeValueWide,
  reciprocal,
  roundHalfEven,
} from "./requantize.ts";
import { isFloat32Array, isInt32Array } from "./typed_array.ts";

/**
 * Arrays of quantized integers: quint8, qint8, qint32.
 *
 * @example
 * ```ts
 * import { type Integers, quantizePerTensor } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out: Integers = new Uint8Array(2); // the array says how wide the integers are
 * const to = { scale: 0.5, zeroPoint: 10, quantMin: 0, quantMax: 255 };
 * quantizePerTensor(Float32Array.of(0.5, -1), out, to);
 * assertEquals([...out], [11, 8]);
 * ```
 */
export type Integers = Uint8Array | Int8Array | Int32Array;

/**
 * Parameters for dequantizing: `real = scale * (q - zeroPoint)`.
 *
 * @example
 * ```ts
 * import { type Dequantization, dequantizePerTensor } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const { scale, zeroPoint }: Dequantization = { scale: 0.5, zeroPoint: 10 };
 * const out = new Float32Array(2);
 * dequantizePerTensor(Uint8Array.of(11, 8), out, scale, zeroPoint);
 * assertEquals([...out], [0.5, -1]);
 * ```
 */
export interface Dequantization {
  /** Width of one integer step, positive and finite; used as float32. */
  readonly scale: number;
  /** The integer that stands for 0. */
  readonly zeroPoint: number;
}

/**
 * Parameters for quantizing: scale, zero point, and the range of the integers.
 *
 * @example
 * ```ts
 * import { type Affine, quantizePerTensor } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const sevenBits: Affine = { scale: 0.5, zeroPoint: 0, quantMin: 0, quantMax: 127 };
 * const out = new Uint8Array(2);
 * quantizePerTensor(Float32Array.of(3, 999), out, sevenBits);
 * assertEquals([...out], [6, 127]); // clamped
 * ```
 */
export interface Affine extends Dequantization {
  /** Smallest integer, not below the smallest of the array it goes to. */
  readonly quantMin: number;
  /** Largest integer, not above the largest of the array it goes to. */
  readonly quantMax: number;
}

/**
 * {@linkcode Affine} for each index of one axis, the channels.
 *
 * @example
 * ```ts
 * import { type ChannelAffine, quantizePerChannel } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const rows: ChannelAffine = {
 *   scales: Float32Array.of(0.5, 5),
 *   zeroPoints: new Int32Array(2),
 *   quantMin: -128,
 *   quantMax: 127,
 * };
 * const out = new Int8Array(4);
 * quantizePerChannel(Float32Array.of(1, 2, 10, 20), out, rows, 2); // two values a channel
 * assertEquals([...out], [2, 4, 2, 4]);
 * ```
 */
export interface ChannelAffine {
  /** One a channel, each positive and finite. */
  readonly scales: Float32Array;
  /**
   * One a channel. Integers (an Int32Array) are added after rounding; float32 values (a
   * Float32Array, per_channel_affine_float_qparams in torch) before it.
   */
  readonly zeroPoints: Int32Array | Float32Array;
  /** Smallest integer, of all channels. */
  readonly quantMin: number;
  /** Largest integer, of all channels. */
  readonly quantMax: number;
}

/**
 * A tensor of integers that an operator reads; a per-tensor `QTensor` is one.
 *
 * @example
 * ```ts
 * import type { QuantizedInput } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x: QuantizedInput = {
 *   data: Uint8Array.of(130, 120),
 *   qparams: { scale: 0.5, zeroPoint: 128 },
 * };
 * const { scale, zeroPoint } = x.qparams;
 * assertEquals(Array.from(x.data, (q) => (q - zeroPoint) * scale), [1, -4]); // what it stands for
 * ```
 */
export interface QuantizedInput {
  /** The integers, row-major. */
  readonly data: Integers;
  /** What they stand for. */
  readonly qparams: Dequantization;
}

/**
 * A tensor of integers that an operator writes.
 *
 * @example
 * ```ts
 * import { addInt8, type QuantizedOutput } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x = { data: Uint8Array.of(2, 4), qparams: { scale: 0.5, zeroPoint: 0 } };
 * const sum: QuantizedOutput = {
 *   data: new Uint8Array(2), // receives the integers
 *   qparams: { scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 },
 * };
 * addInt8(x, x, sum);
 * assertEquals([...sum.data], [2, 4]);
 * ```
 */
export interface QuantizedOutput {
  /** Receives the integers, row-major. */
  readonly data: Integers;
  /** What they stand for. */
  readonly qparams: Affine;
}

/**
 * Quantizes `x` into `out`, one scale for all: torch.quantize_per_tensor with quantMin and quantMax
 * kept. The zero point is added in float32 where `out` holds qint32, as torch adds it.
 *
 * @param x float32 values of any shape, none NaN; huge and infinite ones saturate at the end of the
 * range that has their sign.
 * @param out As long as `x`; holds quantMin..quantMax.
 * @param to Parameters of `out`; the scale is above 2^-128, as everywhere in this package.
 *
 * @example
 * ```ts
 * import { quantizePerTensor } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Uint8Array(2);
 * quantizePerTensor(Float32Array.of(0.5, -9), out, {
 *   scale: 0.5,
 *   zeroPoint: 3,
 *   quantMin: 0,
 *   quantMax: 255,
 * });
 * assertEquals([...out], [4, 0]);
 * ```
 */
export function quantizePerTensor(
  x: Float32Array,
  out: Integers,
  to: Affine,
): void {
  const { zeroPoint, quantMin, quantMax } = to;
  const inverse = reciprocal(to.scale);
  if (isInt32Array(out)) {
    for (let i = 0; i < x.length; i++) {
      out[i] = quantizeValueWide(x[i]!, inverse, zeroPoint, quantMin, quantMax);
    }
  } else {
    for (let i = 0; i < x.length; i++) {
      out[i] = quantizeValue(x[i]!, inverse, zeroPoint, quantMin, quantMax);
    }
  }
}

/**
 * Dequantizes `q` into `out`: `f(scale * f(q - zeroPoint))`, torch's dequantize where each
 * difference fits an int32.
 *
 * @param q Integers of any dtype and shape.
 * @param out float32, as long as `q`.
 *
 * @example
 * ```ts
 * import { dequantizePerTensor } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(1);
 * dequantizePerTensor(Int8Array.of(-4), out, 0.5, 2);
 * assertEquals(out[0], -3);
 * ```
 */
export function dequantizePerTensor(
  q: Integers,
  out: Float32Array,
  scale: number,
  zeroPoint: number,
): void {
  for (let i = 0; i < q.length; i++) {
    out[i] = dequantizeValue(q[i]!, scale, zeroPoint);
  }
}

/**
 * Quantizes a tensor seen as [outer, channels, inner], each channel with its own scale and zero
 * point: torch.quantize_per_channel. With float zero points:
 * `clamp(rne(f(f(x * inv) + zeroPoint)))`.
 *
 * @param x float32 values, none NaN; huge ones saturate.
 * @param out As long as `x`.
 * @param to Parameters of the channels.
 * @param inner Number of consecutive elements of one channel: the product of the dimensions after
 * the axis.
 *
 * @example
 * ```ts
 * import { quantizePerChannel } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Int8Array(2);
 * const to = {
 *   scales: Float32Array.of(0.5, 0.25),
 *   zeroPoints: Int32Array.of(0, 0),
 *   quantMin: -128,
 *   quantMax: 127,
 * };
 * quantizePerChannel(Float32Array.of(1, 1), out, to, 1);
 * assertEquals([...out], [2, 4]);
 * ```
 */
export function quantizePerChannel(
  x: Float32Array,
  out: Integers,
  to: ChannelAffine,
  inner: number,
): void {
  const { scales, zeroPoints, quantMin, quantMax } = to;
  const channels = scales.length;
  const float = isFloat32Array(zeroPoints);
  for (let i = 0, channel = 0; i < x.length; channel = (channel + 1) % channels) {
    const inverse = reciprocal(scales[channel]!);
    const zeroPoint = zeroPoints[channel]!;
    for (const end = i + inner; i < end; i++) {
      out[i] = float
        ? clamp(
          roundHalfEven(Math.fround(Math.fround(x[i]! * inverse) + zeroPoint)),
          quantMin,
          quantMax,
        )
        : quantizeValueWide(x[i]!, inverse, zeroPoint, quantMin, quantMax);
    }
  }
}

/**
 * Dequantizes a tensor seen as [outer, channels, inner], each channel as
 * {@linkcode dequantizePerTensor} does.
 *
 * @param q Integers of any dtype.
 * @param out float32, as long as `q`.
 * @param scales One a channel; `zeroPoints` too.
 * @param inner Number of consecutive elements of one channel.
 *
 * @example
 * ```ts
 * import { dequantizePerChannel } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * dequantizePerChannel(
 *   Int8Array.of(2, 4),
 *   out,
 *   Float32Array.of(0.5, 0.25),
 *   Int32Array.of(0, 0),
 *   1,
 * );
 * assertEquals([...out], [1, 1]);
 * ```
 */
export function dequantizePerChannel(
  q: Integers,
  out: Float32Array,
  scales: Float32Array,
  zeroPoints: Int32Array,
  inner: number,
): void {
  const channels = scales.length;
  for (
    let i = 0, channel = 0;
    i < q.length;
    channel = (channel + 1) % channels
  ) {
    const scale = scales[channel]!;
    const zeroPoint = zeroPoints[channel]!;
    // dequantizeValue, inlined: storing to a Float32Array rounds the product.
    for (const end = i + inner; i < end; i++) out[i] = scale * Math.fround(q[i]! - zeroPoint);
  }
}

/**
 * Requantizes integers from any parameters and dtype to any others, as torch does it: dequantize to
 * float32, then quantize, nothing fused. torch's result where each integer less its zero point fits
 * an int32.
 *
 * @param x Integers of any dtype and shape.
 * @param out As long as `x`; qint32 adds its zero point in float32.
 *
 * @example
 * ```ts
 * import { requantize } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Uint8Array(1);
 * requantize(Int32Array.of(32768), { scale: 2 ** -11, zeroPoint: 0 }, out, {
 *   scale: 2 ** -4, zeroPoint: 0, quantMin: 0, quantMax: 255,
 * });
 * assertEquals(out[0], 255);
 * ```
 */
export function requantize(
  x: Integers,
  from: Dequantization,
  out: Integers,
  to: Affine,
): void {
  const { scale, zeroPoint } = from;
  const inverse = reciprocal(to.scale);
  const quantize = isInt32Array(out) ? quantizeValueWide : quantizeValue;
  for (let i = 0; i < x.length; i++) {
    out[i] = quantize(
      dequantizeValue(x[i]!, scale, zeroPoint),
      inverse,
      to.zeroPoint,
      to.quantMin,
      to.quantMax,
    );
  }
}
