/**
 * What `forward` of quantized modules shares: tensors in and out, and values as modules pass them on.
 *
 * @module
 */
import { dtypeOf, newQArray, type QArray } from "../core/dtype.ts";
import { checkFinite, checkInteger, failRange, failType } from "../core/errors.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { isPerChannel, type PerTensorQParams, type QParams } from "../core/qparams.ts";
import { shapeSize, type Tensor } from "../core/tensor.ts";
import { quantizeShifted } from "../runtime/shifted.ts";
import type { ForwardTensor } from "./kind.ts";

/** The parameters of a tensor that a module takes; null is float32. */
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
  if (dtypeOf(data) !== dtype) failType(`${name}.data`, `an array of ${dtype}`, data);
  checkSize(data as QArray);
  (data as Int32Array).forEach((q, i) => checkInteger(`${name}.data[${i}]`, q, quantMin, quantMax));
  return qparams;
}

/** Values as modules pass them on: integers less the zero point, or floats; quantized to `to` where given as floats. */
export function shiftedValues(
  x: ForwardTensor,
  from: PerTensorQParams | null,
  to: PerTensorQParams | null,
): Float64Array {
  const out = Float64Array.from(x.data);
  if (from !== null) { for (let i = 0; i < out.length; i++) out[i]! -= from.zeroPoint; }
  else if (to !== null) quantizeShifted(x.data, 0, out, 0, out.length, to);
  return out;
}

/** The reverse: a tensor over values less the zero point, or floats. */
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
