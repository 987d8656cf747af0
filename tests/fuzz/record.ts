/** What runs of `deno task fuzz` came to, as `bench/results/fuzz.json` holds it by target. */

/** What a run of a target came to. */
export interface Tally {
  /** Cases by what came out. */
  readonly outcomes: Record<string, number>;
  /** Random cases by what they tried: an invariant, or the target itself. */
  readonly counts: Record<string, number>;
}

/** A run of a target that is recorded. */
export interface FuzzRecord extends Tally {
  /** When it ended. */
  readonly date: string;
  /** What all of its cases follow from. */
  readonly seed: number;
}

/** How much of something is run. */
export interface Share {
  /** How many of them. */
  readonly hit: number;
  /** How many there are. */
  readonly found: number;
}

/** What `deno task fuzz:coverage --record` puts into `bench/results/coverage.json`. */
export interface CoverageRecord {
  /** When it was measured. */
  readonly date: string;
  /** By watched folder or file. */
  readonly parts: Readonly<
    Record<string, {
      readonly lines: Share;
      readonly branches: Share;
      readonly functions: Share;
    }>
  >;
}
