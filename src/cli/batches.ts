/**
 * Groups sequences into batches, because a batch runs faster than its sequences one by one.
 *
 * @module
 */
import { isInt32Array } from "../../kernels/numeric/typed_array.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import { batchFirstOf, flatten, type Graph } from "../modules/graph.ts";
import { kindOf } from "../modules/kinds.ts";
import type { InputShape, Sequence } from "./data.ts";

/** Max number of sequences per batch; larger batches are not faster. */
const BATCH = 32;

/** Max number of values per batch, which bounds the working memory of a model. */
const BATCH_VALUES = 2 ** 20;

/** A batch of sequences as a model takes it. */
export interface Batch {
  readonly x: Tensor | TokenTensor;
  /** Number of steps of each sequence, if they differ. */
  readonly lengths?: Int32Array;
}

/** Makes a batch of sequences; shorter ones are padded with zeros. */
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
 * Groups sequences into batches for a model, shorter ones first, so that there is little padding.
 * For models with windows over time, the sequences of a batch have the same length, because these
 * models take no lengths.
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
