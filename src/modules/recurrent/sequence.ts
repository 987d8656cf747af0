/**
 * Checks of the arguments of `forward` of recurrent modules.
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
import type { Cell } from "../../cells/cell.ts";
import { type StateSizes, stateSizes } from "./data.ts";

/**
 * Options of a recurrent module's `forward`.
 *
 * @example
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import type { RecurrentForwardOptions } from "@splitgate/splitgate/modules";
 * const x = tensor([1, 2, 3, 0], [2, 2, 1]); // [steps, batch, features]
 * const options: RecurrentForwardOptions = { lengths: [2, 1] }; // the second row has one step
 * new LSTM({ inputSize: 1, hiddenSize: 3 }).forward(x, undefined, options);
 * ```
 */
export interface RecurrentForwardOptions {
  /** Number of valid steps of each batch row, 1..steps, in any order; all of them by default. */
  readonly lengths?: ArrayLike<number>;
}

/** A module's checked arguments. */
export interface SequencePlan {
  readonly steps: number;
  readonly batch: number;
  /** Length of each batch row, or null if all have all steps. */
  readonly lengths: Int32Array | null;
  /** Copies of the initial states, in the cell's order. */
  readonly states: readonly { readonly data: Float32Array; readonly shape: readonly number[] }[];
}

/** The sizes that {@linkcode planSequence} reads. */
export interface SequenceSizes extends StateSizes {
  readonly inputSize: number;
  readonly numLayers: number;
  readonly numDirections: number;
  readonly batchFirst: boolean;
  readonly cell: Cell;
}

/**
 * Checks the arguments of a module of these sizes, as its `forward` documents.
 *
 * @param state One tensor for each state of the cell; a single one is called `state` in messages.
 */
export function planSequence(
  sizes: SequenceSizes,
  x: Tensor,
  state: readonly Tensor[] | undefined,
  options: RecurrentForwardOptions,
): SequencePlan {
  const { inputSize, batchFirst } = sizes;
  const outer = sizes.numLayers * sizes.numDirections;
  checkTensor("x", x);
  const batched = x.shape.length === 3;
  if ((!batched && x.shape.length !== 2) || x.shape.at(-1) !== inputSize) {
    const layout = batchFirst ? "batch, steps" : "steps, batch";
    failRange("x.shape", `[${layout}, ${inputSize}] or [steps, ${inputSize}]`, x.shape);
  }
  const steps = batched && batchFirst ? x.shape[1]! : x.shape[0]!;
  const batch = !batched ? 1 : batchFirst ? x.shape[0]! : x.shape[1]!;
  const shapes = stateSizes(sizes).map((width) => batched ? [outer, batch, width] : [outer, width]);
  if (state !== undefined) {
    if (!Array.isArray(state) || state.length !== shapes.length) {
      failType("state", "a pair of tensors", state);
    }
    const [only, ...others] = shapes;
    if (others.length === 0) checkShaped("state", state[0]!, only!);
    else shapes.forEach((shape, i) => checkShaped(`state[${i}]`, state[i]!, shape));
  }
  checkOptions("options", options, ["lengths"]);
  return {
    steps,
    batch,
    lengths: options.lengths === undefined ? null : checkLengths(options.lengths, batch, steps),
    states: shapes.map((shape, i) => ({
      data: state === undefined
        ? parameter(sizes.cell.states[i]!.name, shape)
        : state[i]!.data.slice(),
      shape,
    })),
  };
}
