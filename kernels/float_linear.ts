/**
 * The float linear operator, summed in one fixed order so that every engine gives the same bits.
 *
 * @module
 */

/**
 * `out = weight x + bias` of one row: each sum is accumulated in double and rounded to float32 once.
 *
 * @param x float32; the row [inFeatures] starts at `offset`.
 * @param weight float32 [outFeatures, inFeatures].
 * @param bias float32 [outFeatures], or null.
 * @param out Receives float32 [outFeatures] at `outOffset`.
 *
 * @example
 * ```ts
 * import { linearFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(1);
 * linearFloat32(Float32Array.of(1, 2), 0, Float32Array.of(3, 4), Float32Array.of(0.5), 2, 1, out, 0);
 * assertEquals(out[0], 11.5);
 * ```
 */
export function linearFloat32(
  x: Float32Array,
  offset: number,
  weight: Float32Array,
  bias: Float32Array | null,
  inFeatures: number,
  outFeatures: number,
  out: Float32Array,
  outOffset: number,
): void {
  for (let row = 0, at = 0; row < outFeatures; row++) {
    let sum = 0;
    for (let k = 0; k < inFeatures; k++, at++) sum += x[offset + k]! * weight[at]!;
    out[outOffset + row] = bias === null ? sum : sum + bias[row]!;
  }
}
