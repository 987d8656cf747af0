/**
 * Fake quantization: quantize and dequantize at once, float32 in and float32 out.
 *
 * @module
 */
import { clamp, reciprocal, roundHalfEven } from "../numeric/requantize.ts";
import { isFloat32Array } from "../numeric/typed_array.ts";

const f = Math.fround;

/**
 * `f((clamp(f(rne(f(x / scale)) + zeroPoint)) - zeroPoint) * scale)` for every element, multiplying by the
 * scale's reciprocal: torch.fake_quantize_per_tensor_affine for finite values whose integer is below 2^63.
 * Larger and infinite values saturate at the correct end (torch gives the smallest integer's value); NaN
 * becomes quantMin's value, as in torch.
 *
 * The last product is made in double and rounded once to float32, as torch's C++ does.
 *
 * @param data float32 values of any shape; left as they are unless `out` is the same array.
 * @param scale Above 2^-128.
 * @param out Where the results go; as long as `data`.
 * @returns `out`.
 *
 * @example
 * ```ts
 * import { fakeQuantizePerTensor } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const y = fakeQuantizePerTensor(new Float32Array([0.3, -9, 1000]), 0.5, 10, 0, 255);
 * assertEquals([...y], [0.5, -5, 122.5]);
 * ```
 */
export function fakeQuantizePerTensor(
  data: Float32Array,
  scale: number,
  zeroPoint: number,
  quantMin: number,
  quantMax: number,
  out: Float32Array = new Float32Array(data.length),
): Float32Array {
  fakeQuantizeSlice(
    data,
    out,
    0,
    data.length,
    f(scale),
    zeroPoint,
    quantMin,
    quantMax,
  );
  return out;
}

/**
 * {@linkcode fakeQuantizePerTensor} with a scale and a zero point for each index of one axis:
 * torch.fake_quantize_per_channel_affine. Integer zero points (an Int32Array) are added after rounding,
 * float ones (a Float32Array) before it, as torch does.
 *
 * @param channels Length of the axis.
 * @param inner Number of consecutive elements of one channel: the product of the dimensions behind the axis.
 *
 * @example
 * ```ts
 * import { fakeQuantizePerChannel } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x = new Float32Array([0.3, 0.9, 0.3, 0.9]); // two rows
 * const y = fakeQuantizePerChannel(x, 2, 2, new Float32Array([0.5, 0.25]), new Int32Array(2), -128, 127);
 * assertEquals([...y], [0.5, 1, 0.25, 1]);
 * ```
 */
export function fakeQuantizePerChannel(
  data: Float32Array,
  channels: number,
  inner: number,
  scales: Float32Array,
  zeroPoints: Int32Array | Float32Array,
  quantMin: number,
  quantMax: number,
  out: Float32Array = new Float32Array(data.length),
): Float32Array {
  const run = isFloat32Array(zeroPoints) ? fakeQuantizeFloatSlice : fakeQuantizeSlice;
  let channel = 0;
  for (let start = 0; start < data.length; start += inner) {
    run(
      data,
      out,
      start,
      start + inner,
      scales[channel]!,
      zeroPoints[channel]!,
      quantMin,
      quantMax,
    );
    if (++channel === channels) channel = 0;
  }
  return out;
}

function fakeQuantizeSlice(
  data: Float32Array,
  out: Float32Array,
  start: number,
  end: number,
  scale: number,
  zeroPoint: number,
  quantMin: number,
  quantMax: number,
): void {
  const inverse = reciprocal(scale);
  for (let i = start; i < end; i++) {
    const r = f(roundHalfEven(f(data[i]! * inverse)) + zeroPoint);
    const q = r === r ? clamp(r, quantMin, quantMax) : quantMin;
    out[i] = (q - zeroPoint) * scale;
  }
}

function fakeQuantizeFloatSlice(
  data: Float32Array,
  out: Float32Array,
  start: number,
  end: number,
  scale: number,
  zeroPoint: number,
  quantMin: number,
  quantMax: number,
): void {
  const inverse = reciprocal(scale);
  for (let i = start; i < end; i++) {
    const r = roundHalfEven(f(zeroPoint + f(data[i]! * inverse)));
    const q = r === r ? clamp(r, quantMin, quantMax) : quantMin;
    out[i] = (q - zeroPoint) * scale;
  }
}
