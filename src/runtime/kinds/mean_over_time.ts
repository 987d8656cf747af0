/**
 * Running MeanOverTime: the sum of each feature, over the number of steps.
 *
 * @module
 */
import { meanInt8 } from "../../../kernels/ops/over_time.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { endOfTime } from "../end_of_time.ts";
import type { RunningKind } from "../kind.ts";

/**
 * The largest sum of integers that is kept: sums are exact, and so is what a state's bytes hold of
 * them.
 */
const MAX_SUM = 2 ** 51;

/** How sums are kept: exact over 2^43 steps of 8 bits, 2^35 of 16 and 2^19 of 32. */
function sums(scale: number, quantMin: number): PerTensorQParams {
  return { dtype: "qint32", scale, zeroPoint: 0, quantMin, quantMax: MAX_SUM };
}

/** How MeanOverTime runs. */
export const meanOverTime: RunningKind = endOfTime({
  kind: "MeanOverTime",
  kept: "sum",
  slots: ({ size, qparams }) => [
    { name: "count", size: 1, groups: [sums(1, 0)], wide: true },
    { name: "sum", size, groups: [qparams && sums(qparams.scale, -MAX_SUM)], wide: true },
  ],
  take: () => (sum, to, x, from) => {
    sum[to]! += x[from]!;
  },
  give({ count, sum }, out, batch, { output: { size, qparams } }) {
    for (let i = 0; i < batch * size; i++) {
      const steps = count![Math.floor(i / size)]!;
      if (steps === 0) out[i] = 0;
      else if (qparams === null) out[i] = Math.fround(sum![i]! / steps);
      else {
        const { zeroPoint, quantMin, quantMax } = qparams;
        const whole = sum![i]! + steps * zeroPoint;
        out[i] = meanInt8(whole, steps, quantMin, quantMax) - zeroPoint;
      }
    }
  },
});
