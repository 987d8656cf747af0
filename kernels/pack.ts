/**
 * Weight layouts for speed: int8 rows packed two to a double, so that one multiply-add makes two exact products.
 *
 * @module
 */
import type { LinearWeight } from "./linear.ts";
import { ROUND_MAGIC } from "./requantize.ts";

const HIGH = 134217728; // 2^27: the upper row's products stand above the lower row's

/**
 * Rows of an int8 matrix in groups of eight: four views a group, each holding two rows as `upper * 2^27 + lower`.
 * A view is read with the activation's own index.
 */
export interface PackedRows {
  readonly views: readonly Float64Array[];
  /** Row length. */
  readonly length: number;
  /** How many products may be summed before the lower half could reach 2^26. */
  readonly chunk: number;
}

/**
 * Packs rows of a matrix.
 *
 * @param weight The rows; their zero points are subtracted here.
 * @param order Which row stands where, in groups of eight; -1 for a row of zeros.
 * @param bound Largest magnitude of an activation less its zero point.
 */
export function packRows(
  weight: LinearWeight,
  order: ArrayLike<number>,
  bound: number,
): PackedRows {
  const views: Float64Array[] = [],
    { data, zeroPoints, inFeatures: length } = weight;
  let largest = 1;
  const at = (row: number, k: number): number => {
    if (row < 0) return 0;
    const w = data[row * length + k] -
      zeroPoints[Math.floor(row * zeroPoints.length / weight.outFeatures)];
    if (w > largest || -w > largest) largest = Math.abs(w);
    return w;
  };
  for (let i = 0; i < order.length; i += 2) {
    const view = new Float64Array(length);
    for (let k = 0; k < length; k++) {
      view[k] = at(order[i], k) * HIGH + at(order[i + 1], k);
    }
    views.push(view);
  }
  return {
    views,
    length,
    chunk: Math.max(1, Math.floor((HIGH / 2 - 1) / (largest * bound))),
  };
}

/**
 * Eight dot products of packed rows with integers, exact while each is below 2^53 and each chunk's below 2^26.
 *
 * @param rows The packed rows.
 * @param group Which group of eight.
 * @param x Activations less their zero points, integers in doubles.
 * @param out Receives the eight sums at 0..7.
 *
 * @example
 * ```ts
 * import { dot8, packRows } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const order = [0, 1, -1, -1, -1, -1, -1, -1];
 * const weight = {
 *   data: Int8Array.of(1, -2, 3, 4),
 *   outFeatures: 2,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(1),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const rows = packRows(weight, order, 255);
 * const out = new Float64Array(8);
 * dot8(rows, 0, Float64Array.of(10, 20), out);
 * assertEquals([...out.subarray(0, 2)], [-30, 110]);
 * ```
 */
export function dot8(
  rows: PackedRows,
  group: number,
  x: Float64Array,
  out: Float64Array,
): void {
  const { views, length, chunk } = rows;
  const A = views[group * 4],
    B = views[group * 4 + 1],
    C = views[group * 4 + 2],
    D = views[group * 4 + 3];
  let start = 0, end = length < chunk ? length : chunk;
  for (;;) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let k = start; k < end; k++) {
      const v = x[k];
      a += A[k] * v;
      b += B[k] * v;
      c += C[k] * v;
      d += D[k] * v;
    }
    // The nearest multiple of 2^27 is the upper sum: the lower one is less than half of that.
    const a1 = (a * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
    const b1 = (b * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
    const c1 = (c * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
    const d1 = (d * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
    if (start === 0) {
      out[0] = a1;
      out[1] = a - a1 * HIGH;
      out[2] = b1;
      out[3] = b - b1 * HIGH;
      out[4] = c1;
      out[5] = c - c1 * HIGH;
      out[6] = d1;
      out[7] = d - d1 * HIGH;
    } else {
      out[0] += a1;
      out[1] += a - a1 * HIGH;
      out[2] += b1;
      out[3] += b - b1 * HIGH;
      out[4] += c1;
      out[5] += c - c1 * HIGH;
      out[6] += d1;
      out[7] += d - d1 * HIGH;
    }
    if (end === length) return;
    start = end;
    end = length - start < chunk ? length : start + chunk;
  }
}
