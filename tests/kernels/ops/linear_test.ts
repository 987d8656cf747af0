import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addBias,
  biasTerm,
  dotInt8,
  type Engine,
  linearEngine,
  linearInt8,
  type LinearWeight,
  plainBiasTerm,
} from "../../../kernels/ops/linear.ts";
import { clamp, reciprocal, roundHalfEven } from "../../../kernels/numeric/requantize.ts";
import {
  anyParameters,
  integersOf,
  inverse24,
  ladderInteger,
  nudge,
  RANGES,
} from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { generator } from "../../../src/testing/random.ts";
import { testProperties } from "../property.ts";
import { type Case, f, integers, layers, LINEAR, type Random, scaleWithInverse } from "./linear.ts";

/**
 * Cases a hair from a tie twice over: bias / scale + sum lies next to half-way between two float32
 * values, and the multiplier takes that to half-way between two outputs. Or sum and bias cancel
 * nearly.
 */
function* hairCases(random: Random, count: number): Generator<Case> {
  const integer = integers(random);
  for (let made = 0; made < count;) {
    // a b = k 2^24 +- 1 with k = ...10..0: the last place of the product decides the tie.
    const side = random(0, 1) < 0.5 ? 1 : -1;
    const places = integer(1, 9);
    let a = 0;
    let b = 0;
    let k = 0;
    for (let tries = 0; k % 2 ** places !== 2 ** (places - 1) && tries < 3000; tries++) {
      a = 2 * integer(2 ** 22, 2 ** 23 - 1) + 1;
      b = side > 0 ? inverse24(a) : 2 ** 24 - inverse24(a);
      k = (a * b - side) / 2 ** 24;
    }
    const exponent = integer(-12, 6);
    const scale = scaleWithInverse(b * 2 ** exponent);
    if (scale === null) continue;
    // term = (k + tiny) * 2^lift has its half at 2^(places - 1 + lift).
    const lift = integer(-places - 3, 2);
    const bias = f((random(0, 1) < 0.5 ? a : -a) * 2 ** (lift - 24 - exponent));
    const term = bias * reciprocal(scale);
    const ulp = 2 ** (places + lift);
    const kind = random(0, 1);
    let sum: number;
    let bound: number;
    if (kind < 0.7) {
      // |term + sum| in 2^23..2^24 units of twice the half.
      const v = integer(2 ** 23, 2 ** 24 - 1) * ulp;
      sum = Math.round((random(0, 1) < 0.5 ? v : -v) - term);
      bound = Math.abs(sum) + integer(0, 1000);
    } else {
      sum = -Math.round(term) + integer(-2, 2); // cancels
      bound = Math.abs(sum) + (random(0, 1) < 0.5 ? 0 : integer(0, 2 ** 22));
    }
    if (Math.abs(sum) >= 2 ** 24 - 2000) continue;
    const value = f(term + sum) || 1;
    const target = integer(0, random(0, 1) < 0.5 ? 255 : 65535) + 0.5;
    const multiplier = nudge(f(Math.abs(target / value)), integer(-1, 1));
    made++;
    yield { bias, scale, sum, bound, multiplier };
  }
}

/** Multiplies, rounds and clamps as project() of the cell does. */
function finish(value: number, multiplier: number, limit: number): number {
  return clamp(roundHalfEven(f(value * multiplier)), -limit, limit);
}

/** A weight of rows of `inFeatures` values, with one zero point. */
function plainWeight(w: ArrayLike<number>, inFeatures: number, zeroPoint: number): LinearWeight {
  return {
    data: Int8Array.from(w),
    outFeatures: w.length / inFeatures,
    inFeatures,
    perChannel: false,
    scales: Float32Array.of(1),
    zeroPoints: Int32Array.of(zeroPoint),
  };
}

testProperties(LINEAR);

Deno.test("dotInt8() is exact while below 2^53, at any offset and length", () => {
  const wide = anyParameters(RANGES).chain((q) => fc.tuple(fc.constant(q), integersOf(q, 33)));
  const int8 = ladderInteger(-128, 127);
  fc.assert(
    fc.property(
      wide,
      fc.array(int8, { minLength: 66, maxLength: 66 }),
      int8,
      fc.constantFrom(1, 3, 7, 13, 33),
      ([q, ints], values, wZero, length) => {
        const start = 33 - length;
        const x = ints.slice(start);
        const w = values.slice(0, 2 * length);
        const weight = plainWeight(w, length, wZero);
        assertEquals(
          dotInt8(q.range.make(ints), start, q.zeroPoint, weight, 1),
          Number(oracle.dot(x, q.zeroPoint, w.slice(length), wZero)),
        );
      },
    ),
    { numRuns: 500 },
  );
  // The longest row of 8-bit values that torch's int32 holds, and one far beyond.
  for (const length of [33025, 200000]) {
    const x = new Uint8Array(length).fill(255);
    const weight = plainWeight(new Int8Array(length).fill(-128), length, 127);
    assertEquals(dotInt8(x, 0, 0, weight, 0), -255 * 255 * length);
  }
});

Deno.test("linearInt8() follows each engine's rule per tensor, per channel and by blocks, with and without bias and relu", () => {
  let inside = 0;
  let all = 0;
  const seen = new Set<string>();
  fc.assert(
    fc.property(layers, ({ d, bias, step }) => {
      const { input, rows, inFeatures, outFeatures, granularity, engine, relu } = d.layer;
      const to = { ...d.layer.to, scale: f(clamp(step, 2 ** -60, 2 ** 60)) };
      const perChannel = granularity === "channel";
      const weight = {
        data: Int8Array.from(d.w),
        outFeatures,
        inFeatures,
        perChannel,
        scales: Float32Array.from(d.scales),
        zeroPoints: Int32Array.from(d.zeroPoints),
      };
      const out = to.range.make(new Array(rows * outFeatures).fill(to.quantMin));
      linearInt8(
        engine,
        { data: input.range.make(d.x), qparams: input },
        { weight, bias: bias === null ? null : Float32Array.from(bias), relu },
        { data: out, qparams: to },
      );
      const per = outFeatures / d.scales.length;
      for (let r = 0; r < rows; r++) {
        for (let row = 0; row < outFeatures; row++) {
          const channel = Math.floor(row / per);
          const x = d.x.slice(r * inFeatures, (r + 1) * inFeatures);
          const w = d.w.slice(row * inFeatures, (row + 1) * inFeatures);
          const sum = oracle.dot(x, input.zeroPoint, w, d.zeroPoints[channel]!);
          const scale = oracle.mul32(input.scale, d.scales[channel]!);
          const added = bias === null ? null : bias[row]!;
          const value = oracle.withBias(engine, perChannel, sum, added, scale);
          const want = oracle.linearOutput(engine, value, scale, to, relu);
          assertEquals(out[r * outFeatures + row], want);
          all++;
          if (want !== to.quantMin && want !== to.quantMax) inside++;
        }
      }
      seen.add(`${engine} ${granularity} ${relu} ${bias === null}`);
    }),
    { numRuns: 1500 },
  );
  assertEquals(seen.size, 2 * 3 * 2 * 2);
  assert(inside > all / 5, `${inside} of ${all} did not saturate`);
});

Deno.test("plainBiasTerm() with one addition gives the exact integer on cases a hair from ties", () => {
  let plain = 0;
  let needed = 0;
  for (const { bias, scale, sum, bound, multiplier } of hairCases(generator(7), 20000)) {
    const exactly = oracle.fma32(bias, oracle.inverse(scale), sum);
    const want = finish(exactly, multiplier, 2 ** 31);
    assertEquals(finish(addBias("fbgemm", sum, false, bias, scale), multiplier, 2 ** 31), want);
    const term = plainBiasTerm(
      "fbgemm",
      false,
      biasTerm("fbgemm", false, bias, scale),
      bound,
      multiplier,
    );
    if (Number.isNaN(term)) continue;
    plain++;
    assertEquals(
      finish(f(term + sum), multiplier, 2 ** 31),
      want,
      `${bias} ${scale} ${sum} ${bound} ${multiplier}`,
    );
    // What the bias's own product, not rounded to odd, would have given.
    if (finish(f(bias * reciprocal(scale) + sum), multiplier, 2 ** 31) !== want) needed++;
  }
  assert(plain > 10000 && needed > 100, `${plain} plain, of them ${needed} wrong if rounded twice`);
});

Deno.test("plainBiasTerm() with one addition gives addBias's integer on half a million adversarial cases", () => {
  const random = generator(12345);
  const integer = integers(random);
  let plain = 0;
  let total = 0;
  const check = (engine: Engine, perChannel: boolean, c: Case) => {
    total++;
    const term = plainBiasTerm(
      engine,
      perChannel,
      biasTerm(engine, perChannel, c.bias, c.scale),
      c.bound,
      c.multiplier,
    );
    if (Number.isNaN(term)) return;
    plain++;
    const got = finish(f(term + c.sum), c.multiplier, 2 ** 31);
    const want = finish(addBias(engine, c.sum, perChannel, c.bias, c.scale), c.multiplier, 2 ** 31);
    if (got !== want) assertEquals(got, want, `${engine} ${perChannel} ${JSON.stringify(c)}`);
  };
  for (const c of hairCases(generator(99), 50000)) {
    check("fbgemm", false, c);
    check("fbgemm", true, c);
    check("qnnpack", false, c);
  }
  for (let i = 0; i < 350000; i++) {
    const scale = f(2 ** (random(-36, 4)));
    const inverse = reciprocal(scale);
    const bits = integer(1, 25);
    const sum = integer(-(2 ** bits), 2 ** bits);
    // Aim term + sum at a half-way point of float32, or at a small remainder.
    const ulp = 2 ** (Math.floor(Math.log2(Math.abs(sum) + 1)) - 23 + integer(-3, 3));
    const target = random(0, 1) < 0.7
      ? (Math.round(sum * random(1, 2) / ulp) + 0.5) * ulp
      : random(-2, 2);
    const exactBias = (target - sum) / inverse;
    const bias = random(0, 1) < 0.05
      ? f(exactBias * 2 ** integer(0, 60))
      : nudge(f(exactBias) || 1, integer(-2, 2));
    const value = addBias("fbgemm", sum, false, bias, scale) || 1;
    const output = integer(0, 2 ** integer(1, 31) - 1) + 0.5;
    const multiplier = nudge(f(Math.abs(output / value)) || 1, integer(-2, 2));
    const bound = random(0, 1) < 0.5
      ? Math.abs(sum)
      : Math.abs(sum) + integer(0, 2 ** integer(1, 26));
    if (!Number.isFinite(bias) || !Number.isFinite(multiplier)) continue;
    const c = { bias, scale, sum, bound, multiplier };
    check("fbgemm", false, c);
    if (i % 4 === 0) check("fbgemm", true, c);
    if (i % 4 === 1) check("qnnpack", false, c);
  }
  assert(total > 500000 && plain > total / 2, `${plain} of ${total} plain`);
});

Deno.test("plainBiasTerm() refuses or is exact when the bias is a tie so large that the sum is lost on it", () => {
  const random = generator(31);
  const integer = integers(random);
  let wrong = 0;
  for (let i = 0; i < 20000; i++) {
    // bias / scale = 3 a 2^e, 25 bits with the last one set: half-way between two float32 values.
    const exponent = integer(0, 30);
    const scale = scaleWithInverse(3 * 2 ** exponent);
    if (scale === null) continue;
    const bias = (2 * integer(2 ** 22, 5592404) + 1) * 2 ** integer(-exponent, 60);
    const sum = integer(-3, 3);
    const value = oracle.fma32(bias, oracle.inverse(scale), sum);
    const multiplier = nudge(f((integer(0, 65535) + 0.5) / value), integer(-1, 1));
    const want = finish(value, multiplier, 2 ** 31);
    const term = plainBiasTerm(
      "fbgemm",
      false,
      biasTerm("fbgemm", false, bias, scale),
      integer(3, 2 ** 23),
      multiplier,
    );
    if (!Number.isNaN(term)) assertEquals(finish(f(term + sum), multiplier, 2 ** 31), want);
    if (finish(f(bias * reciprocal(scale) + sum), multiplier, 2 ** 31) !== want) wrong++;
  }
  assert(wrong > 100, `rounding twice went wrong in ${wrong} cases only`);
});

Deno.test("linearEngine() is qnnpack's for 8 bits in and out only", () => {
  const q = (quantMin: number, quantMax: number) => ({
    scale: 1,
    zeroPoint: 0,
    quantMin,
    quantMax,
  });
  const narrow = q(0, 255);
  const signed = q(-128, 127);
  const wide = q(0, 256);
  for (const from of [narrow, signed, wide]) {
    for (const to of [[narrow], [signed, narrow], [wide], [narrow, wide], [null], [null, narrow]]) {
      const want = from !== wide && !to.includes(wide) && !to.includes(null) ? "qnnpack" : "fbgemm";
      assertEquals([linearEngine("qnnpack", from, to), linearEngine("fbgemm", from, to)], [
        want,
        "fbgemm",
      ]);
    }
  }
});
