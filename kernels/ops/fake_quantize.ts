/**
 * Fake quantization: quantize and dequantize at once, float32 in and float32 out.
 *
 * @module
 */
import { clamp, reciprocal, roundHalfEven } from "../numeric/requantize.ts";
import type { Affine, ChannelAffine } from "../numeric/quantize.ts";
import { isFloat32Array } from "../numeric/typed_array.ts";

const f = Math.fround;

/**
 * `f((clamp(f(rne(f(x / scale)) + zeroPoint)) - zeroPoint) * scale)` for every element, multiplying
 * by the scale's reciprocal: torch.fake_quantize_per_tensor_affine for finite values whose integer
 * is below 2^63. Larger and infinite values saturate at the correct end (torch gives the smallest
 * integer's value); NaN becomes quantMin's value, as in torch.
 *
 * The last product is made in double and rounded once to float32, as torch's C++ does.
 *
 * @param data float32 values of any shape; left as they are unless `out` is the same array.
 * @param to The scale is above 2^-128.
 * @param out Where the results go; as long as `data`.
 * @returns `out`.
 *
 * @example
 * ```ts
 * import { fakeQuantizePerTensor } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 0.5, zeroPoint: 10, quantMin: 0, quantMax: 255 };
 * const y = fakeQuantizePerTensor(new Float32Array([0.3, -9, 1000]), to);
 * assertEquals([...y], [0.5, -5, 122.5]);
 * ```
 */
export function fakeQuantizePerTensor(
  data: Float32Array,
  to: Affine,
  out: Float32Array = new Float32Array(data.length),
): Float32Array {
  const { scale, zeroPoint, quantMin, quantMax } = to;
  const scales = Float32Array.of(scale);
  const zeroPoints = Int32Array.of(zeroPoint);
  const channel = { scales, zeroPoints, quantMin, quantMax };
  return fakeQuantizePerChannel(data, channel, data.length, out);
}

/**
 * {@linkcode fakeQuantizePerTensor} with a scale and a zero point for each index of one axis:
 * torch.fake_quantize_per_channel_affine.
 *
 * @param to Parameters of the channels.
 * @param inner Number of consecutive elements of one channel: the product of the dimensions after
 * the axis.
 *
 * @example
 * ```ts
 * import { fakeQuantizePerChannel } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x = new Float32Array([0.3, 0.9, 0.3, 0.9]); // two rows
 * const to = {
 *   scales: new Float32Array([0.5, 0.25]),
 *   zeroPoints: new Int32Array(2),
 *   quantMin: -128,
 *   quantMax: 127,
 * };
 * assertEquals([...fakeQuantizePerChannel(x, to, 2)], [0.5, 1, 0.25, 1]);
 * ```
 */
export function fakeQuantizePerChannel(
  data: Float32Array,
  to: ChannelAffine,
  inner: number,
  out: Float32Array = new Float32Array(data.length),
): Float32Array {
  const { scales, zeroPoints, quantMin, quantMax } = to;
  const float = isFloat32Array(zeroPoints);
  for (let i = 0, channel = 0; i < data.length; channel = (channel + 1) % scales.length) {
    const scale = scales[channel]!;
    const inverse = reciprocal(scale);
    const zeroPoint = zeroPoints[channel]!;
    for (const end = i + inner; i < end; i++) {
      const steps = f(data[i]! * inverse);
      const r = float ? roundHalfEven(f(zeroPoint + steps)) : f(roundHalfEven(steps) + zeroPoint);
      const q = r === r ? clamp(r, quantMin, quantMax) : quantMin;
      out[i] = (q - zeroPoint) * scale;
    }
  }
  return out;
}
