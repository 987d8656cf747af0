/**
 * What is fuzzed: cases that are plain JSON, so that they can be kept, and what must hold of each.
 *
 * @module
 */
import type fc from "fast-check";

/** Something that is fuzzed. */
export interface Target<C = unknown> {
  /** What `--target` calls it. */
  readonly name: string;
  /** Draws cases; plain JSON. */
  readonly cases: fc.Arbitrary<C>;
  /**
   * Tries a case.
   *
   * @returns What came out, for cases that are kept: `held`, `read` or `refused`.
   * @throws {Error} If something does not hold.
   */
  run(one: C): string | Promise<string>;
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
