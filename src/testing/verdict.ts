/**
 * What an invariant says of a model and a trial.
 *
 * @module
 */

/** Where two ways to run a model first differ. */
export interface Difference {
  /** The two ways: what is expected first. */
  readonly between: readonly [expected: string, got: string];
  /** The first module, in the order in which they run, whose values differ. */
  readonly node: string;
  /** The part of it, or the state that holds the part's value; null where only its output tells. */
  readonly part: string | null;
  /** Which value: `output out, step 3, row 0, value 2`. */
  readonly value: string;
  /** What the first way gives: a number, or the message of an error. */
  readonly expected: number | string;
  /** What the second one gives. */
  readonly got: number | string;
}

/** What an invariant says. */
export type Verdict =
  | {
    /** The invariant holds. */
    readonly status: "held";
    /** How many values were compared. */
    readonly values: number;
    /** How many of these differ, within what the invariant allows. */
    readonly differing: number;
  }
  | {
    /** It could not be checked. */
    readonly status: "skipped";
    /** Why. */
    readonly reason: string;
  }
  | {
    /** It does not hold. */
    readonly status: "broken";
    /** Where. */
    readonly difference: Difference;
  };

/** A verdict that the invariant holds. */
export function held(values: number, differing = 0): Verdict {
  return { status: "held", values, differing };
}

/** A verdict that it was not checked. */
export function skipped(reason: string): Verdict {
  return { status: "skipped", reason };
}

/** A verdict that it does not hold. */
export function broken(difference: Difference): Verdict {
  return { status: "broken", difference };
}
