/**
 * Masked steps: steps of a model's input that are left out before it runs. They change no state,
 * and repeat the output of the last step before them that was used.
 *
 * @module
 */

/**
 * Which steps of a model's input are masked, and what stands before the first that is not.
 *
 * @example
 * ```ts
 * import { quantize } from "@splitgate/splitgate";
 * import { importKeras } from "@splitgate/splitgate/import/keras";
 * import type { Mask } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/keras-made/masked.keras");
 * const { model } = importKeras(bytes, { masking: "lengths" });
 * const size = 4;
 * const data = [Float32Array.from({ length: 3 * size }, (_, i) => Math.sin(i + 1))];
 * const mask: Mask | null = (await quantize(model, data)).model.mask;
 * assertEquals(mask?.value, 0); // leave out steps that hold nothing but zeros
 * ```
 */
export interface Mask {
  /** What a masked step holds and nothing else: a number, or a token id. */
  readonly value: number;
  /**
   * For each output of the model, in order, its row at masked steps before the first step that is
   * used: [size], float32. null for one row a sequence, and where a masked step's row is no
   * repetition, as after a layer of both directions.
   */
  readonly before: readonly (Float32Array | null)[];
}

/** Steps of a sequence that are used. */
export interface UsedSteps {
  /** For each step the index of the last one that is used, counted in used steps; -1 for none. */
  readonly used: Int32Array;
  /** How many are used. */
  readonly count: number;
}

/**
 * Finds the steps that are not masked.
 *
 * @param data [steps, size]
 * @param value What a masked step holds and nothing else.
 * @param out The used steps one after the other are written here; at least as long as `data`.
 */
export function gatherUsed<T extends Float32Array | Int32Array>(
  data: T,
  size: number,
  value: number,
  out: T,
): UsedSteps {
  const steps = data.length / size;
  const used = new Int32Array(steps);
  let count = 0;
  for (let t = 0; t < steps; t++) {
    const step = data.subarray(t * size, (t + 1) * size);
    if (step.some((each) => each !== value)) out.set(step, count++ * size);
    used[t] = count - 1;
  }
  return { used, count };
}

/**
 * Repeats the rows of used steps at masked ones.
 *
 * @param rows [used steps, size], or more of them.
 * @param used As {@linkcode gatherUsed} gives it.
 * @param before The row before the first used step.
 * @param out [steps, size]
 */
export function repeatUsed(
  rows: Float32Array,
  used: Int32Array,
  before: Float32Array,
  out: Float32Array,
): void {
  const { length: size } = before;
  used.forEach((row, t) => {
    out.set(row < 0 ? before : rows.subarray(row * size, (row + 1) * size), t * size);
  });
}
