/**
 * Running MaxOverTime: the largest value of each feature.
 *
 * @module
 */
import { endOfTime } from "../end_of_time.ts";
import type { RunningKind } from "../kind.ts";

/** How MaxOverTime runs. */
export const maxOverTime: RunningKind = endOfTime({
  kind: "MaxOverTime",
  take: () => (max, to, x, from, fresh) => {
    if (fresh || x[from]! > max[to]!) max[to] = x[from]!;
  },
});
