/**
 * What is fuzzed: cases that are plain JSON, so that they can be kept, and what must hold of each.
 *
 * @module
 */
import type fc from "fast-check";

/** What a case came to. */
export interface Outcome {
  /** For cases that are kept: `held`, `read` or `refused`. */
  readonly outcome: string;
  /** How many random cases it was, by what they tried; one of the target itself by default. */
  readonly counts?: Readonly<Record<string, number>>;
}

/** Something that is fuzzed. */
export interface Target<C = unknown> {
  /** What `--target` calls it. */
  readonly name: string;
  /** Draws cases; plain JSON. */
  readonly cases: fc.Arbitrary<C>;
  /**
   * Tries a case.
   *
   * @throws {Error} If something does not hold.
   */
  run(one: C): Outcome | Promise<Outcome>;
  /** A case that fails too and is smaller, beyond what the arbitrary shrinks to; itself by default. */
  smallest?(one: C, fails: (one: C) => boolean): C;
}

/** A case that is kept. */
export interface Kept {
  /** The target's name. */
  readonly target: string;
  /** What came out when it was kept, or must. */
  readonly outcome: string;
  /** The case. */
  readonly case: unknown;
}
