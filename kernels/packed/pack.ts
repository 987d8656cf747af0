/**
 * Weight layouts for speed: int8 rows packed two to a double, so that one multiply-add makes two
 * exact products.
 *
 * @module
 */
import { ROUND_MAGIC } from "../numeric/requantize.ts";

const HIGH = 134217728; // 2^27: the upper row's products stand above the lower row's

/**
 * Rows of an int8 matrix in arrays of doubles that are read with the activation's own index. Where
 * all sums are small enough an array holds two rows as `first * 2^27 + second`, and else one.
 *
 * The arrays are plain ones, not Float64Arrays: engines check and address them with fewer
 * instructions (the dot products take two thirds of the time in Node 20, five sixths in Bun).
 */
export interface PackedRows {
  /**
   * `length` numbers each. Behind the last row's stands that one again, as often as it takes to
   * fill up four rows and a group that begins with the last of them.
   */
  readonly arrays: readonly (readonly number[])[];
  /** Row length, filled up with zeros to a multiple of four. */
  readonly length: number;
  /** Rows to an array. */
  readonly each: 1 | 2;
  /** Columns whose products {@linkcode dotRows} sums up before it takes two rows apart. */
  readonly columns: number;
}

/**
 * Arrays that {@linkcode dotRows} reads together: with more, engines spill registers; with fewer,
 * they load activations more often.
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
 * Columns that {@linkcode dotRows} multiplies in one pass of its loop.
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
 * The next multiple of four: so many numbers a row has, and its activations.
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
 * Zeros for `length` activations of {@linkcode dotRows}, filled up to a multiple of four. A plain
 * array as the rows are: once anything has detached an ArrayBuffer, as each growth of a WebAssembly
 * memory does, V8 looks at every use of a typed array whether it still has its own.
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
 * Zeros, which engines take for an array of doubles without holes: a fraction comes first, and no
 * place is skipped.
 */
function doubles(length: number): number[] {
  const array = [0.5];
  for (let k = 0; k < length; k++) array[k] = 0;
  // An array that has grown has room for half as many again; a copy has none.
  return array.slice();
}

/**
 * The length that the output of {@linkcode dotRows} must have for `count` rows: the next multiple
 * of ten.
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

/** Rows of integers to be packed, in the order in which they are to stand. */
export interface WeightRows {
  /**
   * Weights less their zero points, row after row, each filled up with zeros to a multiple of four.
   */
  readonly data: Int8Array | Int16Array;
  /** What a row's weights in even columns add up to, and those in odd ones: [count, 2]. */
  readonly sums: Int32Array;
  /** The largest sum of a row's magnitudes. */
  readonly largest: number;
  /** Rows. */
  readonly count: number;
  /** Columns. */
  readonly length: number;
  /**
   * How many columns at a time two rows are multiplied in one number, a multiple of four: so many
   * that no sum of a row's products leaves 26 bits. 0 where rows stand alone, since it would be
   * few.
   */
  readonly columns: number;
}

/**
 * Packs rows, of integers or, with `columns` 0, of float32 values.
 *
 * @example
 * ```ts
 * import { packRows } from "./pack.ts";
 * import { assertEquals } from "@std/assert";
 * const data = Int8Array.of(1, -2, 0, 0, 3, 4, 0, 0);
 * const { arrays } = packRows({ data, count: 2, length: 2, columns: 4 });
 * assertEquals(arrays[0], [2 ** 27 + 3, -2 * 2 ** 27 + 4, 0, 0]);
 * ```
 */
export function packRows(
  { data, count, length, columns }:
    & Pick<WeightRows, "count" | "length" | "columns">
    & { readonly data: WeightRows["data"] | Float32Array },
): PackedRows {
  const each = columns > 0 ? 2 : 1;
  const size = packedLength(length);
  const zeros = doubles(size);
  const arrays: number[][] = [];
  // With a row of zeros behind an odd number that is packed in twos. A loop that takes four steps
  // in one is sooner done where it runs for the first time: fewer make engines begin to compile it.
  const all = count % each === 0 ? data : new Int16Array((count + 1) * size);
  const high = each === 2 ? HIGH : 1;
  const low = each === 2 ? 1 : 0;
  if (all !== data) all.set(data);
  for (let i = 0; i < all.length; i += (each - 1) * size) {
    const array = zeros.slice();
    for (let k = 0, j = i + low * size; k < size; k += 4, i += 4, j += 4) {
      array[k] = all[i]! * high + all[j]! * low;
      array[k + 1] = all[i + 1]! * high + all[j + 1]! * low;
      array[k + 2] = all[i + 2]! * high + all[j + 2]! * low;
      array[k + 3] = all[i + 3]! * high + all[j + 3]! * low;
    }
    arrays.push(array);
  }
  const last = arrays[arrays.length - 1]!;
  const end = packedLength(count) / each + ARRAYS_TOGETHER - 1;
  while (arrays.length < end) arrays.push(last);
  return { arrays, length: size, each, columns: columns || size };
}

/**
 * Fewest columns for which two rows share a number: taking sums apart costs as much as three to six
 * columns do.
 */
const FEWEST_COLUMNS = 16;

/**
 * The most that `columns` of {@linkcode WeightRows} may be: all, or equal shares of them.
 *
 * @param data Rows of {@linkcode packedLength} weights less their zero points.
 * @param length Columns.
 * @param largest The largest sum of a row's magnitudes.
 * @param bound Largest magnitude of an activation less its zero point.
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
    if (columns < FEWEST_COLUMNS) return 0;
    if (maxMagnitudes(data, size, columns) * bound < HIGH / 2) return columns;
  }
}

/** The largest sum of magnitudes of so many columns of a row, counted from its first. */
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
 * Dot products of packed rows with integers, exact while each is below 2^53: `out[i]` receives that
 * of row `from + i`.
 *
 * @param rows The packed rows.
 * @param from First row; even.
 * @param to Behind the last row; even.
 * @param x Activations less their zero points, integers in doubles; as {@linkcode packedInput}
 * makes them room; where there are too many, the last are finite.
 * @param out Receives the sums, {@linkcode sumsLength} of them: those behind the last are of no
 * meaning.
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

/** {@linkcode dotRows} of columns `first` to `end`; all but the first are added to `out`. */
function dotColumns(
  rows: PackedRows,
  from: number,
  to: number,
  x: readonly number[],
  out: Float64Array,
  first: number,
  end: number,
): void {
  // A local: V8 reads what is imported, and looks what it is, at each use.
  const { arrays, each } = rows;
  const MAGIC = ROUND_MAGIC;
  // Met here, `out` is looked at once, and not at each group's end.
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
      // The nearest multiple of 2^27 is the first row's sum: the second's is less than half of
      // that.
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
