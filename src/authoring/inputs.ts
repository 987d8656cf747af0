/**
 * Data that models are calibrated and measured on.
 *
 * @module
 */
import { isFloat32Array, isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { checkOptions, copyLengths } from "../core/check.ts";
import { failRange, failType, isObject } from "../core/errors.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";

/**
 * One entry of calibration data: a tensor as the model takes it, optionally with the length of each
 * batch row; or a single sequence of any length as a flat array: token ids, or the float32 values
 * of its steps in order.
 *
 * @example
 * ```ts
 * import { Linear, type ModelInput, quantize, tensor } from "@splitgate/splitgate";
 * const calibration: ModelInput[] = [
 *   Float32Array.of(0.1, -0.4, 0.9, 0.3), // one sequence of two steps
 *   tensor(new Float32Array(12).fill(0.5), [3, 2, 2]), // [steps, batch, values]
 *   { x: tensor(new Float32Array(12), [3, 2, 2]), lengths: [3, 1] }, // the second row is shorter
 * ];
 * await quantize(new Linear({ inFeatures: 2, outFeatures: 3 }), calibration);
 * ```
 */
export type ModelInput =
  | Tensor
  | TokenTensor
  | Float32Array
  | Int32Array
  | { readonly x: Tensor | TokenTensor; readonly lengths?: ArrayLike<number> };

/** An entry as the model takes it. */
export interface ReadInput {
  readonly x: Tensor | TokenTensor;
  /** Length of each batch row; absent where all steps are valid. */
  readonly lengths?: ArrayLike<number>;
}

/**
 * Reads an entry of data.
 *
 * @param name What errors call it.
 * @param inputSize Values a step of the model's input; null for token ids.
 */
export function readInput(name: string, given: ModelInput, inputSize: number | null): ReadInput {
  if (typeof given !== "object" || given === null) {
    failType(name, "a tensor, or a Float32Array or Int32Array of a sequence", given);
  }
  if (isInt32Array(given)) {
    if (inputSize !== null) failType(name, `values of ${inputSize} a step, float32`, given);
    return { x: { data: given, shape: [given.length] } };
  }
  if (isFloat32Array(given)) {
    if (inputSize === null) failType(name, "token ids, in an Int32Array", given);
    const { length } = given;
    if (length === 0 || length % inputSize !== 0) {
      failRange(`${name}.length`, `a multiple of the step's width ${inputSize}`, length);
    }
    return { x: { data: given, shape: [length / inputSize, inputSize] } };
  }
  if (!("x" in given)) return { x: given as Tensor };
  checkOptions(name, given, ["x", "lengths"]);
  const { x, lengths } = given;
  return lengths === undefined ? { x } : { x, lengths: copyLengths(lengths) };
}

/** Reads all entries of data; there must be at least one. */
export function* readInputs(
  name: string,
  data: Iterable<ModelInput>,
  inputSize: number | null,
): Generator<ReadInput> {
  if (typeof data !== "object" || data === null || !(Symbol.iterator in data)) {
    failType(name, "an array of inputs", data);
  }
  let count = 0;
  for (const each of data) yield readInput(`${name}[${count++}]`, each, inputSize);
  if (count === 0) failRange(name, "one input or more", "none");
}

/** Number of entries, if data knows it. */
export function countOf(data: unknown): number | undefined {
  return Array.isArray(data) ? data.length : undefined;
}

/** Requires an iterable or async iterable of entries. */
export function checkEntries(data: unknown): void {
  // A tensor or an array of numbers is the usual mistake.
  const iterable = isObject(data) && !ArrayBuffer.isView(data) &&
    (Symbol.iterator in data || Symbol.asyncIterator in data);
  if (!iterable) {
    const one = isFloat32Array(data) || isInt32Array(data) || (isObject(data) && "shape" in data);
    failType("data", "an array or iterable of inputs", one ? "one input: write [input]" : data);
  }
}

/** An error with the index of the entry that caused it. */
export function withEntry(index: number, cause: unknown): unknown {
  if (!(cause instanceof TypeError || cause instanceof RangeError)) return cause;
  const Kind = cause instanceof TypeError ? TypeError : RangeError;
  return new Kind(`data[${index}]: ${cause.message}`, { cause });
}
