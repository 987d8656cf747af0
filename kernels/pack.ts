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
 * A view is read with the activation's own index, two at a time: it is filled up to an even length with 0.
 */
export interface PackedRows {
  readonly views: readonly Float64Array[];
  /** Row length, filled up to an even one. */
  readonly length: number;
  /** How many products may be summed before the lower half could reach 2^26; even. */
  readonly chunk: number;
}

/**
 * The length that an array of `length` activations must have for {@linkcode dotRows}: the next even one.
 *
 * @example
 * ```ts
 * import { packedLength } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(packedLength(5) >= 5, true);
 * ```
 */
export function packedLength(length: number): number {
  return length + (length & 1);
}

/**
 * Packs rows of a matrix.
 *
 * @param weight The rows; their zero points are subtracted here.
 * @param order Which row stands where, in groups of eight; -1 for a row of zeros.
 * @param bound Largest magnitude of an activation less its zero point, below 2^17: two products must stay below 2^26.
 */
export function packRows(
  weight: LinearWeight,
  order: ArrayLike<number>,
  bound: number,
): PackedRows {
  const views: Float64Array[] = [], { data, zeroPoints, inFeatures, outFeatures } = weight;
  const length = packedLength(inFeatures);
  // What an int8 less its zero point can be at most.
  let largest = 1;
  for (let i = 0; i < order.length; i += 2) {
    const view = new Float64Array(length);
    for (let half = 0; half < 2; half++) {
      const row = order[i + half]!;
      if (row < 0) continue;
      const zeroPoint = zeroPoints[Math.floor(row * zeroPoints.length / outFeatures)]!, at = row * inFeatures;
      largest = Math.max(largest, Math.min(255, 128 + Math.abs(zeroPoint)));
      if (half === 0) { for (let k = 0; k < inFeatures; k++) view[k] = (data[at + k]! - zeroPoint) * HIGH; }
      else for (let k = 0; k < inFeatures; k++) view[k]! += data[at + k]! - zeroPoint;
    }
    views.push(view);
  }
  return { views, length, chunk: Math.max(2, Math.floor((HIGH / 2 - 1) / (largest * bound) / 2) * 2) };
}

/**
 * Dot products of packed rows with integers, exact while each is below 2^53: `out[8 * i + j]` receives that of row j
 * of group `from + i`.
 *
 * @param rows The packed rows.
 * @param from First group of eight rows.
 * @param to Behind the last group.
 * @param x Activations less their zero points, integers in doubles; {@linkcode packedLength} of them, the last of
 * which, where there is one too many, is finite.
 * @param out Receives the sums.
 *
 * @example
 * ```ts
 * import { dotRows, packRows } from "@splitgate/splitgate/kernels";
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
 * dotRows(rows, 0, 1, Float64Array.of(10, 20), out);
 * assertEquals([...out.subarray(0, 2)], [-30, 110]);
 * ```
 */
export function dotRows(
  rows: PackedRows,
  from: number,
  to: number,
  x: Float64Array,
  out: Float64Array,
): void {
  const { views, length, chunk } = rows;
  for (let group = from, at = 0; group < to; group++, at += 8) {
    const A = views[group * 4]!, B = views[group * 4 + 1]!, C = views[group * 4 + 2]!, D = views[group * 4 + 3]!;
    for (let start = 0, end = chunk; start < length; start = end, end += chunk) {
      if (end > length) end = length;
      let a = 0, b = 0, c = 0, d = 0;
      for (let k = start; k < end; k = (k + 2) | 0) {
        // One addition of two products: engines keep fewer values alive across iterations than with two additions.
        const k1 = (k + 1) | 0, p = x[k]!, q = x[k1]!;
        a += A[k]! * p + A[k1]! * q;
        b += B[k]! * p + B[k1]! * q;
        c += C[k]! * p + C[k1]! * q;
        d += D[k]! * p + D[k1]! * q;
      }
      // The nearest multiple of 2^27 is the upper sum: the lower one is less than half of that.
      const a1 = (a * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
      const b1 = (b * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
      const c1 = (c * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
      const d1 = (d * (1 / HIGH) + ROUND_MAGIC) - ROUND_MAGIC;
      if (start === 0) {
        out[at] = a1;
        out[at + 1] = a - a1 * HIGH;
        out[at + 2] = b1;
        out[at + 3] = b - b1 * HIGH;
        out[at + 4] = c1;
        out[at + 5] = c - c1 * HIGH;
        out[at + 6] = d1;
        out[at + 7] = d - d1 * HIGH;
      } else {
        out[at]! += a1;
        out[at + 1]! += a - a1 * HIGH;
        out[at + 2]! += b1;
        out[at + 3]! += b - b1 * HIGH;
        out[at + 4]! += c1;
        out[at + 5]! += c - c1 * HIGH;
        out[at + 6]! += d1;
        out[at + 7]! += d - d1 * HIGH;
      }
    }
  }
}
