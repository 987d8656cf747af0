/**
 * Running MaxPool1d.
 *
 * @module
 */
import { MAX_FLOAT32 } from "../../../kernels/numeric/requantize.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { RunningKind } from "../kind.ts";
import { movingWindow, type WindowProgram } from "../window.ts";

/** Value of the padding: never larger than any other. */
export function maxPadding(q: PerTensorQParams | null): number {
  return q === null ? -MAX_FLOAT32 : q.quantMin - q.zeroPoint;
}

/**
 * How MaxPool1d runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   Linear,
 *   MaxPool1d,
 *   prepare,
 *   Sequential,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { maxPool1d } from "@splitgate/splitgate/runtime/conv";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 4 });
 * const observed = prepare(new Sequential({ linear, last: new MaxPool1d({ kernelSize: 2 }) }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25, 1, -0.5, 0.75, -2], [4, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [maxPool1d] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const maxPool1d: RunningKind<WindowProgram> = movingWindow({
  kind: "MaxPool1d",
  padding: maxPadding,
  instantiate({ window: { kernelSize, dilation }, output: { size } }) {
    return {
      infallible: true,
      move(line, from, out, to) {
        for (let i = 0; i < size; i++) {
          let largest = line[from + i]!;
          for (let tap = 1; tap < kernelSize; tap++) {
            const value = line[from + tap * dilation * size + i]!;
            if (value > largest) largest = value;
          }
          out[to + i] = largest;
        }
      },
    };
  },
});
