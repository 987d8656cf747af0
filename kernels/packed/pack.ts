/**
 * Weight layouts for speed: pairs of int8 rows packed into doubles, so that one multiply-add
 * computes two exact products.
 *
 * @module
 */
import { ROUND_MAGIC } from "../numeric/requantize.ts";

const HIGH = 134217728; // 2^27: shifts the products of one row above those of the other

/**
 * Rows of an int8 matrix in arrays of doubles, which are indexed like the activations. If all sums
 * are small enough, an array holds two rows as `first * 2^27 + second`; otherwise one.
 *
 * The arrays are plain arrays instead of Float64Arrays, because engines check and address these
 * with fewer instructions (the dot products take two thirds of the time in Node 20, five sixths in
 * Bun).
 */
export interface PackedRows {
  /**
   * Arrays of `length` numbers. The last array is repeated to fill up four rows, and a group that
   * begins with the last row.
   */
  readonly arrays: readonly (readonly number[])[];
  /** Row length, padded with zeros to a multiple of four. */
  readonly length: number;
  /** Number of rows per array. */
  readonly each: 1 | 2;
  /** Number of columns whose products {@linkcode dotRows} sums before it separates two rows. */
  readonly columns: number;
}

/**
 * Number of arrays that {@linkcode dotRows} reads together: with more, engines spill registers;
 * with fewer, they load activations more often.
 *
 * @example
 * ```ts
 * import { ARRAYS_TOGETHER, sumsLength } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(sumsLength(1), 2 * ARRAYS_TOGETHER); // each array may hold two rows
 * ```
 */
export const ARRAYS_TOGETHER = 5;

/**
 * Number of columns that {@linkcode dotRows} multiplies in one pass of its loop.
 *
 * @example
 * ```ts
 * import { COLUMNS_TOGETHER, packedLength } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(packedLength(1), COLUMNS_TOGETHER);
 * ```
 */
export const COLUMNS_TOGETHER = 4;

/**
 * Rounds up to a multiple of four: the padded length of a row and of its activations.
 *
 * @example
 * ```ts
 * import { packedLength } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([27, 28].map(packedLength), [28, 28]);
 * ```
 */
export function packedLength(length: number): number {
  return Math.ceil(length / COLUMNS_TOGETHER) * COLUMNS_TOGETHER;
}

/**
 * An input for `length` activations of {@linkcode dotRows}: zeros, padded to a multiple of four. It
 * is a plain array like the rows: once any ArrayBuffer was detached, as by growing a WebAssembly
 * memory, V8 checks at every use of a typed array whether its buffer is still attached.
 *
 * @example
 * ```ts
 * import { packedInput } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(packedInput(5), [0, 0, 0, 0, 0, 0, 0, 0]);
 * ```
 */
export function packedInput(length: number): number[] {
  return doubles(packedLength(length));
}

/**
 * Zeros in an array that engines store as doubles without holes: the first number is a fraction,
 * and no index is skipped.
 */
function doubles(length: number): number[] {
  const array = [0.5];
  for (let k = 0; k < length; k++) array[k] = 0;
  // A grown array has spare capacity of half its size; a copy has none.
  return array.slice();
}

/**
 * The required length of the output of {@linkcode dotRows} for `count` rows: a multiple of ten.
 *
 * @example
 * ```ts
 * import { sumsLength } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([10, 12].map(sumsLength), [10, 20]);
 * ```
 */
export function sumsLength(count: number): number {
  const rows = 2 * ARRAYS_TOGETHER;
  return Math.ceil(count / rows) * rows;
}

/** Rows of integers before packing, in their final order. */
export interface WeightRows {
  /**
   * Weights minus their zero points, row after row, each padded with zeros to a multiple of four.
   */
  readonly data: Int8Array | Int16Array;
  /** The sums of each row's weights in even and in odd columns: [count, 2]. */
  readonly sums: Int32Array;
  /** The max sum of a row's magnitudes. */
  readonly largest: number;
  /** Number of rows. */
  readonly count: number;
  /** Number of columns. */
  readonly length: number;
  /**
   * Number of columns for which two rows share a number, a multiple of four: small enough for any
   * sum of a row's products to fit in 26 bits. 0 if rows do not share, because it would be too
   * small.
   */
  readonly columns: number;
}

/**
 * Packs rows.
 *
 * @param scales Dequantizes row i to float32 values `f(scales[i] * weight)`, one row to an array;
 * rows of integers by default.
 *
 * @example
 * ```ts
 * import { packRows } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * const data = Int8Array.of(1, -2, 0, 0, 3, 4, 0, 0), sums = Int32Array.of(1, -2, 3, 4);
 * const rows = { data, sums, largest: 7, count: 2, length: 2, columns: 4 };
 * assertEquals(packRows(rows).arrays[0], [2 ** 27 + 3, -2 * 2 ** 27 + 4, 0, 0]);
 * assertEquals(packRows(rows, Float32Array.of(0.5, 2)).arrays[1], [6, 8, 0, 0]);
 * ```
 */
export function packRows(
  { data, count, length, columns }: Pick<WeightRows, "data" | "count" | "length" | "columns">,
  scales?: Float32Array,
): PackedRows {
  const each = columns > 0 && !scales ? 2 : 1;
  const size = packedLength(length);
  const zeros = doubles(size);
  const arrays: number[][] = [];
  // An odd number of rows gets a row of zeros before packing in pairs. The loop takes four numbers
  // per iteration: with fewer iterations in the first run, engines do not start compiling it then.
  const all = count % each === 0 ? data : new Int16Array((count + 1) * size);
  const high = each === 2 ? HIGH : 1;
  const low = each === 2 ? 1 : 0;
  const { fround } = Math;
  if (all !== data) all.set(data);
  for (let i = 0; i < all.length; i += (each - 1) * size) {
    const array = zeros.slice();
    if (scales) {
      const scale = scales[arrays.length]!;
      for (let k = 0; k < size; k += 4, i += 4) {
        array[k] = fround(scale * all[i]!);
        array[k + 1] = fround(scale * all[i + 1]!);
        array[k + 2] = fround(scale * all[i + 2]!);
        array[k + 3] = fround(scale * all[i + 3]!);
      }
    } else {
      for (let k = 0, j = i + low * size; k < size; k += 4, i += 4, j += 4) {
        array[k] = all[i]! * high + all[j]! * low;
        array[k + 1] = all[i + 1]! * high + all[j + 1]! * low;
        array[k + 2] = all[i + 2]! * high + all[j + 2]! * low;
        array[k + 3] = all[i + 3]! * high + all[j + 3]! * low;
      }
    }
    arrays.push(array);
  }
  const last = arrays[arrays.length - 1]!;
  const end = packedLength(count) / each + ARRAYS_TOGETHER - 1;
  while (arrays.length < end) arrays.push(last);
  return { arrays, length: size, each, columns: scales ? size : columns || size };
}

/**
 * Min number of columns for which two rows share a number: separating two sums costs as much as
 * three to six columns.
 */
const MIN_COLUMNS = 16;

/**
 * The max value for `columns` of {@linkcode WeightRows}: all columns, or an equal part of them.
 *
 * @param data Rows of {@linkcode packedLength} weights minus their zero points.
 * @param length Number of columns.
 * @param largest The max sum of a row's magnitudes.
 * @param bound Max magnitude of an activation minus its zero point.
 *
 * @example
 * ```ts
 * import { columnsTogether } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * const data = new Int8Array(512).fill(127), largest = 512 * 127;
 * assertEquals([255, 8192, 2 ** 24].map((bound) => columnsTogether(data, 512, largest, bound)), [
 *   512,
 *   64,
 *   0,
 * ]);
 * ```
 */
export function columnsTogether(
  data: Int8Array | Int16Array,
  length: number,
  largest: number,
  bound: number,
): number {
  const size = packedLength(length);
  if (largest * bound < HIGH / 2) return size;
  for (let parts = Math.ceil(largest * bound / (HIGH / 2));; parts++) {
    const columns = packedLength(length / parts);
    if (columns < MIN_COLUMNS) return 0;
    if (maxMagnitudes(data, size, columns) * bound < HIGH / 2) return columns;
  }
}

/**
 * The max sum of magnitudes over any `columns` successive columns of a row, in shares from the
 * first.
 */
function maxMagnitudes(data: Int8Array | Int16Array, size: number, columns: number): number {
  let max = 0;
  for (let row = 0; row < data.length; row += size) {
    for (let from = 0; from < size; from += columns) {
      let sum = 0;
      for (let k = row + from, end = row + Math.min(from + columns, size); k < end; k++) {
        sum += Math.abs(data[k]!);
      }
      if (sum > max) max = sum;
    }
  }
  return max;
}

/**
 * Dot products of packed rows with integers, exact if each is below 2^53: `out[i]` receives the
 * product of row `from + i`.
 *
 * @param rows The packed rows.
 * @param from First row; even.
 * @param to End of the rows, exclusive; even.
 * @param x Activations minus their zero points, as integers in doubles, of the length of {@linkcode
 * packedInput}; values of the padding must be finite.
 * @param out Receives the sums; of length {@linkcode sumsLength}. Values after the last row are
 * undefined.
 *
 * @example
 * ```ts
 * import { dotRows, packRows, sumsLength } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * const data = Int8Array.of(1, -2, 0, 0, 3, 4, 0, 0);
 * const rows = packRows({ data, count: 2, length: 2, columns: 4 });
 * const out = new Float64Array(sumsLength(2));
 * dotRows(rows, 0, 2, [10, 20, 0, 0], out);
 * assertEquals([...out.subarray(0, 2)], [-30, 110]);
 * ```
 */
export function dotRows(
  rows: PackedRows,
  from: number,
  to: number,
  x: readonly number[],
  out: Float64Array,
): void {
  const { length, columns } = rows;
  for (let first = 0; first < length; first += columns) {
    dotColumns(rows, from, to, x, out, first, Math.min(first + columns, length));
  }
}

/** {@linkcode dotRows} for columns `first` to `end`; all but the first part are added to `out`. */
function dotColumns(
  rows: PackedRows,
  from: number,
  to: number,
  x: readonly number[],
  out: Float64Array,
  first: number,
  end: number,
): void {
  // A local copy, because V8 loads and checks an imported value at each use.
  const { arrays, each } = rows;
  const MAGIC = ROUND_MAGIC;
  // This use lets V8 check `out` once, instead of at the end of each group.
  out[0] = first > 0 ? out[0]! : 0;
  for (
    let i = (from / each) | 0, last = to / each, at = 0;
    i < last;
    i = (i + ARRAYS_TOGETHER) | 0
  ) {
    const A = arrays[i]!;
    const B = arrays[(i + 1) | 0]!;
    const C = arrays[(i + 2) | 0]!;
    const D = arrays[(i + 3) | 0]!;
    const E = arrays[(i + 4) | 0]!;
    let a = 0, b = 0, c = 0, d = 0, e = 0;
    for (let k = first; k < end; k = (k + 4) | 0) {
      const p = x[k]!;
      a += A[k]! * p;
      b += B[k]! * p;
      c += C[k]! * p;
      d += D[k]! * p;
      e += E[k]! * p;
      const k1 = (k + 1) | 0;
      const q = x[k1]!;
      a += A[k1]! * q;
      b += B[k1]! * q;
      c += C[k1]! * q;
      d += D[k1]! * q;
      e += E[k1]! * q;
      const k2 = (k + 2) | 0;
      const r = x[k2]!;
      a += A[k2]! * r;
      b += B[k2]! * r;
      c += C[k2]! * r;
      d += D[k2]! * r;
      e += E[k2]! * r;
      const k3 = (k + 3) | 0;
      const s = x[k3]!;
      a += A[k3]! * s;
      b += B[k3]! * s;
      c += C[k3]! * s;
      d += D[k3]! * s;
      e += E[k3]! * s;
    }
    if (each === 2) {
      // The nearest multiple of 2^27 is the first row's sum, because the second row's is less than
      // half of that.
      const a1 = (a * (1 / HIGH) + MAGIC) - MAGIC;
      const b1 = (b * (1 / HIGH) + MAGIC) - MAGIC;
      const c1 = (c * (1 / HIGH) + MAGIC) - MAGIC;
      const d1 = (d * (1 / HIGH) + MAGIC) - MAGIC;
      const e1 = (e * (1 / HIGH) + MAGIC) - MAGIC;
      if (first > 0) {
        out[at]! += a1;
        out[(at + 1) | 0]! += a - a1 * HIGH;
        out[(at + 2) | 0]! += b1;
        out[(at + 3) | 0]! += b - b1 * HIGH;
        out[(at + 4) | 0]! += c1;
        out[(at + 5) | 0]! += c - c1 * HIGH;
        out[(at + 6) | 0]! += d1;
        out[(at + 7) | 0]! += d - d1 * HIGH;
        out[(at + 8) | 0]! += e1;
        out[(at + 9) | 0]! += e - e1 * HIGH;
        at = (at + 2 * ARRAYS_TOGETHER) | 0;
        continue;
      }
      out[at] = a1;
      out[(at + 1) | 0] = a - a1 * HIGH;
      out[(at + 2) | 0] = b1;
      out[(at + 3) | 0] = b - b1 * HIGH;
      out[(at + 4) | 0] = c1;
      out[(at + 5) | 0] = c - c1 * HIGH;
      out[(at + 6) | 0] = d1;
      out[(at + 7) | 0] = d - d1 * HIGH;
      out[(at + 8) | 0] = e1;
      out[(at + 9) | 0] = e - e1 * HIGH;
    } else {
      out[at] = a;
      out[(at + 1) | 0] = b;
      out[(at + 2) | 0] = c;
      out[(at + 3) | 0] = d;
      out[(at + 4) | 0] = e;
    }
    at = (at + ARRAYS_TOGETHER * each) | 0;
  }
}
