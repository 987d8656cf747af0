/**
 * Integers less their zero points, stored as doubles: the form in which modules of a session pass
 * values.
 *
 * @module
 */
import {
  dequantizeValue,
  quantizeValue,
  quantizeValueWide,
  reciprocal,
} from "../../kernels/numeric/requantize.ts";
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";

/** Quantizes floats to integers less the zero point, rounding as the dtype does. */
export function quantizeCentered(
  x: ArrayLike<number>,
  offset: number,
  out: Float64Array | Float32Array | number[],
  outOffset: number,
  length: number,
  to: PerTensorQParams,
): void {
  const { zeroPoint, quantMin, quantMax } = to;
  const inverse = reciprocal(to.scale);
  if (to.dtype === "qint32") {
    for (let i = 0; i < length; i++) {
      const q = quantizeValueWide(x[offset + i]!, inverse, zeroPoint, quantMin, quantMax);
      out[outOffset + i] = q - zeroPoint;
    }
  } else {
    const lo = quantMin - zeroPoint;
    const hi = quantMax - zeroPoint;
    for (let i = 0; i < length; i++) {
      out[outOffset + i] = quantizeValue(x[offset + i]!, inverse, 0, lo, hi);
    }
  }
}

/** Converts values in place from one module's parameters to another's; null is float32. */
export function convertCentered(
  x: Float64Array | Float32Array,
  offset: number,
  length: number,
  from: PerTensorQParams | null,
  to: PerTensorQParams | null,
): void {
  if (from === to || (from !== null && to !== null && sameQParams(from, to))) return;
  if (from !== null) {
    for (let i = offset; i < offset + length; i++) x[i] = dequantizeValue(x[i]!, from.scale, 0);
  }
  if (to !== null) quantizeCentered(x, offset, x, offset, length, to);
}
