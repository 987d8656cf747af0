/**
 * Checks that the modules share.
 *
 * @module
 */
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import { checkFinite, checkInteger, failRange, failType } from "./errors.ts";
import { shapeSize, type Tensor, type TokenTensor } from "./tensor.ts";

/** The largest number of elements of a tensor. */
export const MAX_SIZE = 2147483647;

/**
 * Requires an object without fields other than `known`: a field that would have no effect is an
 * error.
 */
export function checkOptions(name: string, options: unknown, known: readonly string[]): void {
  const names = known.join(", ");
  if (typeof options !== "object" || options === null) {
    failType(name, `an object of ${names || "nothing"}`, options);
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      failType(name, names === "" ? "none" : `no options but ${names}`, key);
    }
  }
}

/** Requires a number within float32's range, and returns it rounded to float32. */
export function checkFloat32(name: string, value: unknown): number {
  if (typeof value !== "number") return failType(name, "a number", value);
  const rounded = Math.fround(value);
  return Number.isFinite(rounded) ? rounded : failRange(name, "a finite float32 number", value);
}

/** Requires a tensor of the given kind in which no dimension is 0. */
function checkKind(
  name: string,
  x: Tensor | TokenTensor,
  kind: typeof Float32Array | typeof Int32Array,
): void {
  // An array without its shape is the usual mistake.
  if (typeof x !== "object" || x === null || ArrayBuffer.isView(x) || Array.isArray(x)) {
    failType(name, `a tensor { data: ${kind.name}, shape }`, x);
  }
  if (typedArrayKind(x.data) !== kind.name) {
    failType(`${name}.data`, kind === Int32Array ? "an Int32Array" : "a Float32Array", x.data);
  }
  if (!Array.isArray(x.shape)) failType(`${name}.shape`, "an array of integers", x.shape);
  const size = shapeSize(x.shape);
  if (size === 0) failRange(`${name}.shape`, "no empty dimension", x.shape);
  if (size !== x.data.length) {
    failRange(`${name}.data`, `${size} elements for its shape`, x.data.length);
  }
}

/**
 * Requires a float32 tensor whose values are finite and of which no dimension is 0.
 *
 * @throws {TypeError} If `x` is no float32 tensor.
 * @throws {RangeError} If it is empty, holds NaN or infinity, or data and shape disagree.
 */
export function checkTensor(name: string, x: Tensor): void {
  checkKind(name, x, Float32Array);
  checkFinite(`${name}.data`, x.data);
}

/**
 * Requires a tensor of token ids below `count` of which no dimension is 0.
 *
 * @throws {TypeError} If `x` is no tensor of Int32Array data.
 * @throws {RangeError} If it is empty, holds an id outside 0..count - 1, or data and shape
 * disagree.
 */
export function checkTokens(name: string, x: TokenTensor, count: number): void {
  checkKind(name, x, Int32Array);
  for (let i = 0; i < x.data.length; i++) {
    if (x.data[i]! < 0 || x.data[i]! >= count) {
      failRange(`${name}.data[${i}]`, `a token id in 0..${count - 1}`, x.data[i]);
    }
  }
}

/** Requires a float32 tensor of exactly this shape, finite. */
export function checkShaped(name: string, x: Tensor, shape: readonly number[]): void {
  checkTensor(name, x);
  if (x.shape.length !== shape.length || x.shape.some((n, i) => n !== shape[i])) {
    failRange(`${name}.shape`, `[${shape.join(", ")}]`, x.shape);
  }
}

/**
 * A copy of lengths, so that they are read once; a value that is no array is passed on to the check
 * that follows.
 */
export function copyLengths(lengths: ArrayLike<number>): ArrayLike<number> {
  return Array.isArray(lengths) || ArrayBuffer.isView(lengths) ? Array.from(lengths) : lengths;
}

/** Requires one length in 1..steps for each of `batch` rows, and copies them. */
export function checkLengths(
  lengths: ArrayLike<number>,
  batch: number,
  steps: number,
): Int32Array {
  if (!Array.isArray(lengths) && !ArrayBuffer.isView(lengths)) {
    failType("lengths", "an array of integers", lengths);
  }
  if (lengths.length !== batch) {
    failRange("lengths", `${batch} integers, one a batch row`, lengths.length);
  }
  return Int32Array.from(
    { length: batch },
    (_, b) => checkInteger(`lengths[${b}]`, lengths[b], 1, steps),
  );
}

/** Zeros for a parameter, its size checked. */
export function parameter(name: string, shape: readonly number[]): Float32Array {
  const size = shape.reduce((product, n) => product * n, 1);
  if (size > MAX_SIZE) failRange(name, `at most ${MAX_SIZE} elements`, size);
  return new Float32Array(size);
}
