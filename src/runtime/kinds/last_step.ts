/**
 * Running LastStep: the last step of each row's own length.
 *
 * @module
 */
import { endOfTime } from "../end_of_time.ts";
import type { RunningKind } from "../kind.ts";

/** How LastStep runs. */
export const lastStep: RunningKind = endOfTime({
  kind: "LastStep",
  take: () => (last, to, x, from) => {
    last[to] = x[from]!;
  },
});
