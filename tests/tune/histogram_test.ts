// Histograms of values whose range nobody knows before, against counting with all values at hand.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { HistogramCounter, MAX_BINS } from "../../src/tune/histogram.ts";

const MIN_WIDTH = 2 ** -149;

/** The same with all values at hand: tries widths from the smallest on. */
function oracle(values: readonly number[]) {
  const min = Math.min(...values);
  const max = Math.max(...values);
  let width = MIN_WIDTH;
  while (
    width * 2 ** 20 < Math.max(-min, max) ||
    Math.floor(max / width) - Math.floor(min / width) >= MAX_BINS
  ) width *= 2;
  const first = Math.floor(min / width);
  const counts = Array.from(
    { length: Math.floor(max / width) - first + 1 },
    (_, i) => values.filter((value) => Math.floor(value / width) === first + i).length,
  );
  return { start: first * width, width, counts };
}

Deno.test("a histogram is the same in whatever portions values come, and that of all at once", () => {
  let ran = 0;
  const value = fc.oneof(
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.float({ min: -4, max: 4, noNaN: true }),
    fc.constantFrom(0, 1, -1, 127, 128, 2 ** -149, -(2 ** -130)).map(Math.fround),
  );
  fc.assert(
    fc.property(
      fc.array(fc.array(value, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 6 }),
      (portions) => {
        ran++;
        const counter = new HistogramCounter();
        for (const portion of portions) counter.add(Float32Array.from(portion));
        const { histogram } = counter;
        const values = portions.flat().map(Math.fround);
        assertEquals(histogram, oracle(values));
        assertEquals(histogram.counts.reduce((a, b) => a + b), values.length);
        assert(histogram.counts.length <= MAX_BINS);
      },
    ),
    { numRuns: 500 },
  );
  assert(ran >= 500);
});

Deno.test("NaN is counted nowhere, infinity as the largest float32", () => {
  const counter = new HistogramCounter();
  counter.add(Float32Array.of(NaN));
  assertEquals(counter.histogram.counts, []);
  counter.add(Float32Array.of(Infinity, 0, NaN, -Infinity));
  const { counts } = counter.histogram;
  assertEquals(counts.reduce((a, b) => a + b), 3);
  assertEquals([counts[0], counts.at(-1)], [1, 1]);
});
