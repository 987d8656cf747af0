import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addBias,
  biasTerm,
  dotInt8,
  type Engine,
  linearEngine,
  linearInt8,
  linearInt8Float32,
  linearMultiplier,
  type LinearWeight,
  plainBiasTerm,
} from "../../../kernels/ops/linear.ts";
import { clamp, reciprocal, roundHalfEven } from "../../../kernels/numeric/requantize.ts";
import {
  anyFloat32,
  anyParameters,
  anyScale,
  integersOf,
  inverse24,
  ladderInteger,
  NARROW,
  nudge,
  RANGES,
  uniformFloat32,
} from "../../../src/testing/numbers.ts";
import { exact, nearestEven } from "../../../src/testing/exact.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { generator } from "../../../src/testing/random.ts";

const ENGINES: Engine[] = ["fbgemm", "qnnpack"];
const f = Math.fround;

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

/** Biases that are absent, zero, a half-step from the accumulator's, or any. */
function biasOf(scale: number): fc.Arbitrary<number> {
  const half = fc.integer({ min: -4000, max: 4000 }).map((n) => f(scale * (n + 0.5)));
  return fc.oneof(
    fc.constantFrom(0, -0),
    half,
    half,
    fc.integer({ min: -4000, max: 4000 }).map((n) => f(scale * n / 4)),
    uniformFloat32(-100, 100),
    anyFloat32.filter((x) => Math.abs(x) < 1e12),
  );
}

const layers = fc.record({
  input: anyParameters(NARROW),
  to: anyParameters(RANGES),
  rows: fc.constantFrom(1, 2, 3),
  inFeatures: fc.constantFrom(1, 3, 7, 13, 33),
  outFeatures: fc.constantFrom(4, 12),
  granularity: fc.constantFrom("tensor", "blocks", "channel"),
  engine: fc.constantFrom(...ENGINES),
  relu: fc.boolean(),
}).chain((l) => {
  const count = l.granularity === "tensor" ? 1 : l.granularity === "blocks" ? 4 : l.outFeatures;
  const weightCount = l.outFeatures * l.inFeatures;
  return fc.record({
    layer: fc.constant(l),
    x: integersOf(l.input, l.rows * l.inFeatures),
    w: fc.array(ladderInteger(-128, 127), { minLength: weightCount, maxLength: weightCount }),
    scales: fc.array(anyScale, { minLength: count, maxLength: count }),
    zeroPoints: fc.array(ladderInteger(-128, 127), { minLength: count, maxLength: count }),
  });
}).chain((d) => {
  const { input, outFeatures, engine } = d.layer;
  const per = outFeatures / d.scales.length;
  const scaleOf = (row: number) => f(input.scale * d.scales[Math.floor(row / per)]!);
  return fc.record({
    d: fc.constant(d),
    bias: fc.oneof(
      {
        arbitrary: fc.tuple(
          ...Array.from({ length: outFeatures }, (_, row) => biasOf(scaleOf(row))),
        ),
        weight: 4,
      },
      { arbitrary: fc.constant(null), weight: 1 },
    ),
    // An output scale that leaves halves, or any.
    step: fc.oneof(
      fc.integer({ min: 0, max: 14 }).map((k) => 2 ** k * scaleOf(0)),
      fc.constant(d.layer.to.scale),
    ),
    engine: fc.constant(engine),
  });
});

Deno.test("linearInt8() follows each engine's rule per tensor, per channel and by blocks, with and without bias and relu", () => {
  let inside = 0, all = 0;
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

Deno.test("linearInt8() gives each of four blocks what a layer of its own gives", () => {
  fc.assert(
    fc.property(layers.filter(({ d }) => d.layer.granularity === "blocks"), ({ d, bias }) => {
      const { input, rows, inFeatures, outFeatures, engine, relu, to } = d.layer;
      const per = outFeatures / 4;
      const x = { data: input.range.make(d.x), qparams: input };
      const whole = to.range.make(new Array(rows * outFeatures).fill(0));
      const floats = bias === null ? null : Float32Array.from(bias);
      const layer = (from: number, count: number, channels: number[]) => ({
        data: Int8Array.from(d.w.slice(from * inFeatures, (from + count) * inFeatures)),
        outFeatures: count,
        inFeatures,
        perChannel: false,
        scales: Float32Array.from!(channels, (c) => d.scales[c]!),
        zeroPoints: Int32Array.from!(channels, (c) => d.zeroPoints[c]!),
      });
      const weight = layer(0, outFeatures, [0, 1, 2, 3]);
      linearInt8(engine, x, { weight, bias: floats, relu }, { data: whole, qparams: to });
      for (let block = 0; block < 4; block++) {
        const from = block * per;
        const part = to.range.make(new Array(rows * per).fill(0));
        const own = floats === null ? null : floats.slice(from, from + per);
        const linear = { weight: layer(from, per, [block]), bias: own, relu };
        linearInt8(engine, x, linear, { data: part, qparams: to });
        for (let i = 0; i < part.length; i++) {
          assertEquals(part[i], whole[Math.floor(i / per) * outFeatures + from + i % per]);
        }
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("linearInt8Float32() adds the bias by the per-channel rule and multiplies by the accumulator's scale", () => {
  fc.assert(
    fc.property(layers, ({ d, bias }) => {
      const { input, rows, inFeatures, outFeatures, engine, granularity, relu } = d.layer;
      const per = outFeatures / d.scales.length;
      const out = new Float32Array(rows * outFeatures);
      const weight = {
        data: Int8Array.from(d.w),
        outFeatures,
        inFeatures,
        perChannel: granularity === "channel",
        scales: Float32Array.from(d.scales),
        zeroPoints: Int32Array.from(d.zeroPoints),
      };
      const floats = bias === null ? null : Float32Array.from(bias);
      const given = { data: input.range.make(d.x), qparams: input };
      linearInt8Float32(engine, given, { weight, bias: floats, relu }, out);
      for (let i = 0; i < out.length; i++) {
        const row = i % outFeatures;
        const r = (i - row) / outFeatures;
        const channel = Math.floor(row / per);
        const x = d.x.slice(r * inFeatures, (r + 1) * inFeatures);
        const w = d.w.slice(row * inFeatures, (row + 1) * inFeatures);
        const sum = oracle.dot(x, input.zeroPoint, w, d.zeroPoints[channel]!);
        const scale = oracle.mul32(input.scale, d.scales[channel]!);
        const value = oracle.withBias(engine, true, sum, bias === null ? null : bias[row]!, scale);
        const want = oracle.mul32(value, scale);
        assertEquals(out[i]! + 0, relu ? Math.max(want, 0) : want);
      }
    }),
    { numRuns: 300 },
  );
});

const accumulator = fc.record({
  engine: fc.constantFrom(...ENGINES),
  perChannel: fc.boolean(),
  sum: ladderInteger(-(2 ** 31), 2 ** 31 - 1),
  scale: anyScale.filter((s) => s > 2 ** -60),
}).chain((a) => fc.tuple(fc.constant(a), biasOf(a.scale)));

Deno.test("addBias() and biasTerm() follow each engine's rule when sums fill an int32", () => {
  fc.assert(
    fc.property(accumulator, ([{ engine, perChannel, sum, scale }, bias]) => {
      const want = oracle.withBias(
        engine,
        perChannel,
        BigInt(sum),
        bias === 0 ? null : bias,
        scale,
      );
      assertEquals(addBias(engine, sum, perChannel, bias, scale) + 0, want);
      // A bias of zero is no bias under every rule.
      if (bias === 0) {
        assertEquals(want, oracle.withBias(engine, perChannel, BigInt(sum), 0, scale));
      }
      const term = biasTerm(engine, perChannel, bias, scale);
      if (engine === "qnnpack") {
        const steps = oracle.mul32(bias, oracle.inverse(scale));
        const q = Number.isFinite(steps) ? Number(nearestEven(exact(steps))) : steps;
        assertEquals(term + 0, clamp(q, -(2 ** 31), 2 ** 31 - 1));
      } else if (perChannel) assertEquals(term + 0, oracle.div32(bias, scale));
      else assertEquals(oracle.mul32(bias, oracle.inverse(scale)), f(term) + 0);
    }),
    { numRuns: 5000 },
  );
});

Deno.test("linearMultiplier() divides for fbgemm and multiplies by the reciprocal for qnnpack", () => {
  let differ = 0;
  fc.assert(
    fc.property(anyScale, anyScale, (s, out) => {
      assertEquals(linearMultiplier("fbgemm", s, out), oracle.div32(s, out));
      assertEquals(linearMultiplier("qnnpack", s, out), oracle.mul32(s, oracle.inverse(out)));
      if (oracle.div32(s, out) !== oracle.mul32(s, oracle.inverse(out))) differ++;
    }),
    { numRuns: 1000 },
  );
  assert(differ > 10);
});

/** One accumulator on its way to an output, as plainBiasTerm sees it. */
interface Case {
  bias: number;
  scale: number;
  sum: number;
  bound: number;
  multiplier: number;
}

/** Multiplies, rounds and clamps as project() of the cell does. */
function finish(value: number, multiplier: number, limit: number): number {
  return clamp(roundHalfEven(f(value * multiplier)), -limit, limit);
}

type Random = ReturnType<typeof generator>;

/** Integers from lo to hi, both included. */
function integers(random: Random): Random {
  return (lo, hi) => lo + Math.floor(random(0, 1) * (hi - lo + 1));
}

/** A scale whose float32 reciprocal is `inverse`, if there is one. */
function scaleWithInverse(inverse: number): number | null {
  const near = f(1 / inverse);
  for (const k of [0, 1, -1]) if (reciprocal(nudge(near, k)) === inverse) return nudge(near, k);
  return null;
}

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
    let a = 0, b = 0, k = 0;
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
    let sum: number, bound: number;
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

Deno.test("plainBiasTerm() with one addition gives the exact integer on cases a hair from ties", () => {
  let plain = 0, needed = 0;
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
  let plain = 0, total = 0;
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
