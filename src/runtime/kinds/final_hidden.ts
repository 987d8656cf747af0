/**
 * Running FinalHidden: the output of each direction of a recurrent module at its last step.
 *
 * @module
 */
import { endOfTime } from "../end_of_time.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";

/** A final hidden state's numbers. */
export interface FinalHiddenProgram extends NodeProgram {
  /** Whether the second half of a row is the backward direction's, which ends at the first step. */
  readonly bidirectional: boolean;
}

/** How FinalHidden runs. */
export const finalHidden: RunningKind<FinalHiddenProgram> = endOfTime({
  kind: "FinalHidden",
  take: ({ bidirectional, output: { size } }) => (hidden, to, x, from, fresh) => {
    // Models that look ahead get whole sequences, so that a row's first step is the backward
    // direction's last.
    if (fresh || !bidirectional || to % size < size / 2) hidden[to] = x[from]!;
  },
});
