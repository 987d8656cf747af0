/**
 * Sequences as models are calibrated on them: many at a time, which costs less than one by one.
 *
 * @module
 */
import { isInt32Array } from "../../kernels/numeric/typed_array.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import { batchFirstOf, flatten, type Graph } from "../modules/graph.ts";
import { kindOf } from "../modules/kinds.ts";
import type { InputShape, Sequence } from "./data.ts";

/** Sequences at a time: more of them gain nothing. */
const BATCH = 32;

/** Values at a time, of all sequences: what a model works in grows with them. */
const BATCH_VALUES = 2 ** 20;

/** Sequences of one batch, as a model takes them. */
export interface Batch {
  readonly x: Tensor | TokenTensor;
  /** Steps of each, where they differ. */
  readonly lengths?: Int32Array;
}

/** Puts sequences side by side; shorter ones are filled up with zeros. */
function sideBySide(
  sequences: readonly Sequence[],
  { size, vocabulary }: InputShape,
  batchFirst: boolean,
): Batch {
  const batch = sequences.length;
  const lengths = Int32Array.from(sequences, ({ length }) => length / size);
  const steps = Math.max(...lengths);
  const values = batch * steps * size;
  const data = vocabulary > 0 ? new Int32Array(values) : new Float32Array(values);
  sequences.forEach((sequence, b) => {
    if (batchFirst) return data.set(sequence, b * steps * size);
    for (let t = 0; t < lengths[b]!; t++) {
      data.set(sequence.subarray(t * size, (t + 1) * size), (t * batch + b) * size);
    }
  });
  const outer = batchFirst ? [batch, steps] : [steps, batch];
  const x = isInt32Array(data) ? { data, shape: outer } : { data, shape: [...outer, size] };
  return lengths.every((each) => each === steps) ? { x } : { x, lengths };
}

/**
 * Gathers sequences into batches for a model, shorter ones first, so that little is filled up.
 *
 * Where windows move over time only sequences of the same length share a batch: what is made of
 * steps need not be as long as they are.
 */
export function batchesOf(
  sequences: readonly Sequence[],
  model: Graph,
  input: InputShape,
): Batch[] {
  const { modules } = flatten(model);
  const batchFirst = batchFirstOf(modules);
  const windows = [...modules].some(([name, module]) => kindOf(name, module).window !== undefined);
  const sorted = [...sequences].sort((a, b) => a.length - b.length);
  const batches: Batch[] = [];
  for (let from = 0; from < sorted.length;) {
    const shortest = sorted[from]!.length;
    let to = from + 1;
    const joins = (length: number) =>
      to - from < BATCH && length * (to + 1 - from) <= BATCH_VALUES &&
      (windows ? length === shortest : length <= 2 * shortest);
    while (to < sorted.length && joins(sorted[to]!.length)) to++;
    batches.push(sideBySide(sorted.slice(from, to), input, batchFirst));
    from = to;
  }
  return batches;
}
