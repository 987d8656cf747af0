import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  add,
  compare,
  div,
  type Exact,
  exact,
  exp,
  float32Ulps,
  floor,
  mul,
  nearestEven,
  neg,
  power2,
  scaled,
  sigmoid,
  tanh,
  toFloat32,
  toFloat64,
  toFloat64Odd,
} from "../../src/testing/exact.ts";
import { anyFloat32, uniform } from "../../src/testing/numbers.ts";

const anyFloat64 = fc.double({ noNaN: true, noDefaultInfinity: true });
/** 0 for both zeros: the oracle has one. */
const plus = (x: number) => x + 0;

Deno.test("exact() and toFloat64() give back every double", () => {
  for (const x of [0, 1, -1.5, 2 ** -1074, -(2 ** -1022), Number.MAX_VALUE, 1 - 2 ** -53, 0.1]) {
    assertEquals(toFloat64(exact(x)), x);
  }
  fc.assert(fc.property(anyFloat64, (x) => assertEquals(toFloat64(exact(x)), plus(x))));
  assertThrows(() => exact(NaN), RangeError);
  assertThrows(() => exact(Infinity), RangeError);
});

Deno.test("toFloat64() of a sum, product and quotient is the machine's own", () => {
  fc.assert(fc.property(anyFloat64, anyFloat64, (a, b) => {
    assertEquals(toFloat64(add(exact(a), exact(b))), plus(a + b));
    assertEquals(toFloat64(mul(exact(a), exact(b))), plus(a * b));
    if (b !== 0) assertEquals(toFloat64(div(exact(a), exact(b))), plus(a / b));
  }));
});

Deno.test("toFloat32() is Math.fround, ties, subnormals and overflow included", () => {
  const same = (x: number) => assertEquals(toFloat32(exact(x)), plus(Math.fround(x)), String(x));
  const largest = (2 - 2 ** -23) * 2 ** 127;
  for (
    const x of [
      2 ** -149,
      2 ** -150,
      1.5 * 2 ** -149,
      2 ** -150 * (1 + 2 ** -52),
      2 ** -126 - 2 ** -150,
      2 ** 128,
    ]
  ) {
    same(x);
    same(-x);
  }
  for (
    const x of [
      largest,
      largest + 2 ** 102,
      largest + 2 ** 103,
      largest + 2 ** 103 - 2 ** 75,
      0.1,
      1 / 3,
    ]
  ) same(x);
  fc.assert(fc.property(anyFloat32, fc.integer({ min: -3, max: 3 }), (x, k) => {
    // Half-way between x and its neighbour, and a little to either side.
    const half = x +
      Math.sign(x) * 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x) || 1)), -126) - 24);
    same(half);
    same(half * (1 + k * 2 ** -52));
  }));
  fc.assert(fc.property(anyFloat64, same));
});

Deno.test("toFloat64Odd() takes the odd neighbour of what is no double", () => {
  const third: Exact = { n: 1n, d: 3n };
  for (
    const x of [
      third,
      neg(third),
      add(exact(1), scaled(1n, -60)),
      add(exact(1), neg(scaled(1n, -60))),
    ]
  ) {
    const odd = toFloat64Odd(x);
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, odd);
    assertEquals(view.getUint8(7) & 1, 1);
    assert(float32Ulps(odd, x) < 2 ** -28);
  }
  assertEquals(toFloat64Odd(add(exact(1), scaled(1n, -60))), 1 + 2 ** -52);
  assertEquals(toFloat64Odd(add(exact(1), neg(scaled(1n, -60)))), 1 - 2 ** -53);
  assertEquals(toFloat64Odd(exact(0.75)), 0.75);
});

Deno.test("floor() and nearestEven() on halves and negatives", () => {
  const halves = [-2.5, -2.25, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 2.75].map(exact);
  assertEquals(halves.map(floor), [-3n, -3n, -2n, -1n, 0n, 0n, 1n, 2n, 2n]);
  assertEquals(halves.map(nearestEven), [-2n, -2n, -2n, 0n, 0n, 0n, 2n, 2n, 3n]);
  assertEquals([
    compare(exact(1), exact(2)),
    compare(exact(2), exact(2)),
    compare(exact(-1), exact(-2)),
  ], [-1, 0, 1]);
  assertEquals([power2(-1074), power2(-1022), power2(0), power2(1023)], [
    2 ** -1074,
    2 ** -1022,
    1,
    2 ** 1023,
  ]);
});

Deno.test("exp() agrees with digits of e and with its own functional equation", () => {
  // Euler's number to 50 decimals (OEIS A001113).
  const e: Exact = { n: 271828182845904523536028747135266249775724709369995n, d: 10n ** 50n };
  const close = (a: Exact, b: Exact, bits: number) => {
    const error = add(div(a, b), exact(-1));
    assert(compare(error, scaled(1n, -bits)) < 0 && compare(neg(error), scaled(1n, -bits)) < 0);
  };
  close(exp(exact(1)), e, 115);
  assertEquals(exp(exact(0)), { n: 1n << 140n, d: 1n << 140n });
  fc.assert(
    fc.property(
      uniform(-110, 110),
      uniform(-9, 9),
      (x, y) => {
        close(exp(add(exact(x), exact(y))), mul(exp(exact(x)), exp(exact(y))), 110);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("sigmoid() and tanh() agree with the machine's to its own precision", () => {
  fc.assert(
    fc.property(uniform(-30, 30), (x) => {
      assert(float32Ulps(1 / (1 + Math.exp(-x)), sigmoid(exact(x))) < 2 ** -26);
      assert(float32Ulps(Math.tanh(x), tanh(exact(x))) < 2 ** -26);
    }),
    { numRuns: 200 },
  );
});
