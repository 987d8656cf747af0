/** Convolutions against sums that are written out, over every window and any groups. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  conv1dFloat32,
  conv1dInt8,
  type ConvolutionParameters,
} from "../../../kernels/ops/convolution.ts";
import { type Engine, linearInt8Float32 } from "../../../kernels/ops/linear.ts";
import { windowSteps } from "../../../kernels/ops/window.ts";
import { add, exact, mul, toFloat32, toFloat64 } from "../../../src/testing/exact.ts";
import { anyParameters, integersOf, NARROW, uniformFloat32 } from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

/** A window over a few steps, and channels in groups. */
const shapes = fc.record({
  kernelSize: fc.integer({ min: 1, max: 4 }),
  stride: fc.integer({ min: 1, max: 3 }),
  dilation: fc.integer({ min: 1, max: 2 }),
  left: fc.nat(3),
  right: fc.nat(3),
  groups: fc.integer({ min: 1, max: 3 }),
  perGroup: fc.integer({ min: 1, max: 3 }),
  outPerGroup: fc.integer({ min: 1, max: 3 }),
  steps: fc.integer({ min: 1, max: 6 }),
  hasBias: fc.boolean(),
}).map((shape) => {
  const { kernelSize, stride, dilation, left, right, groups, perGroup, outPerGroup } = shape;
  const window = { kernelSize, stride, dilation, left, right, ceilMode: false };
  return {
    ...shape,
    window,
    positions: windowSteps(window, shape.steps),
    channels: groups * perGroup,
    outChannels: groups * outPerGroup,
    inFeatures: perGroup * kernelSize,
  };
}).filter(({ positions }) => positions > 0);

type Shape = typeof shapes extends fc.Arbitrary<infer S> ? S : never;

/** Values that an output's window covers, by step, then channel, and where a weight row has theirs. */
function* coveredBy(shape: Shape, position: number, row: number): Generator<[number, number]> {
  const { window, perGroup, outPerGroup, channels, steps } = shape;
  const first = Math.floor(row / outPerGroup) * perGroup;
  for (let tap = 0; tap < window.kernelSize; tap++) {
    const t = position * window.stride - window.left + tap * window.dilation;
    for (let i = 0; i < perGroup; i++) {
      const inside = t >= 0 && t < steps;
      yield [inside ? t * channels + first + i : -1, i * window.kernelSize + tap];
    }
  }
}

const quantized = shapes.chain((shape) => {
  const { outChannels, inFeatures, steps, channels } = shape;
  const list = <T>(value: fc.Arbitrary<T>, length: number) =>
    fc.array(value, { minLength: length, maxLength: length });
  return fc.record({
    shape: fc.constant(shape),
    engine: fc.constantFrom<Engine>("fbgemm", "qnnpack"),
    relu: fc.boolean(),
    perChannel: fc.boolean(),
    x: anyParameters(NARROW).chain((q) =>
      fc.record({ q: fc.constant(q), ints: integersOf(q, steps * channels) })
    ),
    to: anyParameters(NARROW),
    weight: list(fc.integer({ min: -128, max: 127 }), outChannels * inFeatures),
    // So that neither sums nor biases leave an int32.
    scales: list(fc.integer({ min: -8, max: 0 }).map((k) => 1.25 * 2 ** k), outChannels),
    zeroPoints: list(fc.integer({ min: -2, max: 2 }), outChannels),
    biases: list(fc.integer({ min: -1000, max: 1000 }), outChannels),
  });
});

export const CONVOLUTION: readonly KernelProperty[] = [
  property(
    "conv1dFloat32() sums each window in double by step, then channel, and rounds once",
    1000,
    (met) =>
      fc.property(
        shapes.chain((shape) => {
          const value = (length: number) =>
            fc.array(uniformFloat32(-3, 3), { minLength: length, maxLength: length });
          return fc.tuple(
            fc.constant(shape),
            value(shape.steps * shape.channels),
            value(shape.outChannels * shape.inFeatures),
            value(shape.outChannels),
          );
        }),
        ([shape, x, weight, bias]) => {
          const { window, groups, positions, outChannels, inFeatures, channels, hasBias } = shape;
          const out = new Float32Array(positions * outChannels);
          const own = hasBias ? Float32Array.from(bias) : null;
          const convolution = { weight: Float32Array.from(weight), bias: own, window, groups };
          conv1dFloat32(Float32Array.from(x), channels, convolution, out);
          for (let i = 0; i < out.length; i++) {
            const row = i % outChannels;
            let sum = exact(0);
            for (const [at, k] of coveredBy(shape, Math.floor(i / outChannels), row)) {
              if (at < 0) continue;
              const product = mul(exact(x[at]!), exact(weight[row * inFeatures + k]!));
              sum = exact(toFloat64(add(sum, product)));
            }
            if (hasBias) sum = exact(toFloat64(add(sum, exact(bias[row]!))));
            assertEquals(out[i]! + 0, toFloat32(sum) + 0);
            met("outputs");
          }
        },
      ),
    { outputs: 5000 },
  ),
  property(
    "conv1dInt8() is each engine's linear rule on what a window covers, padding its zero point",
    1000,
    (met) =>
      fc.property(quantized, (c) => {
        const { shape, engine, relu, perChannel, x, to, weight, scales, zeroPoints, biases } = c;
        const { window, groups, positions, outChannels, inFeatures, channels } = shape;
        const channelOf = (row: number) => perChannel ? row : 0;
        const scaleOf = (row: number) => oracle.mul32(x.q.scale, scales[channelOf(row)]!);
        const biasOf = (row: number) =>
          shape.hasBias ? Math.fround(biases[row]! * scaleOf(row)) : null;
        const convolution: ConvolutionParameters = {
          window,
          groups,
          weight: {
            data: Int8Array.from(weight),
            outFeatures: outChannels,
            inFeatures,
            perChannel,
            scales: Float32Array.from(perChannel ? scales : scales.slice(0, 1)),
            zeroPoints: Int32Array.from(perChannel ? zeroPoints : zeroPoints.slice(0, 1)),
          },
          bias: shape.hasBias ? Float32Array.from(biases, (_, row) => biasOf(row)!) : null,
          relu,
        };
        const given = { data: x.q.range.make(x.ints), qparams: x.q };
        const out = to.range.make(new Uint8Array(positions * outChannels));
        conv1dInt8(engine, given, channels, convolution, { data: out, qparams: to });
        const real = new Float32Array(out.length);
        conv1dInt8(engine, given, channels, convolution, { data: real, qparams: null });
        for (let i = 0; i < out.length; i++) {
          const row = i % outChannels;
          const window = [...coveredBy(shape, Math.floor(i / outChannels), row)];
          const ints = window.map(([at]) => at < 0 ? x.q.zeroPoint : x.ints[at]!);
          const taps = window.map(([, k]) => weight[row * inFeatures + k]!);
          const zeroPoint = zeroPoints[channelOf(row)]!;
          const sum = oracle.dot(ints, x.q.zeroPoint, taps, zeroPoint);
          const scale = scaleOf(row);
          const acc = oracle.withBias(engine, perChannel, sum, biasOf(row), scale);
          assertEquals(out[i], oracle.linearOutput(engine, acc, scale, to, relu));
          const [alone] = floatOf(engine, ints, taps, {
            input: x.q,
            scale: scales[channelOf(row)]!,
            zeroPoint,
            bias: biasOf(row),
            relu,
          });
          assertEquals(real[i], alone);
          met("outputs");
        }
      }),
    { outputs: 5000 },
  ),
];

/** What the linear operator gives of one window, which has properties of its own. */
function floatOf(
  engine: Engine,
  ints: readonly number[],
  taps: readonly number[],
  layer: {
    readonly input: { readonly scale: number; readonly zeroPoint: number };
    readonly scale: number;
    readonly zeroPoint: number;
    readonly bias: number | null;
    readonly relu: boolean;
  },
): Float32Array {
  const { input, scale, zeroPoint, bias, relu } = layer;
  const out = new Float32Array(1);
  linearInt8Float32(engine, { data: Int32Array.from(ints), qparams: input }, {
    weight: {
      data: Int8Array.from(taps),
      outFeatures: 1,
      inFeatures: taps.length,
      perChannel: true,
      scales: Float32Array.of(scale),
      zeroPoints: Int32Array.of(zeroPoint),
    },
    bias: bias === null ? null : Float32Array.of(bias),
    relu,
  }, out);
  return out;
}
