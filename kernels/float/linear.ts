/**
 * The float linear operator, summed in a fixed order so that every engine returns the same bits.
 *
 * @module
 */

/**
 * Weight and bias of a float linear operator.
 *
 * @example
 * ```ts
 * import type { FloatLayer } from "@splitgate/splitgate/kernels";
 * import { Linear } from "@splitgate/splitgate";
 * const layer: FloatLayer = new Linear({ inFeatures: 2, outFeatures: 3 }); // what a Linear has
 * ```
 */
export interface FloatLayer {
  /** float32 [outFeatures, inFeatures] */
  readonly weight: Float32Array;
  /** float32 [outFeatures], or null. */
  readonly bias: Float32Array | null;
  /** Columns of the weight. */
  readonly inFeatures: number;
  /** Rows of the weight. */
  readonly outFeatures: number;
}

/**
 * `out = weight x + bias` for one row: each sum is accumulated in double and rounded to float32
 * once.
 *
 * @param x float32; the row [inFeatures] starts at `offset`.
 * @param out Receives float32 [outFeatures] at `outOffset`.
 *
 * @example
 * ```ts
 * import { linearFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const weight = Float32Array.of(3, 4), bias = Float32Array.of(0.5), out = new Float32Array(1);
 * const layer = { weight, bias, inFeatures: 2, outFeatures: 1 };
 * linearFloat32(layer, Float32Array.of(1, 2), 0, out, 0);
 * assertEquals(out[0], 11.5);
 * ```
 */
export function linearFloat32(
  { weight, bias, inFeatures, outFeatures }: FloatLayer,
  x: Float32Array,
  offset: number,
  out: Float32Array,
  outOffset: number,
): void {
  let row = 0;
  let at = 0;
  // Four rows at a time: their sums do not depend on each other.
  for (; row + 3 < outFeatures; row += 4, at += 3 * inFeatures) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let k = 0; k < inFeatures; k++, at++) {
      const value = x[offset + k]!;
      a += value * weight[at]!;
      b += value * weight[at + inFeatures]!;
      c += value * weight[at + 2 * inFeatures]!;
      d += value * weight[at + 3 * inFeatures]!;
    }
    const to = outOffset + row;
    out[to] = bias === null ? a : a + bias[row]!;
    out[to + 1] = bias === null ? b : b + bias[row + 1]!;
    out[to + 2] = bias === null ? c : c + bias[row + 2]!;
    out[to + 3] = bias === null ? d : d + bias[row + 3]!;
  }
  for (; row < outFeatures; row++) {
    let sum = 0;
    for (let k = 0; k < inFeatures; k++, at++) sum += x[offset + k]! * weight[at]!;
    out[outOffset + row] = bias === null ? sum : sum + bias[row]!;
  }
}
