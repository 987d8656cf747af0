import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { cascadeSum } from "../../src/observer/cascade_sum.ts";
import { HistogramObserver, MinMaxObserver } from "@splitgate/splitgate/qconfig";
import { generator } from "../../src/testing/random.ts";

const f = Math.fround;
const values = fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), {
  minLength: 1,
  maxLength: 120,
})
  .map((x) => Float32Array.from(x));
const bins = fc.constantFrom(1, 3, 7, 33, 256);

Deno.test("HistogramObserver counts every value once, in the bin that holds it", () => {
  fc.assert(fc.property(values, bins, (data, bins) => {
    const observer = new HistogramObserver({ bins });
    const { histogram: none } = observer;
    assertEquals(none, new Float32Array(bins));
    observer.observe(data);
    const { histogram, minVal, maxVal } = observer;
    assertEquals([minVal, maxVal], [Math.min(...data), Math.max(...data)]);
    assertEquals(histogram.reduce((a, b) => a + b, 0), data.length);
    const oracle = new Float32Array(bins);
    const low = minVal === maxVal ? f(minVal - 1) : minVal;
    const high = minVal === maxVal ? f(maxVal + 1) : maxVal;
    for (const x of data) {
      oracle[Math.min(bins - 1, Math.trunc(f(f(f(x - low) * bins) / f(high - low))))]!++;
    }
    assertEquals(histogram, oracle);
  }));
});

Deno.test("HistogramObserver keeps the total when the range grows, and does not move it when it stays", () => {
  fc.assert(fc.property(values, values, bins, (first, second, bins) => {
    const observer = new HistogramObserver({ bins });
    observer.observe(first);
    const before = observer.histogram;
    const [low, high] = [observer.minVal, observer.maxVal];
    observer.observe(second);
    const total = observer.histogram.reduce((a, b) => a + b, 0);
    // torch 2.8.0 gives a first tensor of one value the second's weight.
    const expected = low === high && (observer.minVal !== low || observer.maxVal !== high)
      ? 2 * second.length
      : first.length + second.length;
    assert(Math.abs(total - expected) <= 1e-3 * expected, `${total}, not ${expected}`);
    if (observer.minVal === low && observer.maxVal === high) {
      const own = new HistogramObserver({ bins });
      own.setState({ histogram: before, min: low, max: high });
      own.observe(second);
      assertEquals(own.histogram, observer.histogram);
    }
  }));
});

Deno.test("HistogramObserver searches a range within what it saw, with no larger a scale than MinMaxObserver", () => {
  fc.assert(fc.property(values, (data) => {
    const observer = new HistogramObserver();
    const minMax = new MinMaxObserver();
    observer.observe(data);
    minMax.observe(data);
    const [low, high] = observer.searchRange();
    const slack = (observer.maxVal - observer.minVal) * 1e-3;
    assert(low >= observer.minVal - slack && high <= observer.maxVal + slack && low <= high);
    assert(observer.calculateQParams().scale <= minMax.calculateQParams().scale * 1.001);
  }));
});

Deno.test("HistogramObserver.setState() takes up a state, copies it, and refuses what is none", () => {
  const observer = new HistogramObserver({ bins: 4 });
  const histogram = Float32Array.of(1, 0, 2, 1);
  observer.setState({ histogram, min: -1, max: 3 });
  histogram.fill(9);
  assertEquals([...observer.histogram], [1, 0, 2, 1]);
  observer.histogram.fill(5);
  const refused = (state: unknown, kind: typeof TypeError | typeof RangeError, message: string) => {
    assertThrows(() => observer.setState(state as never), kind, message);
    assertEquals([[...observer.histogram], observer.minVal, observer.maxVal], [
      [1, 0, 2, 1],
      -1,
      3,
    ]);
  };
  const good = Float32Array.of(1, 1, 1, 1);
  refused(undefined, TypeError, "state: expected an object of histogram, min, max");
  refused(
    { histogram: [1, 1, 1, 1], min: 0, max: 1 },
    TypeError,
    "histogram: expected a Float32Array",
  );
  refused(
    { histogram: good.subarray(1), min: 0, max: 1 },
    RangeError,
    "histogram: expected 4 bins, got 3",
  );
  refused({ histogram: Float32Array.of(1, -1, 0, 0), min: 0, max: 1 }, RangeError, "histogram[1]");
  refused({ histogram: Float32Array.of(1, NaN, 0, 0), min: 0, max: 1 }, RangeError, "histogram[1]");
  refused({ histogram: new Float32Array(4), min: 0, max: 1 }, RangeError, "a count above 0");
  refused({ histogram: good, min: 1, max: 0 }, RangeError, "max");
  refused({ histogram: good, min: -3e38, max: 3e38 }, RangeError, "a range that float32 can hold");
});

Deno.test("HistogramObserver.observe() refuses a range that float32 cannot hold, and stays as it was", () => {
  const observer = new HistogramObserver({ bins: 4 });
  observer.observe(Float32Array.of(3e38));
  assertThrows(
    () => observer.observe(Float32Array.of(-3e38)),
    RangeError,
    "values whose range float32 can hold",
  );
  assertEquals([observer.minVal, observer.maxVal, [...observer.histogram]], [f(3e38), f(3e38), [
    1,
    0,
    0,
    0,
  ]]);
});

Deno.test("HistogramObserver() refuses numbers of bins that it cannot sum in torch's order", () => {
  for (const bins of [0, 1.5, 32769]) {
    assertThrows(
      () => new HistogramObserver({ bins }),
      RangeError,
      "bins: expected an integer in 1..32768",
    );
  }
  assertThrows(() => new HistogramObserver({ upsampleRate: 0 }), RangeError, "upsampleRate");
  assertThrows(() => new HistogramObserver().searchRange(), RangeError, "never observed data");
});

Deno.test("cascadeSum() is within float32's error of the exact sum, and exact for small integers", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 3, 7, 8, 13, 31, 32, 33, 511, 512, 2048, 5000),
      fc.nat(),
      (n, seed) => {
        const random = generator(seed);
        const integers = Float32Array.from({ length: n }, () => Math.floor(random(0, 1000)));
        assertEquals(cascadeSum(integers), integers.reduce((a, b) => a + b, 0));
        const reals = Float32Array.from({ length: n }, () => random(0, 1));
        const exact = [...reals].reduce((a, b) => a + b, 0);
        assert(Math.abs(cascadeSum(reals) - exact) <= 1e-6 * (exact + 1));
      },
    ),
  );
});
