/**
 * Running Add: integers by either rounding family's sum, or floats.
 *
 * @module
 */
import { type FixedPointAdd, fixedPointSum } from "../../../kernels/ops/elementwise.ts";
import {
  clamp,
  dequantizeValue,
  reciprocal,
  roundHalfEven,
} from "../../../kernels/numeric/requantize.ts";
import { checkResult } from "../../core/errors.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";

/** A sum's numbers. */
export interface AddProgram extends NodeProgram {
  /** qnnpack's constants; null where it rounds as fbgemm, or gives float32. */
  readonly fixedPoint: FixedPointAdd | null;
}

/** How Add runs. */
export const add: RunningKind<AddProgram> = {
  kind: "Add",
  endsTime: false,
  looksAhead: () => false,
  slots: () => [],
  instantiate({ inputs, output: { size, qparams }, fixedPoint }) {
    const [scaleA = 1, scaleB = 1] = inputs.map((input) => input.qparams?.scale);
    const inverse = qparams && reciprocal(qparams.scale);
    const low = qparams && qparams.quantMin - qparams.zeroPoint;
    const high = qparams && qparams.quantMax - qparams.zeroPoint;
    return {
      infallible: qparams !== null,
      process(_state, [a, b], out, { steps, batch, lengths }) {
        for (let i = 0; i < steps * batch * size; i++) {
          if (fixedPoint !== null) {
            const { multiplierA, multiplierB, step } = fixedPoint;
            const sum = fixedPointSum(a![i]!, b![i]!, multiplierA, multiplierB, step);
            out[i] = clamp(sum, low!, high!);
          } else if (qparams !== null) {
            const sum = Math.fround(
              dequantizeValue(a![i]!, scaleA, 0) + dequantizeValue(b![i]!, scaleB, 0),
            );
            out[i] = clamp(roundHalfEven(Math.fround(sum * inverse!)), low!, high!);
          } else {
            out[i] = Math.fround(a![i]! + b![i]!);
            const row = Math.floor(i / size);
            if (lengths === null || Math.floor(row / batch) < lengths[row % batch]!) {
              checkResult(out[i]!);
            }
          }
        }
      },
    };
  },
};
