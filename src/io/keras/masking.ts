/**
 * Steps that Keras' Masking skips: removed before a model runs, and restored in its output.
 *
 * @module
 */
import { checkTensor } from "../../core/check.ts";
import { checkLength, failRange } from "../../core/errors.ts";
import { gatherUsed, repeatUsed } from "../../core/mask.ts";
import type { Tensor } from "../../core/tensor.ts";

/** Sequences without masked steps, and the function that restores them. */
export interface UnmaskedSequences {
  /**
   * The steps that are not masked, moved to the front and padded with zeros: [batch, steps,
   * features] as before.
   */
  readonly x: Tensor;
  /**
   * Number of unmasked steps of each row; 1 if there are none, since a model runs at least one
   * step.
   */
  readonly lengths: Int32Array;
  /**
   * Converts the model's output for `x` and `lengths` to Keras' output: masked steps repeat the
   * output of the last unmasked step before them. One row for the sequence is unchanged.
   *
   * @param y [batch, steps, ...], or [batch, ...] after an end of time.
   * @param before The row before the first unmasked step, as a quantized model's `mask` holds it;
   * by default the one behind a sequence's last step in `y`.
   * @throws {RangeError} If its first dimensions are not those of `x`.
   */
  restore(y: Tensor, before?: Float32Array | null): Tensor;
}

/**
 * Removes the steps whose features all have one value, as Masking(value) does, for a model that was
 * imported with `masking: "lengths"`.
 *
 * Before the first step that is used Keras gives what its layers make of hidden states of zeros;
 * `restore` takes it from behind a sequence's last step, where a float model's `forward` gives the
 * same. A session gives zeros there: give `restore` the row of the quantized model's `mask`.
 * Of a sequence that uses no step at all Keras gives that too; one row for it is what no model here
 * gives, and refused.
 *
 * @param x [batch, steps, features]
 * @param value Value of masked steps: the model's `maskValue`.
 * @throws {TypeError} If `x` is no float32 tensor.
 * @throws {RangeError} If `x` has other dimensions, or a value is not finite.
 *
 * @example
 * ```ts
 * import { skipMasked } from "@splitgate/splitgate/import/keras";
 * import { tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const { x, lengths, restore } = skipMasked(tensor([0, 5, 0, 6], [1, 4, 1]));
 * assertEquals([[...x.data], [...lengths]], [[5, 6, 0, 0], [2]]);
 * assertEquals([...restore(tensor([50, 60, 7, 7], [1, 4, 1])).data], [7, 50, 50, 60]);
 * ```
 */
export function skipMasked(x: Tensor, value = 0): UnmaskedSequences {
  checkTensor("x", x);
  if (x.shape.length !== 3) failRange("x.shape", "[batch, steps, features]", x.shape);
  const [batch, steps, features] = x.shape as [number, number, number];
  const data = new Float32Array(x.data.length);
  const lengths = new Int32Array(batch);
  const sequences = Array.from({ length: batch }, (_, b) => {
    const [from, to] = [b * steps * features, (b + 1) * steps * features];
    return gatherUsed(x.data.subarray(from, to), features, value, data.subarray(from, to));
  });
  const empty = sequences.findIndex(({ count }) => count === 0);
  sequences.forEach(({ count }, b) => lengths[b] = Math.max(count, 1));
  return {
    x: { data, shape: x.shape },
    lengths,
    restore(y, before) {
      checkTensor("y", y);
      const { shape } = y;
      const inTime = shape.length > 2;
      if (shape[0] !== batch || inTime && shape[1] !== steps) {
        failRange("y.shape", `[${batch}, ${steps}, ...] or [${batch}, ...]`, shape);
      }
      if (empty >= 0 && (!inTime || steps === 1)) {
        failRange(`x[${empty}]`, "a step that is not masked", "none");
      }
      if (!inTime) return y;
      const width = y.data.length / (batch * steps);
      if (before) checkLength("before", before.length, width);
      const out = new Float32Array(y.data.length);
      sequences.forEach(({ used }, b) => {
        const rows = y.data.subarray(b * steps * width, (b + 1) * steps * width);
        // The last row is beyond the steps that are used, where one is masked.
        const first = before ?? rows.subarray((steps - 1) * width);
        repeatUsed(rows, used, first, out.subarray(b * steps * width));
      });
      return { data: out, shape };
    },
  };
}
