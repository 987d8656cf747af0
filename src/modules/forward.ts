/**
 * Shared by `forward` of quantized modules: conversion between tensors and the values inside a
 * model.
 *
 * @module
 */
import { dequantizePerTensor, quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import { isOfDType, newQArray, type QArray } from "../core/dtype.ts";
import { checkFinite, checkInteger, failRange, failType } from "../core/errors.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { isPerChannel, type PerTensorQParams, type QParams } from "../core/qparams.ts";
import { type QTensor, shapeSize, type Tensor } from "../core/tensor.ts";
import { quantizeCentered } from "../runtime/centered.ts";
import type { ForwardTensor } from "./kind.ts";
import { finiteTensor } from "./observing.ts";

/** The parameters of a module's input tensor; null is float32. */
export function inputQParams(name: string, x: unknown): PerTensorQParams | null {
  if (typeof x !== "object" || x === null || !Array.isArray((x as Tensor).shape)) {
    failType(name, "a Tensor or a QTensor", x);
  }
  const { qparams, data, shape } = x as { qparams?: QParams; data: unknown; shape: number[] };
  const size = shapeSize(shape);
  const checkSize = ({ length }: ArrayLike<number>): void => {
    if (size === 0) failRange(`${name}.shape`, "no empty dimension", shape);
    if (length !== size) failRange(`${name}.data`, `${size} elements for its shape`, length);
  };
  if (qparams === undefined) {
    if (!isFloat32Array(data)) return failType(`${name}.data`, "a Float32Array", data);
    checkSize(data);
    checkFinite(`${name}.data`, data);
    return null;
  }
  if (isPerChannel(qparams)) return failType(`${name}.qparams`, "parameters per tensor", qparams);
  const { dtype, quantMin, quantMax } = qparams;
  if (!isOfDType(data, dtype)) failType(`${name}.data`, `an array of ${dtype}`, data);
  checkSize(data as QArray);
  (data as Int32Array).forEach((q, i) => checkInteger(`${name}.data[${i}]`, q, quantMin, quantMax));
  return qparams;
}

/** The kernels of a module whose output is as wide as its input. */
export interface RowKernels {
  /** Integers to integers; false where it does not run their dtypes. */
  integers(x: QTensor<PerTensorQParams>, out: QTensor<PerTensorQParams>): boolean;
  /** float32, in place. */
  floats(x: Float32Array): void;
}

/**
 * Runs rows of `size` values with a module's kernels: floats are quantized to `input`, a quantized
 * tensor keeps its own parameters; dtypes without an integer kernel go through float32.
 *
 * @throws {TypeError} If `x` is no tensor.
 * @throws {RangeError} If its last dimension is not `size`, a value out of range, or a float32
 * result not finite.
 */
export function forwardRows(
  x: ForwardTensor,
  size: number,
  { input, output }: { input: PerTensorQParams | null; output: PerTensorQParams | null },
  kernels: RowKernels,
): ForwardTensor {
  let from = inputQParams("x", x);
  if (x.shape.at(-1) !== size) failRange("x.shape", `[..., ${size}]`, [...x.shape]);
  const shape = [...x.shape];
  let { data } = x;
  if (from === null && input !== null) {
    from = input;
    const q = newQArray(input.dtype, data.length);
    quantizePerTensor(data as Float32Array, q, input);
    data = q;
  }
  const out = output === null
    ? null
    : { data: newQArray(output.dtype, data.length), shape, qparams: output };
  const given = from === null ? null : { data: data as QArray, shape, qparams: from };
  if (given !== null && out !== null && kernels.integers(given, out)) return out;
  const y = new Float32Array(data.length);
  if (given === null) y.set(data);
  else dequantizePerTensor(given.data, y, given.qparams.scale, given.qparams.zeroPoint);
  kernels.floats(y);
  if (out === null) return finiteTensor("y", y, shape);
  quantizePerTensor(y, out.data, out.qparams);
  return out;
}

/**
 * The data of a tensor as modules pass it on: integers less the zero point, or floats; floats are
 * quantized to `to`.
 */
export function shiftedValues(
  x: ForwardTensor,
  from: PerTensorQParams | null,
  to: PerTensorQParams | null,
): Float64Array {
  const out = Float64Array.from(x.data);
  if (from !== null) { for (let i = 0; i < out.length; i++) out[i]! -= from.zeroPoint; }
  else if (to !== null) quantizeCentered(x.data, 0, out, 0, out.length, to);
  return out;
}

/** The inverse: a tensor from integers less the zero point, or floats. */
export function shiftedTensor(
  values: ArrayLike<number>,
  shape: readonly number[],
  qparams: PerTensorQParams | null,
): ForwardTensor {
  if (qparams === null) return { data: Float32Array.from(values), shape };
  const data = newQArray(qparams.dtype, values.length);
  for (let i = 0; i < data.length; i++) data[i] = values[i]! + qparams.zeroPoint;
  return { data, shape, qparams };
}
