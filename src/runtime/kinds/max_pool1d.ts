/**
 * Running MaxPool1d.
 *
 * @module
 */
import { MAX_FLOAT32 } from "../../../kernels/numeric/requantize.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { RunningKind } from "../kind.ts";
import { movingWindow, type WindowProgram } from "../window.ts";

/** What stands in the place of padding: no value is less. */
export function maxPadding(q: PerTensorQParams | null): number {
  return q === null ? -MAX_FLOAT32 : q.quantMin - q.zeroPoint;
}

/** How MaxPool1d runs. */
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
