/**
 * Ends of time: the mean and the maximum of each feature over a sequence's steps, its first and its
 * last step, and the final hidden state of a recurrent module.
 *
 * @module
 */
import type { Integers } from "../numeric/quantize.ts";
import { clamp, roundHalfEven } from "../numeric/requantize.ts";

const f = Math.fround;

/**
 * Sequences [steps, batch, features].
 *
 * @example
 * ```ts
 * import type { Sequences } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x: Sequences = { steps: 5, batch: 2, features: 3, lengths: [5, 2] };
 * assertEquals(x.steps * x.batch * x.features, 30); // values of [steps, batch, features]
 * ```
 */
export interface Sequences {
  /** Steps of the longest sequence, 1 or more. */
  readonly steps: number;
  /** How many sequences. */
  readonly batch: number;
  /** Values of one step of one sequence. */
  readonly features: number;
  /** Steps of each batch row, 1..steps; null where all have `steps`. Later ones are padding. */
  readonly lengths: ArrayLike<number> | null;
}

/**
 * The mean of quantized integers, given their exact sum: `rne(f(f(sum) / f(count)))`, clamped;
 * scale and zero point stay.
 *
 * torch.mean of quint8, qint8 and qint32 tensors over their last dimension.
 *
 * @param sum Of the integers with their zero point, below 2^53.
 * @param count 1 or more.
 *
 * @example
 * ```ts
 * import { meanInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals([meanInt8(3, 2, 0, 255), meanInt8(5, 2, 0, 255)], [2, 2]);
 * ```
 */
export function meanInt8(sum: number, count: number, quantMin: number, quantMax: number): number {
  return clamp(roundHalfEven(f(f(sum) / f(count))), quantMin, quantMax);
}

/** The sum of `count` values from `first` on, in double, in the order of time. */
function sumOver(
  x: Integers | Float32Array,
  first: number,
  stride: number,
  count: number,
): number {
  let sum = 0;
  for (let step = 0, i = first; step < count; step++, i += stride) sum += x[i]!;
  return sum;
}

/**
 * Mean over time of quantized sequences: {@linkcode meanInt8} of each feature; scale and zero point
 * stay.
 *
 * Equal to torch's mean of a tensor whose last dimension is time. Over another dimension torch
 * dequantizes and sums in float32, in an order that depends on the feature's index and the CPU's
 * vectors; its result then differs only where the exact mean lies half-way between two integers, in
 * about half of these cases.
 *
 * @param x Integers [steps, batch, features].
 * @param out [batch, features], of the same parameters.
 * @param range The smallest and largest integer of those parameters.
 *
 * @example
 * ```ts
 * import { meanOverTimeInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Uint8Array(2);
 * const sequences = { steps: 2, batch: 1, features: 2, lengths: null };
 * meanOverTimeInt8(Uint8Array.of(1, 10, 3, 21), sequences, out, { quantMin: 0, quantMax: 255 });
 * assertEquals([...out], [2, 16]);
 * ```
 */
export function meanOverTimeInt8(
  x: Integers,
  sequences: Sequences,
  out: Integers,
  range: { readonly quantMin: number; readonly quantMax: number },
): void {
  const { steps, batch, features, lengths } = sequences;
  const stride = batch * features;
  for (let row = 0, o = 0; row < batch; row++) {
    const count = lengths === null ? steps : lengths[row]!;
    for (const end = o + features; o < end; o++) {
      out[o] = meanInt8(sumOver(x, o, stride, count), count, range.quantMin, range.quantMax);
    }
  }
}

/**
 * Mean over time of float32 sequences: each feature summed in double in the order of time, divided,
 * and rounded to float32 once. torch sums in float32 in several lanes, and is a few units in the
 * last place less exact.
 *
 * @param x float32 [steps, batch, features].
 * @param out float32 [batch, features].
 *
 * @example
 * ```ts
 * import { meanOverTimeFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * const sequences = { steps: 3, batch: 2, features: 1, lengths: [3, 1] };
 * meanOverTimeFloat32(Float32Array.of(1, 5, 2, 0, 6, 0), sequences, out);
 * assertEquals([...out], [3, 5]);
 * ```
 */
export function meanOverTimeFloat32(
  x: Float32Array,
  sequences: Sequences,
  out: Float32Array,
): void {
  const { steps, batch, features, lengths } = sequences;
  const stride = batch * features;
  for (let row = 0, o = 0; row < batch; row++) {
    const count = lengths === null ? steps : lengths[row]!;
    for (const end = o + features; o < end; o++) {
      out[o] = sumOver(x, o, stride, count) / count;
    }
  }
}

/**
 * Maximum over time of each feature: of integers, whose scale and zero point stay, or of float32
 * values. torch.max over time, of quantized tensors too.
 *
 * @param x [steps, batch, features]; floats are not NaN.
 * @param out [batch, features], of the dtype of `x`.
 *
 * @example
 * ```ts
 * import { maxOverTime } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Int8Array(2);
 * const sequences = { steps: 2, batch: 2, features: 1, lengths: [2, 1] };
 * maxOverTime(Int8Array.of(1, -5, 3, 100), sequences, out);
 * assertEquals([...out], [3, -5]);
 * ```
 */
export function maxOverTime(
  x: Integers | Float32Array,
  sequences: Sequences,
  out: Integers | Float32Array,
): void {
  const { steps, batch, features, lengths } = sequences;
  const stride = batch * features;
  for (let row = 0, o = 0; row < batch; row++) {
    const count = lengths === null ? steps : lengths[row]!;
    for (const end = o + features; o < end; o++) {
      let max = x[o]!;
      for (let step = 1, i = o + stride; step < count; step++, i += stride) {
        if (x[i]! > max) max = x[i]!;
      }
      out[o] = max;
    }
  }
}

/**
 * The first step of each sequence.
 *
 * @param x [steps, batch, features]
 * @param out [batch, features], of the dtype of `x`.
 *
 * @example
 * ```ts
 * import { firstStep } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Int8Array(2);
 * firstStep(Int8Array.of(1, 2, 3, 4), { steps: 2, batch: 2, features: 1, lengths: null }, out);
 * assertEquals([...out], [1, 2]);
 * ```
 */
export function firstStep(
  x: Integers | Float32Array,
  sequences: Sequences,
  out: Integers | Float32Array,
): void {
  for (let i = 0; i < sequences.batch * sequences.features; i++) out[i] = x[i]!;
}

/**
 * The last step of each sequence's own length.
 *
 * @param x [steps, batch, features]
 * @param out [batch, features], of the dtype of `x`.
 *
 * @example
 * ```ts
 * import { lastStep } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Int8Array(2);
 * lastStep(Int8Array.of(1, 2, 3, 0), { steps: 2, batch: 2, features: 1, lengths: [2, 1] }, out);
 * assertEquals([...out], [3, 2]);
 * ```
 */
export function lastStep(
  x: Integers | Float32Array,
  sequences: Sequences,
  out: Integers | Float32Array,
): void {
  finalHidden(x, sequences, out, false);
}

/**
 * The final hidden state of a recurrent module, from its output: torch's `cat(h_n[-2], h_n[-1])`.
 * The forward direction ends at the last step of a sequence's own length, the backward one at the
 * first step.
 *
 * @param x [steps, batch, features]
 * @param out [batch, features], of the dtype of `x`.
 * @param bidirectional Whether the second half of the features is the backward direction's.
 *
 * @example
 * ```ts
 * import { finalHidden } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Int8Array(2);
 * const sequences = { steps: 2, batch: 1, features: 2, lengths: null };
 * finalHidden(Int8Array.of(1, 2, 3, 4), sequences, out, true);
 * assertEquals([...out], [3, 2]);
 * ```
 */
export function finalHidden(
  x: Integers | Float32Array,
  sequences: Sequences,
  out: Integers | Float32Array,
  bidirectional: boolean,
): void {
  const { steps, batch, features, lengths } = sequences;
  const forward = bidirectional ? features / 2 : features;
  for (let row = 0, o = 0; row < batch; row++) {
    const last = ((lengths === null ? steps : lengths[row]!) - 1) * batch * features;
    for (let k = 0; k < features; k++, o++) out[o] = x[k < forward ? last + o : o]!;
  }
}
