/**
 * Running FirstStep: the first step of each row.
 *
 * @module
 */
import { endOfTime } from "../end_of_time.ts";
import type { RunningKind } from "../kind.ts";

/** How FirstStep runs. */
export const firstStep: RunningKind = endOfTime({
  kind: "FirstStep",
  take: () => (first, to, x, from, fresh) => {
    if (fresh) first[to] = x[from]!;
  },
});
