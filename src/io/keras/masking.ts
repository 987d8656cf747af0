/**
 * Steps that Keras' Masking skips: removed before a model runs, and restored in its output.
 *
 * @module
 */
import { checkTensor } from "../../core/check.ts";
import { checkLength, failRange } from "../../core/errors.ts";
import { gatherUsed, repeatUsed } from "../../core/mask.ts";
import type { Tensor } from "../../core/tensor.ts";

/**
 * Sequences without masked steps, and the function that restores them.
 *
 * @example
 * ```ts
 * import { tensor } from "@splitgate/splitgate";
 * import { skipMasked, type UnmaskedSequences } from "@splitgate/splitgate/import/keras";
 * import { assertEquals } from "@std/assert";
 * const used: UnmaskedSequences = skipMasked(tensor([5, 0, 6], [1, 3, 1])); // the second is masked
 * assertEquals([...used.lengths], [2]);
 * const y = tensor([50, 60, 0], [1, 3, 1]); // what a model gives for used.x
 * assertEquals([...used.restore(y).data], [50, 50, 60]);
 * ```
 */
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
   * Converts the model's output for `x` and `lengths` to Keras' output: a masked step repeats the
   * output of the last used step before it. An output with one row per sequence is unchanged.
   *
   * @param y [batch, steps, ...], or [batch, ...] after an end of time.
   * @param before The row before the first used step, as in the `mask` of a quantized model; by
   * default, the row after the last step of a sequence in `y`.
   * @throws {RangeError} If its first dimensions are not those of `x`.
   */
  restore(y: Tensor, before?: Float32Array | null): Tensor;
}

/**
 * Removes the steps whose features all have one value, like Masking(value), for a model that was
 * imported with `masking: "lengths"`.
 *
 * Before the first used step, Keras outputs the result of its layers for hidden states of zeros.
 * `restore` takes that row from after the last step of a sequence, where `forward` of a float model
 * returns the same. A session returns zeros there: pass the row in the quantized model's `mask` to
 * `restore`. For a sequence whose steps are all masked, Keras outputs that row as well; if the
 * model has one row per sequence, such sequences are rejected.
 *
 * @param x [batch, steps, features]
 * @param value Value of masked steps: the model's `maskValue`.
 * @throws {TypeError} If `x` is not a float32 tensor.
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
        // If any step is masked, the last row lies after the used steps.
        const first = before ?? rows.subarray((steps - 1) * width);
        repeatUsed(rows, used, first, out.subarray(b * steps * width));
      });
      return { data: out, shape };
    },
  };
}
