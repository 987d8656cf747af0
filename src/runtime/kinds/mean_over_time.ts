/**
 * Running MeanOverTime: the sum of each feature, over the number of steps.
 *
 * @module
 */
import { meanInt8 } from "../../../kernels/ops/over_time.ts";
import { endOfTime } from "../end_of_time.ts";
import type { RunningKind } from "../kind.ts";

/** How MeanOverTime runs. */
export const meanOverTime: RunningKind = endOfTime({
  kind: "MeanOverTime",
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
