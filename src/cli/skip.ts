/**
 * Steps that a model skips, as Keras' Masking does: they change no state, and the output before
 * them is repeated.
 *
 * @module
 */
import type { InputShape, Sequence } from "./data.ts";
import { CommandError } from "./error.ts";

/** A sequence without steps that are skipped. */
export interface UsedSteps {
  readonly sequence: Sequence;
  /** For each step that was given the one that is used, -1 before the first; null: all are used. */
  readonly used: Int32Array | null;
}

/**
 * Leaves out the steps whose values all are `skipped`.
 *
 * @param name What messages call the sequence.
 * @param skipped null leaves out none.
 */
export function usedSteps(
  name: string,
  sequence: Sequence,
  { size }: InputShape,
  skipped: number | null,
): UsedSteps {
  const all = { sequence, used: null };
  if (skipped === null) return all;
  const steps = sequence.length / size;
  const used = new Int32Array(steps);
  const out = sequence.slice();
  let count = 0;
  for (let t = 0; t < steps; t++) {
    const step = sequence.subarray(t * size, (t + 1) * size);
    if (step.some((value) => value !== skipped)) out.set(step, count++ * size);
    used[t] = count - 1;
  }
  if (count === steps) return all;
  if (count === 0) {
    throw new CommandError(
      `${name}: every step is skipped, since it holds nothing but ${skipped}; leave it out, ` +
        "or give --skip none",
    );
  }
  return { sequence: out.slice(0, count * size), used };
}

/** Sequences without steps that are skipped. */
export function usedSequences(
  sequences: readonly Sequence[],
  input: InputShape,
  skipped: number | null,
): Sequence[] {
  return sequences.map((each, i) => usedSteps(`sequence ${i}`, each, input, skipped).sequence);
}

/**
 * Test data without steps that are skipped, and without their labels.
 *
 * @param labels Of each step where `time`, of each sequence where not; null for none.
 */
export function usedData(
  sequences: readonly Sequence[],
  labels: readonly (readonly number[])[] | null,
  { input, skipped, time }: {
    readonly input: InputShape;
    readonly skipped: number | null;
    readonly time: boolean;
  },
): { readonly sequences: Sequence[]; readonly labels: (readonly number[])[] | null } {
  const steps = sequences.map((each, i) => usedSteps(`sequence ${i}`, each, input, skipped));
  return {
    sequences: steps.map(({ sequence }) => sequence),
    labels: labels && labels.map((own, i) => {
      const { used } = steps[i]!;
      if (used === null || !time) return own;
      return own.filter((_, t) => used[t] !== (t === 0 ? -1 : used[t - 1]));
    }),
  };
}

/** Rows of `size` values for the steps that were given: zeros before the first that is used. */
export function repeated(rows: Float32Array, used: Int32Array, size: number): Float32Array {
  const out = new Float32Array(used.length * size);
  used.forEach((row, t) => {
    if (row >= 0) out.set(rows.subarray(row * size, (row + 1) * size), t * size);
  });
  return out;
}
