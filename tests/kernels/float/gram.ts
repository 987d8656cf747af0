import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { accumulateGram, accumulateGrams, plainGrams } from "../../../kernels/float/gram.ts";
import { openIntegerSearch, plainSearch, VECTORS } from "../../../kernels/float/integer_search.ts";
import { generator } from "../../../src/testing/random.ts";
import { type KernelProperty, property } from "../property.ts";

// Gram matrices and the search for integers in SIMD have the bits of the loops.

/** Sizes around those from which SIMD is used, its fours and its pairs. */
const SIZES = [1, 3, 4, 7, 8, 9, 10, 11, 12, 15, 16, 17, 31, 33, 64];
const COUNTS = [1, 3, 4, 7, 8, 9, 63, 64, 65];

/** A gram of `count` inputs that share a few sources, so that pairs of integers have to move. */
function correlatedGram(random: (a: number, b: number) => number, size: number, count: number) {
  const gram = new Float64Array(size * size);
  const mix = Float64Array.from({ length: size * 3 }, () => random(-1, 1));
  for (let t = 0; t < count; t++) {
    const sources = [random(-1, 1), random(-1, 1), random(-1, 1)];
    const x = Float64Array.from(
      { length: size },
      (_, k) => random(-0.05, 0.05) + sources.reduce((sum, s, i) => sum + s * mix[3 * k + i]!, 0),
    );
    // An input that never comes.
    if (size > 3) x[2] = 0;
    accumulateGram(gram, x, random(0, 1));
  }
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) gram[j * size + i] = gram[i * size + j]!;
  }
  return gram;
}

export const GRAM: readonly KernelProperty[] = [
  property(
    "accumulateGrams() adds what accumulateGram() adds, in loops and in SIMD, to the lower triangle alone",
    150,
    (met) => {
      const cases = fc.tuple(fc.constantFrom(...SIZES), fc.constantFrom(...COUNTS), fc.nat(9999));
      return fc.property(cases, fc.boolean(), ([size, count, seed], doubles) => {
        const random = generator(seed);
        const values = Float64Array.from({ length: count * size }, () => random(-2, 2) ** 3);
        const inputs = doubles ? values : Float32Array.from(values);
        const weights = Float64Array.from({ length: count }, () => random(0, 1) ** 2);
        const gram = Float64Array.from({ length: size * size }, () => random(-1, 1));
        const plain = gram.slice();
        const expected = gram.slice();
        accumulateGrams(gram, inputs, size, weights);
        plainGrams(plain, inputs, size, weights);
        for (let t = 0; t < count; t++) {
          accumulateGram(expected, inputs.subarray(t * size, (t + 1) * size), weights[t]!);
        }
        assertEquals(gram, expected);
        assertEquals(plain, expected);
        if (size >= 8 && count >= 8) met("large");
      });
    },
    { large: 20 },
  ),
  property(
    "the search in SIMD multiplies with the loops' bits and ends at the same integers, of one gram after the other",
    150,
    (met) => {
      const cases = fc.tuple(
        fc.constantFrom(...SIZES),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(9999),
        fc.constantFrom([-127, 127], [-3, 2], [0, 255], [0, 0]),
      );
      return fc.property(cases, ([size, count, seed, [lo, hi]]) => {
        const random = generator(seed);
        const searches = [openIntegerSearch(size), plainSearch(size)];
        for (let round = 0; round < 2; round++) {
          const gram = correlatedGram(random, size, count);
          const target = Float64Array.from({ length: size }, () => random(lo! - 1, hi! + 1));
          const start = Int32Array.from(
            target,
            (value) => Math.max(lo!, Math.min(hi!, Math.round(value))),
          );
          const misses = Array.from(
            { length: VECTORS },
            (_, v) => target.map((value, k) => v === 0 ? value - start[k]! : random(-1, 1)),
          );
          const results = searches.map((search) => {
            search.setGram(gram);
            const products = misses.map(() => new Float64Array(size));
            search.multiply(misses, products);
            const q = start.slice();
            search.descend(q, products[0]!.slice(), lo!, hi!);
            return { products, q };
          });
          assertEquals(results[0], results[1]);
          if (results[0]!.q.some((value, k) => value !== start[k])) met("moved");
        }
      });
    },
    { moved: 50 },
  ),
];
