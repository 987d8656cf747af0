/**
 * What an LSTM of any form is called with.
 *
 * @module
 */
import { failRange, failType } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  checkLengths,
  checkOptions,
  checkShaped,
  checkTensor,
  parameter,
} from "../../core/check.ts";

/** Options of {@linkcode LSTM.forward}. */
export interface LSTMForwardOptions {
  /** Number of valid steps of each batch row, 1..steps, in any order; all of them by default. */
  readonly lengths?: ArrayLike<number>;
}

/** What an LSTM's arguments come to, checked. */
export interface SequencePlan {
  readonly steps: number;
  readonly batch: number;
  /** One a batch row, or null for all steps. */
  readonly lengths: Int32Array | null;
  /** A copy of the initial state. */
  readonly h: Float32Array;
  readonly c: Float32Array;
  readonly hShape: number[];
  readonly cShape: number[];
}

/** The sizes that {@linkcode planSequence} reads. */
export interface SequenceSizes {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly projSize: number;
  readonly numLayers: number;
  readonly numDirections: number;
  readonly batchFirst: boolean;
}

/** Checks what is given to an LSTM of these sizes, as LSTM.forward documents it. */
export function planSequence(
  sizes: SequenceSizes,
  x: Tensor,
  state: readonly [Tensor, Tensor] | undefined,
  options: LSTMForwardOptions,
): SequencePlan {
  const { inputSize, hiddenSize, projSize, batchFirst } = sizes;
  const outer = sizes.numLayers * sizes.numDirections;
  checkTensor("x", x);
  const batched = x.shape.length === 3;
  if ((!batched && x.shape.length !== 2) || x.shape.at(-1) !== inputSize) {
    const layout = batchFirst ? "batch, steps" : "steps, batch";
    failRange("x.shape", `[${layout}, ${inputSize}] or [steps, ${inputSize}]`, x.shape);
  }
  const steps = batched && batchFirst ? x.shape[1]! : x.shape[0]!;
  const batch = !batched ? 1 : batchFirst ? x.shape[0]! : x.shape[1]!;
  const hShape = batched ? [outer, batch, projSize || hiddenSize] : [outer, projSize || hiddenSize];
  const cShape = batched ? [outer, batch, hiddenSize] : [outer, hiddenSize];
  if (state !== undefined) {
    if (!Array.isArray(state) || state.length !== 2) failType("state", "a pair of tensors", state);
    checkShaped("state[0]", state[0], hShape);
    checkShaped("state[1]", state[1], cShape);
  }
  checkOptions("options", options, ["lengths"]);
  return {
    steps: steps!,
    batch: batch!,
    lengths: options.lengths === undefined ? null : checkLengths(options.lengths, batch, steps),
    h: state === undefined ? parameter("h", hShape) : state[0].data.slice(),
    c: state === undefined ? parameter("c", cShape) : state[1].data.slice(),
    hShape,
    cShape,
  };
}
