import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addRoundedToOdd,
  clamp,
  dequantizeValue,
  fmaFloat32,
  MAX_FLOAT32,
  powerOfTwo,
  quantizeValue,
  quantizeValueWide,
  reciprocal,
  roundHalfEven,
  saturateFloat32,
} from "../../../kernels/numeric/requantize.ts";
import { add, exact, nearestEven, toFloat64Odd } from "../../../src/testing/exact.ts";
import {
  anyFloat32,
  anyParameters,
  edgeLadder,
  ladderInteger,
  NARROW,
  nearTies,
  nudge,
  RANGES,
  uniform,
} from "../../../src/testing/numbers.ts";
import { dequantize, fma32, inverse, quantize } from "../../../src/testing/rules.ts";

const RUNS = { numRuns: 2000 };
const LADDER = edgeLadder(-(2 ** 51), 2 ** 51);

Deno.test("roundHalfEven() is exact on its whole domain when given integers, halves and their neighbours", () => {
  const check = (x: number) =>
    assertEquals(roundHalfEven(x), Number(nearestEven(exact(x))), String(x));
  for (const n of LADDER) {
    for (const part of [0, 0.5, 0.25, 0.75, 2 ** -30, 0.5 - 2 ** -30, 0.5 + 2 ** -30]) {
      if (Math.abs(n + part) <= 2 ** 51) check(n + part);
    }
  }
  fc.assert(fc.property(uniform(-(2 ** 51), 2 ** 51), check), RUNS);
  fc.assert(fc.property(uniform(-(2 ** 20), 2 ** 20), check), RUNS);
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 }), (n) => {
      check(n + 0.5);
      check(Math.fround(n) * 0.5);
    }),
    RUNS,
  );
});

Deno.test("roundHalfEven() stays within one part in 2^51 when x is beyond its domain, and keeps NaN and the infinities", () => {
  const huge = fc.oneof(anyFloat32, fc.double({ min: 2 ** 51, max: 2 ** 1000, noNaN: true }));
  fc.assert(fc.property(huge.filter((x) => Math.abs(x) > 2 ** 51), (x) => {
    assert(Math.abs(roundHalfEven(x) - x) <= Math.abs(x) * 2 ** -51);
  }));
  assertEquals([NaN, Infinity, -Infinity].map(roundHalfEven), [NaN, Infinity, -Infinity]);
});

Deno.test("fmaFloat32() rounds once when given any float32 values", () => {
  const check = (a: number, b: number, c: number) =>
    assertEquals(fmaFloat32(a, b, c) + 0, fma32(a, b, c), `${a} * ${b} + ${c}`);
  fc.assert(fc.property(anyFloat32, anyFloat32, anyFloat32, check), RUNS);
  // c near -a b: all leading bits cancel, what is left may be subnormal.
  fc.assert(
    fc.property(anyFloat32, anyFloat32, fc.integer({ min: -3, max: 3 }), (a, b, k) => {
      const c = Math.fround(-a * b);
      if (Number.isFinite(c) && c !== 0) check(a, b, nudge(c, k));
    }),
    RUNS,
  );
  // a b beyond float32's or at its subnormal end.
  for (
    const [a, b, c] of [[2 ** -100, 2 ** -60, 2 ** -140], [2 ** -75, -(2 ** -75), 2 ** -149], [
      2 ** 127,
      2,
      0,
    ]]
  ) {
    check(a!, b!, c!);
    check(-a!, b!, c!);
  }
});

Deno.test("fmaFloat32() rounds once when the sum is a hair from half-way between two float32 values", () => {
  let needed = 0;
  fc.assert(
    fc.property(nearTies, ([a, b, c]) => {
      for (const x of [a, b, c]) assertEquals(Math.fround(x), x);
      const want = fma32(a, b, c);
      assertEquals(fmaFloat32(a, b, c), want);
      if (Math.fround(a * b + c) !== want) needed++;
    }),
    RUNS,
  );
  assert(needed > RUNS.numRuns / 4, `rounding twice went wrong in ${needed} cases only`);
});

Deno.test("addRoundedToOdd() gives the exact sum or its odd neighbour when nothing overflows", () => {
  const check = (a: number, b: number) =>
    assertEquals(addRoundedToOdd(a, b) + 0, toFloat64Odd(add(exact(a), exact(b))), `${a} + ${b}`);
  const any = fc.double({ noNaN: true, min: -(2 ** 1000), max: 2 ** 1000 });
  fc.assert(fc.property(any, any, check), RUNS);
  const near = fc.tuple(
    fc.double({ min: 1, max: 4, noNaN: true }),
    fc.integer({ min: -110, max: 3 }),
  );
  fc.assert(
    fc.property(near, near, fc.boolean(), fc.boolean(), ([a, i], [b, j], p, q) => {
      check((p ? a : -a) * 2 ** i, (q ? b : -b) * 2 ** j);
    }),
    RUNS,
  );
  // Down from a power of two the last place halves; down from 2^k with low word 0 the borrow
  // crosses words.
  for (const k of [-1000, -1, 0, 1, 52, 53, 500]) {
    for (const tail of [2 ** (k - 54), 2 ** (k - 60), 2 ** (k - 200)]) {
      for (
        const [a, b] of [[2 ** k, -tail], [-(2 ** k), tail], [2 ** k, tail], [
          (1 + 2 ** -20) * 2 ** k,
          -tail,
        ]]
      ) {
        check(a!, b!);
        check(b!, a!);
      }
    }
  }
  check(2 ** -1074, 2 ** -1074);
  check(2 ** -1022, -(2 ** -1074));
});

Deno.test("clamp() bounds numbers and keeps NaN", () => {
  assertEquals([-1, 0, 3, 5, 6, Infinity, -Infinity, NaN].map((x) => clamp(x, 0, 5)), [
    0,
    0,
    3,
    5,
    5,
    5,
    0,
    NaN,
  ]);
});

Deno.test("reciprocal() is the float32 quotient when the scale's is finite", () => {
  const scale = fc.float({ min: Math.fround(2 ** -127), noNaN: true, noDefaultInfinity: true });
  fc.assert(fc.property(scale, (s) => assertEquals(reciprocal(s), inverse(s))), RUNS);
  assertEquals([2 ** -128, 2 ** -128 + 2 ** -149].map((s) => reciprocal(s) === Infinity), [
    true,
    false,
  ]);
});

/** Values around every tie and both ends of a range. */
function hardValues(
  scale: number,
  zeroPoint: number,
  quantMin: number,
  quantMax: number,
): fc.Arbitrary<number> {
  const tie = ladderInteger(quantMin, quantMax).map((q) =>
    Math.fround(scale * (q - zeroPoint + 0.5))
  );
  const near = fc.tuple(
    tie.filter((x) => x !== 0 && Number.isFinite(x)),
    fc.integer({ min: -2, max: 2 }),
  )
    .map(([x, k]) => nudge(x, k));
  return fc.oneof(tie, near, near, anyFloat32);
}

Deno.test("quantizeValue() follows torch's rule in every range of up to 16 bits", () => {
  fc.assert(
    fc.property(
      anyParameters(NARROW).chain((q) =>
        fc.tuple(fc.constant(q), hardValues(q.scale, q.zeroPoint, q.quantMin, q.quantMax))
      ),
      ([q, x]) => {
        if (!Number.isFinite(x)) return;
        const got = quantizeValue(x, reciprocal(q.scale), q.zeroPoint, q.quantMin, q.quantMax);
        assertEquals(got, quantize(x, q, false));
        // Adding the zero point in float32 makes no difference in so few bits.
        assertEquals(got, quantize(x, q, true));
        assertEquals(
          got,
          quantizeValueWide(x, reciprocal(q.scale), q.zeroPoint, q.quantMin, q.quantMax),
        );
      },
    ),
    { numRuns: 5000 },
  );
});

Deno.test("quantizeValueWide() follows torch's rule over the whole of qint32", () => {
  fc.assert(
    fc.property(
      anyParameters(RANGES).chain((q) =>
        fc.tuple(fc.constant(q), hardValues(q.scale, q.zeroPoint, q.quantMin, q.quantMax))
      ),
      ([q, x]) => {
        if (!Number.isFinite(x)) return;
        assertEquals(
          quantizeValueWide(x, reciprocal(q.scale), q.zeroPoint, q.quantMin, q.quantMax),
          quantize(x, q, true),
        );
      },
    ),
    { numRuns: 5000 },
  );
});

Deno.test("quantizeValue() and quantizeValueWide() saturate at the end of x's sign when x is huge", () => {
  const inv = reciprocal(2 ** -20);
  for (const { quantMin, quantMax } of RANGES) {
    for (const zeroPoint of [quantMin, quantMax]) {
      for (const x of [1e12, 1e30, 3e38, Infinity]) {
        for (const f of [quantizeValue, quantizeValueWide]) {
          assertEquals(f(Math.fround(x), inv, zeroPoint, quantMin, quantMax), quantMax);
          assertEquals(f(Math.fround(-x), inv, zeroPoint, quantMin, quantMax), quantMin);
        }
      }
    }
  }
});

Deno.test("dequantizeValue() rounds the difference, then the product, when they fit an int32", () => {
  const int32 = ladderInteger(-(2 ** 31), 2 ** 31 - 1);
  fc.assert(
    fc.property(int32, int32, anyParameters(RANGES), (q, zeroPoint, { scale }) => {
      if (Math.abs(q - zeroPoint) > 2 ** 31) return;
      assertEquals(dequantizeValue(q, scale, zeroPoint) + 0, dequantize(q, { scale, zeroPoint }));
    }),
    RUNS,
  );
});

Deno.test("powerOfTwo() gives the double of each exponent", () => {
  for (let k = -1022; k <= 1023; k++) assertEquals(powerOfTwo(k), 2 ** k);
});

Deno.test("saturateFloat32() takes infinities to the largest values, and leaves all others", () => {
  const x = Float32Array.of(Infinity, 1.5, -Infinity, -2, MAX_FLOAT32, -MAX_FLOAT32, -0);
  saturateFloat32(x);
  const expected = [MAX_FLOAT32, 1.5, -MAX_FLOAT32, -2, MAX_FLOAT32, -MAX_FLOAT32, -0];
  assertEquals([...x], expected);
});

Deno.test("addRoundedToOdd() passes an overflow on", () => {
  assertEquals([1, -1].map((sign) => addRoundedToOdd(sign * 1.7e308, sign * 1.7e308)), [
    Infinity,
    -Infinity,
  ]);
});
