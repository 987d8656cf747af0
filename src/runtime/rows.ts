/**
 * Running float32 functions of whole rows, also for quantized values.
 *
 * @module
 */
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { checkResults } from "./check_results.ts";
import type { ModuleInstance, NodeProgram } from "./kind.ts";
import { quantizeCentered } from "./centered.ts";

/** Computes rows of `width` values; `out` may be `x`. */
export type RowsFunction = (x: Float32Array, out: Float32Array, width: number) => void;

/**
 * A module that dequantizes each row, applies a function to it, and quantizes the result.
 *
 * @param infallible Whether no result overflows.
 */
export function rowsModule(
  compute: RowsFunction,
  { inputs, output: { size, qparams: to } }: NodeProgram,
  infallible: boolean,
): ModuleInstance {
  const from = inputs[0]!.qparams;
  const row = new Float32Array(size);
  return {
    infallible,
    process(_state, [x], out, call) {
      for (let at = 0; at < call.steps * call.batch * size; at += size) {
        for (let k = 0; k < size; k++) {
          const value = x![at + k]!;
          row[k] = from === null ? value : dequantizeValue(value, from.scale, 0);
        }
        compute(row, row, size);
        if (to !== null) quantizeCentered(row, 0, out, at, size, to);
        else for (let k = 0; k < size; k++) out[at + k] = row[k]!;
      }
      if (!infallible) checkResults(out, size, call);
    },
  };
}
