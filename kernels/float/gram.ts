/**
 * Gram matrices: sums of `weight · x xᵀ`, stored as their lower triangle with the diagonal.
 *
 * @module
 */
import { sharedVectorMemory, type VectorMemory, vectorOrPlain } from "./vector.ts";

/**
 * Adds `weight · x xᵀ` to the lower triangle of a gram matrix, including the diagonal. The upper
 * triangle is unchanged.
 *
 * @param gram [x.length, x.length]
 * @param x float32 or float64 values.
 * @param weight The weight of the input, at least 0.
 *
 * @example
 * ```ts
 * import { accumulateGram } from "./gram.ts";
 * import { assertEquals } from "@std/assert";
 * const gram = new Float64Array(4);
 * accumulateGram(gram, Float32Array.of(1, 2), 0.5);
 * assertEquals([...gram], [0.5, 0, 1, 2]);
 * ```
 */
export function accumulateGram(
  gram: Float64Array,
  x: Float32Array | Float64Array,
  weight: number,
): void {
  const size = x.length;
  for (let i = 0; i < size; i++) {
    const a = weight * x[i]!;
    for (let j = 0, at = i * size; j <= i; j++) gram[at + j]! += a * x[j]!;
  }
}

/** Number of inputs per call of {@linkcode accumulateGrams} for the best speed. */
export const GRAM_INPUTS = 64;

/** Width from which SIMD saves more time than copying costs. */
const MIN_WIDTH = 8;

/** Number of inputs from which SIMD saves more time than copying costs. */
const MIN_INPUTS = 8;

/** The width is padded to a multiple of this in SIMD. */
const FOUR = 4;

/**
 * Does {@linkcode accumulateGram} for several inputs in order, with the same bits, but reads and
 * writes each element of the gram matrix only once for a group of inputs.
 *
 * @param inputs float32 or float64 [weights.length, size].
 * @param weights The weight of each input.
 *
 * @example
 * ```ts
 * import { accumulateGrams } from "./gram.ts";
 * import { assertEquals } from "@std/assert";
 * const gram = new Float64Array(4);
 * accumulateGrams(gram, Float32Array.of(1, 2, 3, 0), 2, Float64Array.of(0.5, 1));
 * assertEquals([...gram], [9.5, 0, 1, 2]);
 * ```
 */
export function accumulateGrams(
  gram: Float64Array,
  inputs: Float32Array | Float64Array,
  size: number,
  weights: Float64Array,
): void {
  const large = size >= MIN_WIDTH && weights.length >= MIN_INPUTS;
  const memory = large ? sharedVectorMemory() : null;
  const plain = () => plainGrams(gram, inputs, size, weights);
  if (memory === null) return plain();
  vectorOrPlain(() => memory.use(() => vectorGrams(memory, gram, inputs, weights)), plain);
}

/** {@linkcode accumulateGrams} in loops, four inputs at a time. */
export function plainGrams(
  gram: Float64Array,
  inputs: Float32Array | Float64Array,
  size: number,
  weights: Float64Array,
): void {
  let t = 0;
  for (; t + FOUR <= weights.length; t += FOUR) {
    const first = t * size;
    const second = first + size;
    const third = second + size;
    const fourth = third + size;
    for (let i = 0; i < size; i++) {
      const a = weights[t]! * inputs[first + i]!;
      const b = weights[t + 1]! * inputs[second + i]!;
      const c = weights[t + 2]! * inputs[third + i]!;
      const d = weights[t + 3]! * inputs[fourth + i]!;
      for (let j = 0, at = i * size; j <= i; j++, at++) {
        gram[at] = gram[at]! + a * inputs[first + j]! + b * inputs[second + j]! +
          c * inputs[third + j]! + d * inputs[fourth + j]!;
      }
    }
  }
  for (; t < weights.length; t++) {
    accumulateGram(gram, inputs.subarray(t * size, (t + 1) * size), weights[t]!);
  }
}

/** {@linkcode accumulateGrams} in SIMD. */
function vectorGrams(
  memory: VectorMemory,
  gram: Float64Array,
  inputs: Float32Array | Float64Array,
  weights: Float64Array,
): void {
  const count = weights.length;
  const size = inputs.length / count;
  const width = Math.ceil(size / FOUR) * FOUR;
  const own = memory.take(8 * width * width);
  const rows = memory.take(8 * count * width);
  const factors = memory.take(8 * count);
  const room = memory.take(8 * count * width);
  const { doubles } = memory;
  if (width === size) {
    doubles.set(gram, own / 8);
    doubles.set(inputs, rows / 8);
  } else {
    doubles.fill(0, rows / 8, rows / 8 + count * width);
    for (let i = 0; i < size; i++) {
      doubles.set(gram.subarray(i * size, i * size + i + 1), own / 8 + i * width);
    }
    for (let t = 0; t < count; t++) {
      doubles.set(inputs.subarray(t * size, (t + 1) * size), rows / 8 + t * width);
    }
  }
  doubles.set(weights, factors / 8);
  memory.exports.addGrams(own, rows, factors, room, width, count);
  if (width === size) gram.set(doubles.subarray(own / 8, own / 8 + size * size));
  else {
    for (let i = 0; i < size; i++) {
      const from = own / 8 + i * width;
      gram.set(doubles.subarray(from, from + i + 1), i * size);
    }
  }
}
