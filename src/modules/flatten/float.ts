/**
 * The float Flatten.
 *
 * @module
 */
import { checkOptions, checkTensor, MAX_SIZE } from "../../core/check.ts";
import { checkBoolean, checkInteger, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { Module } from "../module.ts";
import { rowsOf, type WindowForwardOptions } from "../window.ts";

/**
 * Options of {@linkcode Flatten}.
 *
 * @example
 * ```ts
 * import { Flatten, type FlattenOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: FlattenOptions = { steps: 2, stepsFirst: true }; // Keras's order
 * const x = tensor([1, 2, 3, 4], [2, 1, 2]);
 * assertEquals([...new Flatten(options).forward(x).data], [1, 2, 3, 4]);
 * ```
 */
export interface FlattenOptions {
  /** Steps that every sequence has. */
  readonly steps: number;
  /**
   * Whether values are ordered by step, then channel, as by Keras' Flatten; by default by channel,
   * then step, as by torch's Flatten of [batch, channels, steps].
   */
  readonly stepsFirst?: boolean;
  /**
   * Whether x is [batch, steps, features] rather than [steps, batch, features]; false by default.
   */
  readonly batchFirst?: boolean;
}

/** Order of a sequence's values in its row. */
export interface FlattenOrder {
  readonly steps: number;
  readonly stepsFirst: boolean;
}

/** Writes sequences into rows. */
export function flattenRows(
  x: Float32Array,
  { steps, stepsFirst }: FlattenOrder,
  { batch, batchFirst }: { readonly batch: number; readonly batchFirst: boolean },
): Float32Array {
  const out = new Float32Array(x.length);
  const size = x.length / (steps * batch);
  for (let i = 0; i < x.length; i++) {
    const channel = i % size;
    const row = (i - channel) / size;
    const b = batchFirst ? Math.floor(row / steps) : row % batch;
    const t = batchFirst ? row % steps : Math.floor(row / batch);
    out[b * steps * size + (stepsFirst ? t * size + channel : channel * steps + t)] = x[i]!;
  }
  return out;
}

/**
 * torch.nn.Flatten of whole sequences: every step of a sequence, side by side in one row, for a
 * Linear that reads them all. It ends time, and all sequences have the same number of steps: a
 * Linear's columns are steps.
 *
 * @example
 * ```ts
 * import { Flatten, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const x = tensor([1, 2, 3, 4], [2, 1, 2]); // two steps of two channels
 * assertEquals([...new Flatten({ steps: 2 }).forward(x).data], [1, 3, 2, 4]);
 * assertEquals([...new Flatten({ steps: 2, stepsFirst: true }).forward(x).data], [1, 2, 3, 4]);
 * ```
 */
export class Flatten extends Module {
  /** Name of the kind. */
  override readonly kind = "Flatten";
  /** Steps that every sequence has. */
  readonly steps: number;
  /** Whether values are ordered by step, then channel. */
  readonly stepsFirst: boolean;
  /** Whether x is [batch, steps, features]. */
  readonly batchFirst: boolean;

  /**
   * Checks the options.
   *
   * @throws {TypeError | RangeError} If an option is unknown, steps no positive integer, or another
   * no boolean.
   */
  constructor(options: FlattenOptions) {
    super();
    checkOptions("options", options, ["steps", "stepsFirst", "batchFirst"]);
    this.steps = checkInteger("steps", options.steps, 1, MAX_SIZE);
    this.stepsFirst = checkBoolean("stepsFirst", options.stepsFirst ?? false);
    this.batchFirst = checkBoolean("batchFirst", options.batchFirst ?? false);
  }

  /** None. */
  override stateDict(): Map<string, Tensor> {
    return new Map();
  }

  /**
   * Flattens sequences.
   *
   * @param x [steps, batch, features], [batch, steps, features] if batchFirst, or [steps, features]
   * unbatched; finite.
   * @param options.lengths All of them `steps`.
   * @returns [batch, steps * features], or [steps * features] unbatched.
   * @throws {TypeError} If `x` is no float32 tensor or an option is unknown.
   * @throws {RangeError} If a shape does not fit, a value is not finite, or a sequence has another
   * number of steps.
   */
  forward(x: Tensor, options: WindowForwardOptions = {}): Tensor {
    checkTensor("x", x);
    checkOptions("options", options, ["lengths"]);
    const { batchFirst, steps } = this;
    const { lengths, ...rows } = rowsOf(x, null, { batchFirst, lengths: options.lengths });
    if (rows.steps !== steps) failRange("x.shape", `${steps} steps, as Flatten has`, rows.steps);
    for (let b = 0; lengths !== null && b < lengths.length; b++) {
      if (lengths[b] !== steps) {
        failRange(
          `lengths[${b}]`,
          `${steps}, as Flatten has (it takes none that differ)`,
          lengths[b],
        );
      }
    }
    const width = steps * x.shape.at(-1)!;
    const data = flattenRows(x.data, this, rows);
    return { data, shape: x.shape.length === 3 ? [rows.batch, width] : [width] };
  }
}
