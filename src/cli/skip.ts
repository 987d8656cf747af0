/**
 * Removes the steps that a model masks from data.
 *
 * @module
 */
import { gatherUsed, type Mask, repeatUsed } from "../core/mask.ts";
import { isInt32Array } from "../../kernels/numeric/typed_array.ts";
import type { InputShape, Sequence } from "./data.ts";
import { CommandError } from "./error.ts";

/** A sequence without its masked steps. */
export interface UnmaskedSequence {
  /** Empty if all of its steps are masked. */
  readonly sequence: Sequence;
  /**
   * For each step of the given sequence the index of the last used step so far, -1 before the
   * first; null if all steps are used.
   */
  readonly used: Int32Array | null;
}

/**
 * Removes masked steps.
 *
 * @param mask If null, no steps are removed.
 */
export function withoutMasked(
  sequence: Sequence,
  { size }: InputShape,
  mask: Pick<Mask, "value"> | null,
): UnmaskedSequence {
  const all = { sequence, used: null };
  if (mask === null) return all;
  const out = sequence.slice();
  const { used, count } = isInt32Array(sequence)
    ? gatherUsed(sequence, size, mask.value, out as Int32Array)
    : gatherUsed(sequence, size, mask.value, out as Float32Array);
  return count === used.length ? all : { sequence: out.slice(0, count * size), used };
}

/** Requires that any data is left. */
function checkAny(sequences: readonly Sequence[], mask: Pick<Mask, "value"> | null): void {
  if (sequences.length > 0 || mask === null) return;
  throw new CommandError(
    `data: every step is masked, since it holds nothing but ${mask.value}; --skip none runs them all`,
  );
}

/** Sequences without masked steps; sequences that are masked entirely are dropped. */
export function usedSequences(
  sequences: readonly Sequence[],
  input: InputShape,
  mask: Pick<Mask, "value"> | null,
): Sequence[] {
  const used = sequences.map((each) => withoutMasked(each, input, mask).sequence)
    .filter(({ length }) => length > 0);
  checkAny(used, mask);
  return used;
}

/**
 * Test data without masked steps and their labels.
 *
 * @param labels One label per step if `time`, else one per sequence; null for none.
 */
export function usedData(
  sequences: readonly Sequence[],
  labels: readonly (readonly number[])[] | null,
  { input, mask, time }: {
    readonly input: InputShape;
    readonly mask: Pick<Mask, "value"> | null;
    readonly time: boolean;
  },
): { readonly sequences: Sequence[]; readonly labels: (readonly number[])[] | null } {
  const steps = sequences.map((each) => withoutMasked(each, input, mask));
  const isUsed = (_: unknown, i: number) => steps[i]!.sequence.length > 0;
  const used = steps.map(({ sequence }) => sequence).filter(isUsed);
  checkAny(used, mask);
  return {
    sequences: used,
    labels: labels && labels.map((own, i) => {
      const { used } = steps[i]!;
      if (used === null || !time) return own;
      return own.filter((_, t) => used[t] !== (t === 0 ? -1 : used[t - 1]));
    }).filter(isUsed),
  };
}

/** Expands the rows of used steps to all steps: masked steps repeat the row before them. */
export function repeated(rows: Float32Array, used: Int32Array, before: Float32Array): Float32Array {
  const out = new Float32Array(used.length * before.length);
  repeatUsed(rows, used, before, out);
  return out;
}
