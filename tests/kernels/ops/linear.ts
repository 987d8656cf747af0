import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addBias,
  biasTerm,
  type Engine,
  linearInt8,
  linearInt8Float32,
  linearMultiplier,
} from "../../../kernels/ops/linear.ts";
import { clamp, reciprocal } from "../../../kernels/numeric/requantize.ts";
import {
  anyFloat32,
  anyParameters,
  anyScale,
  integersOf,
  ladderInteger,
  NARROW,
  nudge,
  RANGES,
  uniformFloat32,
} from "../../../src/testing/numbers.ts";
import { exact, nearestEven } from "../../../src/testing/exact.ts";
import * as oracle from "../../../src/testing/rules.ts";
import type { generator } from "../../../src/testing/random.ts";
import { type KernelProperty, property } from "../property.ts";

const ENGINES: Engine[] = ["fbgemm", "qnnpack"];
export const f = Math.fround;

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

export const layers = fc.record({
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

const accumulator = fc.record({
  engine: fc.constantFrom(...ENGINES),
  perChannel: fc.boolean(),
  sum: ladderInteger(-(2 ** 31), 2 ** 31 - 1),
  scale: anyScale.filter((s) => s > 2 ** -60),
}).chain((a) => fc.tuple(fc.constant(a), biasOf(a.scale)));

/** One accumulator on its way to an output, as plainBiasTerm sees it. */
export interface Case {
  bias: number;
  scale: number;
  sum: number;
  bound: number;
  multiplier: number;
}

export type Random = ReturnType<typeof generator>;

/** Integers from lo to hi, both included. */
export function integers(random: Random): Random {
  return (lo, hi) => lo + Math.floor(random(0, 1) * (hi - lo + 1));
}

/** A scale whose float32 reciprocal is `inverse`, if there is one. */
export function scaleWithInverse(inverse: number): number | null {
  const near = f(1 / inverse);
  for (const k of [0, 1, -1]) if (reciprocal(nudge(near, k)) === inverse) return nudge(near, k);
  return null;
}

export const LINEAR: readonly KernelProperty[] = [
  property(
    "linearInt8() gives each of four blocks what a layer of its own gives",
    50,
    () =>
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
  ),
  property(
    "linearInt8Float32() adds the bias by the per-channel rule and multiplies by the accumulator's scale",
    300,
    () =>
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
          const value = oracle.withBias(
            engine,
            true,
            sum,
            bias === null ? null : bias[row]!,
            scale,
          );
          const want = oracle.mul32(value, scale);
          assertEquals(out[i]! + 0, relu ? Math.max(want, 0) : want);
        }
      }),
  ),
  property(
    "addBias() and biasTerm() follow each engine's rule when sums fill an int32",
    5000,
    () =>
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
  ),
  property(
    "linearMultiplier() divides for fbgemm and multiplies by the reciprocal for qnnpack",
    1000,
    (met) =>
      fc.property(anyScale, anyScale, (s, out) => {
        assertEquals(linearMultiplier("fbgemm", s, out), oracle.div32(s, out));
        assertEquals(linearMultiplier("qnnpack", s, out), oracle.mul32(s, oracle.inverse(out)));
        if (oracle.div32(s, out) !== oracle.mul32(s, oracle.inverse(out))) met("differ");
      }),
    { differ: 10 },
  ),
];
