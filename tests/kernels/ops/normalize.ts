import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type BatchNorm,
  batchNormFloat32,
  batchNormInt8,
  foldBatchNorm,
  layerNormFloat32,
  layerNormInt8,
} from "../../../kernels/ops/normalize.ts";
import {
  anyParameters,
  integersOf,
  NARROW,
  RANGES,
  uniformFloat32,
} from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

const value = fc.oneof(uniformFloat32(-3, 3), fc.integer({ min: -4, max: 4 }));
const anyEps = fc.constantFrom(1e-5, 1e-3, 1e-12, 0.5);

/**
 * An output so fine that integers show each last bit of a float32 result: what 8 bits seldom show.
 */
const FINE = {
  range: RANGES[RANGES.length - 1]!,
  scale: Math.fround(1.1e-7),
  zeroPoint: 0,
  quantMin: -(2 ** 31),
  quantMax: 2 ** 31 - 1,
};
/** Outputs of any parameters, or {@linkcode FINE}. */
const anyOutput = fc.oneof(anyParameters(NARROW), fc.constant(FINE));

/** Of 1 to 5 channels, with and without weight and bias. */
const anyBatchNorm = fc.tuple(
  fc.array(
    fc.record({
      gamma: value,
      beta: value,
      mean: value,
      variance: fc.oneof(uniformFloat32(0.01, 4), fc.constantFrom(0, 1, 4)),
    }),
    { minLength: 1, maxLength: 5 },
  ),
  anyEps,
  fc.boolean(),
  fc.boolean(),
).map(([channels, eps, hasWeight, hasBias]) => {
  const list = channels.map((channel) => ({
    ...channel,
    gamma: hasWeight ? channel.gamma : 1,
    beta: hasBias ? channel.beta : 0,
    eps,
  }));
  const norm: BatchNorm = {
    weight: hasWeight ? Float32Array.from(list, ({ gamma }) => gamma) : null,
    bias: hasBias ? Float32Array.from(list, ({ beta }) => beta) : null,
    runningMean: Float32Array.from(list, ({ mean }) => mean),
    runningVar: Float32Array.from(list, ({ variance }) => variance),
    eps,
  };
  return { list, norm };
});

/** Weight and bias of a row, or neither. */
function affine(width: number) {
  const list = fc.array(value, { minLength: width, maxLength: width });
  return fc.tuple(fc.boolean(), list, list).map(([has, weight, bias]) => ({
    weight: has ? weight : weight.map(() => 1),
    bias: has ? bias : bias.map(() => 0),
    norm: {
      weight: has ? Float32Array.from(weight) : null,
      bias: has ? Float32Array.from(bias) : null,
    },
  }));
}

export const NORMALIZE: readonly KernelProperty[] = [
  property(
    "batchNormFloat32() rounds each operation once, in place too",
    1000,
    () =>
      fc.property(anyBatchNorm, fc.array(value, { minLength: 15, maxLength: 15 }), (bn, values) => {
        const { list, norm } = bn;
        const x = Float32Array.from(values.slice(0, 3 * list.length));
        const want = Array.from(x, (v, i) => oracle.batchNorm32(v, list[i % list.length]!));
        batchNormFloat32(x, norm, x);
        assertEquals([...x].map((y) => y + 0), want);
      }),
  ),
  property(
    "batchNormInt8() is torch's scalar rule between any dtypes, with and without relu",
    1000,
    (met) => {
      const input = anyParameters(NARROW).chain((q) => fc.tuple(fc.constant(q), integersOf(q, 15)));
      return fc.property(
        anyBatchNorm,
        input,
        anyOutput,
        fc.boolean(),
        (bn, [from, ints], to, relu) => {
          const { list, norm } = bn;
          const values = ints.slice(0, 3 * list.length);
          const out = to.range.make(new Uint8Array(values.length));
          const x = { data: from.range.make(values), qparams: from };
          batchNormInt8(x, norm, { data: out, qparams: to }, relu);
          const want = values.map((q, i) =>
            oracle.batchNormQuantized(q, from, list[i % list.length]!, to, relu)
          );
          assertEquals([...out], want);
          met("inside", want.filter((q) => q > to.quantMin && q < to.quantMax).length);
        },
      );
    },
    { inside: 500 },
  ),
  property(
    "foldBatchNorm() gives the weights that torch's fusions give, before a Linear and a convolution",
    1000,
    () =>
      fc.property(
        anyBatchNorm,
        fc.array(value, { minLength: 15, maxLength: 15 }),
        fc.boolean(),
        fc.constantFrom("linear" as const, "convolution" as const),
        ({ list, norm }, values, hasBias, before) => {
          const weight = Float32Array.from(values.slice(0, 3 * list.length));
          const bias = hasBias ? Float32Array.from(values.slice(0, list.length)) : null;
          const folded = foldBatchNorm(before, weight, bias, norm);
          const { add32, mul32 } = oracle;
          const wantWeight: number[] = [];
          const wantBias = list.map((channel, row) => {
            const { gamma, beta, mean } = channel;
            const inverse = oracle.inverseDeviation32(channel);
            const scale = mul32(gamma, inverse);
            for (let k = 0; k < 3; k++) wantWeight.push(mul32(weight[3 * row + k]!, scale));
            const centered = add32(bias === null ? 0 : bias[row]!, -mean);
            const scaled = before === "linear"
              ? mul32(centered, scale)
              : mul32(mul32(centered, inverse), gamma);
            return add32(scaled, beta);
          });
          assertEquals([...folded.weight].map((w) => w + 0), wantWeight);
          assertEquals([...folded.bias].map((b) => b + 0), wantBias);
        },
      ),
  ),
  property("layerNormFloat32() works in double and rounds once, in place too", 1000, () => {
    const input = fc.integer({ min: 1, max: 9 }).chain((width) =>
      fc.tuple(
        fc.constant(width),
        affine(width),
        fc.array(fc.oneof(uniformFloat32(100, 101), value), {
          minLength: 2 * width,
          maxLength: 2 * width,
        }),
      )
    );
    return fc.property(input, anyEps, ([width, { weight, bias, norm }, values], eps) => {
      const x = Float32Array.from(values);
      layerNormFloat32(x, width, { ...norm, eps }, x);
      const want = [0, width].flatMap((row) =>
        oracle.layerNorm32(values.slice(row, row + width), weight, bias, eps)
      );
      assertEquals([...x].map((y) => y + 0), want);
    });
  }),
  property(
    "layerNormInt8() is torch's rule between any dtypes, of constant rows too",
    1000,
    (met) => {
      const input = fc.tuple(fc.integer({ min: 1, max: 9 }), anyParameters(NARROW)).chain((
        [width, from],
      ) =>
        fc.tuple(
          fc.constant(width),
          fc.constant(from),
          affine(width),
          fc.oneof(
            integersOf(from, 2 * width),
            integersOf(from, 1).map(([q]) => new Array<number>(2 * width).fill(q!)),
          ),
        )
      );
      return fc.property(input, anyOutput, anyEps, (drawn, to, eps) => {
        const [width, from, { weight, bias, norm }, ints] = drawn;
        const out = to.range.make(new Uint8Array(ints.length));
        const x = { data: from.range.make(ints), qparams: from };
        layerNormInt8(x, width, { ...norm, eps }, { data: out, qparams: to });
        const want = [0, width].flatMap((row) =>
          oracle.layerNormQuantized(ints.slice(row, row + width), from, { weight, bias, eps }, to)
        );
        assertEquals([...out], want);
        met("inside", want.filter((q) => q > to.quantMin && q < to.quantMax).length);
      });
    },
    { inside: 500 },
  ),
];
