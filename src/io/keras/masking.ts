/**
 * Steps that Keras' Masking skips: removed before a model runs, and restored in its output.
 *
 * @module
 */
import { checkTensor } from "../../core/check.ts";
import { failRange } from "../../core/errors.ts";
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
   * @throws {RangeError} If its first dimensions are not those of `x`.
   */
  restore(y: Tensor): Tensor;
}

/**
 * Removes the steps whose features all have one value, as Masking(value) does, for a model that was
 * imported with `masking: "lengths"`.
 *
 * Before the first step that is used Keras gives what its layers make of hidden states of zeros;
 * `restore` takes it from behind a sequence's last step, where a float model's `forward` gives the
 * same, and a session zeros.
 * Of a sequence that uses no step at all Keras gives that too; one row for it is what no model here
 * gives, and refused.
 *
 * @param x [batch, steps, features]
 * @param value Value of masked steps: the layer's mask_value.
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
  // The output row that each step gets.
  const rows = new Int32Array(batch * steps);
  const empty: number[] = [];
  for (let b = 0; b < batch; b++) {
    let used = 0;
    for (let t = 0; t < steps; t++) {
      const at = (b * steps + t) * features;
      const step = x.data.subarray(at, at + features);
      if (step.some((each) => each !== value)) {
        data.set(step, (b * steps + used) * features);
        used++;
      }
      // The last row is beyond the steps that are used, where one is skipped.
      rows[b * steps + t] = b * steps + (used === 0 ? steps : used) - 1;
    }
    if (used === 0) empty.push(b);
    lengths[b] = Math.max(used, 1);
  }
  return {
    x: { data, shape: x.shape },
    lengths,
    restore(y) {
      checkTensor("y", y);
      const { shape } = y;
      const inTime = shape.length > 2;
      if (shape[0] !== batch || inTime && shape[1] !== steps) {
        failRange("y.shape", `[${batch}, ${steps}, ...] or [${batch}, ...]`, shape);
      }
      if (empty.length > 0 && (!inTime || steps === 1)) {
        failRange(`x[${empty[0]}]`, "a step that is not masked", "none");
      }
      if (!inTime) return y;
      const width = y.data.length / (batch * steps);
      const out = new Float32Array(y.data.length);
      rows.forEach((row, i) => {
        out.set(y.data.subarray(row * width, (row + 1) * width), i * width);
      });
      return { data: out, shape };
    },
  };
}
