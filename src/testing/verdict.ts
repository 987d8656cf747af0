/**
 * The verdict of an invariant on a model and a trial.
 *
 * @module
 */

/**
 * The first difference between two ways of running a model.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type Difference, trials, withinErrorOfFloat } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2, seed: 1 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * const verdict = withinErrorOfFloat(model, trial!, { float, maxError: 0 });
 * const difference: Difference | null = verdict.status === "broken" ? verdict.difference : null;
 * assertEquals(difference?.between[0], "the float model");
 * ```
 */
export interface Difference {
  /** Names of the two ways; the expected one comes first. */
  readonly between: readonly [expected: string, got: string];
  /** The first module, in the order of execution, whose values differ. */
  readonly node: string;
  /** The module's part or state that differs; null if only its output is known to. */
  readonly part: string | null;
  /** The value that differs, as in `output out, step 3, row 0, value 2`. */
  readonly value: string;
  /** The result of the first way: a number, or the message of an error. */
  readonly expected: number | string;
  /** The result of the second way. */
  readonly got: number | string;
}

/**
 * The verdict of an invariant.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { fusedEqualsSplit, trials, type Verdict } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2, seed: 1 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * const verdict: Verdict = fusedEqualsSplit(model, trial!); // a Linear has no gates to split
 * assertEquals(verdict, { status: "skipped", reason: "no module has gates" });
 * ```
 */
export type Verdict =
  | {
    /** The invariant holds. */
    readonly status: "held";
    /** Number of values that were compared. */
    readonly values: number;
    /** Number of values that differ within the invariant's tolerance. */
    readonly differing: number;
  }
  | {
    /** The invariant could not be checked. */
    readonly status: "skipped";
    /** The reason. */
    readonly reason: string;
  }
  | {
    /** The invariant does not hold. */
    readonly status: "broken";
    /** The first difference. */
    readonly difference: Difference;
  };

/** A verdict: the invariant holds. */
export function held(values: number, differing = 0): Verdict {
  return { status: "held", values, differing };
}

/** A verdict: the invariant was not checked. */
export function skipped(reason: string): Verdict {
  return { status: "skipped", reason };
}

/** A verdict: the invariant does not hold. */
export function broken(difference: Difference): Verdict {
  return { status: "broken", difference };
}
