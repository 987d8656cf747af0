/**
 * Concatenation over the last dimension.
 *
 * @module
 */
import type { Affine, Integers } from "../numeric/quantize.ts";
import {
  dequantizeValue,
  quantizeValue,
  quantizeValueWide,
  reciprocal,
} from "../numeric/requantize.ts";
import { isInt32Array } from "../numeric/typed_array.ts";

/**
 * One of the tensors that are concatenated.
 *
 * @example
 * ```ts
 * import type { ConcatInput } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x: ConcatInput = { data: Uint8Array.of(1, 2, 3, 4), scale: 0.5, zeroPoint: 0, width: 2 };
 * assertEquals(x.data.length / x.width, 2); // rows
 * ```
 */
export interface ConcatInput {
  /** Integers [rows, width]. */
  readonly data: Integers;
  /** A float32 value. */
  readonly scale: number;
  /** The integer that stands for 0. */
  readonly zeroPoint: number;
  /** Values in a row. */
  readonly width: number;
}

/**
 * quantized::cat and quantized::cat_relu of torch over the last dimension: every integer
 * dequantized, then quantized to the output's parameters (as {@linkcode requantize}). torch.cat of
 * quantized tensors is this with the first tensor's parameters as output.
 *
 * @param inputs [rows, width] each.
 * @param rows How many.
 * @param out [rows, sum of the widths], with `to`'s parameters.
 * @param relu Whether negative values become 0.
 *
 * @example
 * ```ts
 * import { concatInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 0.5, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const out = new Uint8Array(4);
 * concatInt8(
 *   [
 *     { data: Uint8Array.of(3, 4), scale: 1, zeroPoint: 1, width: 1 },
 *     { data: Uint8Array.of(5, 6), scale: 0.5, zeroPoint: 0, width: 1 },
 *   ],
 *   2,
 *   out,
 *   to,
 *   false,
 * );
 * assertEquals([...out], [4, 5, 6, 6]);
 * ```
 */
export function concatInt8(
  inputs: readonly ConcatInput[],
  rows: number,
  out: Integers,
  to: Affine,
  relu: boolean,
): void {
  const { zeroPoint, quantMax } = to;
  const lo = relu ? Math.max(zeroPoint, to.quantMin) : to.quantMin;
  const inverse = reciprocal(to.scale);
  const quantize = isInt32Array(out) ? quantizeValueWide : quantizeValue;
  const stride = out.length / rows;
  let start = 0;
  for (const { data, scale, zeroPoint: zero, width } of inputs) {
    for (let row = 0, i = 0; row < rows; row++) {
      const first = row * stride + start;
      for (let o = first; o < first + width; o++, i++) {
        out[o] = quantize(dequantizeValue(data[i]!, scale, zero), inverse, zeroPoint, lo, quantMax);
      }
    }
    start += width;
  }
}

/**
 * torch.cat of float32 tensors over the last dimension.
 *
 * @param inputs [rows, width] each; how wide follows from their lengths.
 * @param rows How many.
 * @param out [rows, sum of the widths].
 *
 * @example
 * ```ts
 * import { concatFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(6);
 * concatFloat32([Float32Array.of(1, 2), Float32Array.of(3, 4, 5, 6)], 2, out);
 * assertEquals([...out], [1, 3, 4, 2, 5, 6]);
 * ```
 */
export function concatFloat32(
  inputs: readonly Float32Array[],
  rows: number,
  out: Float32Array,
): void {
  const stride = out.length / rows;
  let start = 0;
  for (const data of inputs) {
    const width = data.length / rows;
    for (let row = 0, i = 0; row < rows; row++) {
      const first = row * stride + start;
      for (let o = first; o < first + width; o++, i++) out[o] = data[i]!;
    }
    start += width;
  }
}
