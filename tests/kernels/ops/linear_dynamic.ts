import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Engine } from "../../../kernels/ops/linear.ts";
import {
  chooseQParamsDynamic,
  linearDynamicInt8,
  quantizeDynamic,
} from "../../../kernels/ops/linear_dynamic.ts";
import {
  anyFloat32,
  anyScale,
  ladderInteger,
  nearTies,
  nudge,
  uniformFloat32,
} from "../../../src/testing/numbers.ts";
import {
  abs,
  add,
  compare,
  div,
  type Exact,
  exact,
  mul,
  nearestEven,
  neg,
  toFloat32,
  toFloat64,
} from "../../../src/testing/exact.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

export const f = Math.fround;
export const ENGINES: Engine[] = ["fbgemm", "qnnpack"];

/** ChooseQuantizationParams in exact numbers, each C double and float rounded where C rounds it. */
function chooseOracle(
  min: number,
  max: number,
  quantMax: number,
): { scale: number; zeroPoint: number; small: boolean } {
  const small = f(6.1e-5);
  const steps = exact(quantMax);
  let lo = Math.min(min, 0);
  let hi = Math.max(max, 0);
  const double = (x: Exact) => toFloat64(x);
  let scale = double(div(exact(double(add(exact(hi), neg(exact(lo))))), steps));
  const single = toFloat32(exact(scale));
  if (single === 0 || toFloat32(div(exact(1), exact(single))) === Infinity) scale = 0.1;
  const isSmall = scale < small;
  if (isSmall) {
    const stretch = oracle.div32(small, toFloat32(exact(scale)));
    scale = small;
    if (lo === 0) hi = oracle.mul32(small, quantMax);
    else if (hi === 0) lo = -oracle.mul32(small, quantMax);
    else [lo, hi] = [oracle.mul32(lo, stretch), oracle.mul32(hi, stretch)];
  }
  const low = double(div(exact(lo), exact(scale)));
  const high = double(div(exact(hi), exact(scale)));
  const fromMin = double(neg(exact(low)));
  const fromMax = double(add(steps, neg(exact(high))));
  const errorMin = double(neg(abs(exact(low))));
  const errorMax = double(add(steps, neg(abs(exact(high)))));
  const initial = compare(exact(errorMin), exact(errorMax)) < 0 ? fromMin : fromMax;
  const zeroPoint = initial < 0
    ? 0
    : initial > quantMax
    ? quantMax
    : Number(nearestEven(exact(initial)));
  return { scale: toFloat32(exact(scale)), zeroPoint, small: isSmall };
}

/** Ranges: any, one-sided, tiny, empty, and with a zero point that is half-way. */
const ranges = fc.oneof(
  fc.tuple(anyFloat32, anyFloat32),
  fc.tuple(uniformFloat32(-100, 100), uniformFloat32(-100, 100)),
  fc.tuple(
    uniformFloat32(-0.02, 0.02),
    uniformFloat32(-0.02, 0.02),
  ),
  fc.tuple(fc.constant(0), uniformFloat32(0, 0.02)),
  fc.tuple(uniformFloat32(-0.02, 0), fc.constant(0)),
  fc.tuple(fc.integer({ min: 0, max: 510 }), fc.integer({ min: -20, max: 10 })).map(([n, k]) => [
    -n * 2 ** (k - 1),
    (510 - n) * 2 ** (k - 1),
  ]),
  // The same in units that are no power of two: next to half-way.
  fc.tuple(
    fc.integer({ min: 0, max: 510 }),
    uniformFloat32(1e-8, 2e-7),
    fc.integer({ min: -2, max: 2 }),
  )
    .map(([n, unit, k]) => [nudge(f(-n * unit), k), f((510 - n) * unit)]),
  fc.tuple(fc.constantFrom(1, -1), fc.integer({ min: -150, max: -110 })).map((
    [s, k],
  ) => [0, s * 2 ** k]),
).map(([a, b]) => [Math.min(f(a), f(b)), Math.max(f(a), f(b))]);

const layers = fc.record({
  engine: fc.constantFrom(...ENGINES),
  rows: fc.constantFrom(1, 2, 3),
  inFeatures: fc.constantFrom(1, 3, 7, 13, 33),
  outFeatures: fc.constantFrom(1, 3, 7),
  perChannel: fc.boolean(),
  relu: fc.boolean(),
  reduceRange: fc.boolean(),
}).chain((l) => {
  const list = <T>(value: fc.Arbitrary<T>, length: number) =>
    fc.array(value, { minLength: length, maxLength: length });
  const count = l.perChannel ? l.outFeatures : 1;
  const float = uniformFloat32(-40, 40);
  return fc.record({
    l: fc.constant(l),
    x: fc.oneof(
      list(float, l.rows * l.inFeatures),
      list(fc.integer({ min: -128, max: 127 }).map((n) => n / 2), l.rows * l.inFeatures),
      list(uniformFloat32(-0.01, 0.01), l.rows * l.inFeatures),
      fc.constant(new Array<number>(l.rows * l.inFeatures).fill(0)),
    ),
    w: list(ladderInteger(-128, 127), l.outFeatures * l.inFeatures),
    scales: list(anyScale, count),
    zeroPoints: list(ladderInteger(-128, 127), count),
    bias: fc.oneof({ arbitrary: list(float, l.outFeatures), weight: 3 }, {
      arbitrary: fc.constant(null),
      weight: 1,
    }),
  });
});

/** Every form of a layer, each of which cases must meet. */
const LAYER_FORMS = Object.fromEntries(
  ENGINES.flatMap((engine) =>
    Array.from({ length: 16 }, (_, i) => {
      const flags = [1, 2, 4, 8].map((flag) => (i & flag) !== 0);
      return [[engine, ...flags].join(" "), 0];
    })
  ),
);

export const LINEAR_DYNAMIC: readonly KernelProperty[] = [
  property(
    "chooseQParamsDynamic() is torch's ChooseQuantizationParams when the range is any",
    5000,
    (met) =>
      fc.property(
        ranges,
        fc.boolean(),
        fc.constantFrom(...ENGINES),
        ([min, max], reduceRange, engine) => {
          const quantMax = reduceRange && engine === "fbgemm" ? 127 : 255;
          const { scale, zeroPoint, small: isSmall } = chooseOracle(min!, max!, quantMax);
          const got = chooseQParamsDynamic(min!, max!, reduceRange, engine);
          assertEquals([got.scale, got.zeroPoint + 0], [scale, zeroPoint]);
          if (isSmall) met("small");
          if (quantMax === 127) met("reduced");
        },
      ),
    { small: 500, reduced: 500 },
  ),
  property(
    "quantizeDynamic() adds fbgemm's zero point before rounding, fused, and qnnpack's after",
    2000,
    (met) => {
      const q = fc.tuple(anyScale, fc.integer({ min: 0, max: 255 })).chain(([scale, zeroPoint]) => {
        const tie = fc.integer({ min: -10, max: 265 }).map((n) => f((n - zeroPoint + 0.5) * scale));
        const near = fc.tuple(tie.filter((x) => x !== 0), fc.integer({ min: -2, max: 2 })).map((
          [x, k],
        ) => nudge(x, k));
        return fc.tuple(
          fc.constant({ scale, zeroPoint }),
          fc.array(fc.oneof(tie, near, anyFloat32), { maxLength: 13 }),
        );
      });
      return fc.property(q, ([qparams, list]) => {
        const { scale, zeroPoint } = qparams;
        const x = Float32Array.from(list);
        const inverse = oracle.inverse(scale);
        const a = new Uint8Array(x.length);
        const b = new Uint8Array(x.length);
        quantizeDynamic("fbgemm", x, a, qparams);
        quantizeDynamic("qnnpack", x, b, qparams);
        x.forEach((v, i) => {
          const sum = oracle.fma32(v, inverse, zeroPoint);
          const fused = sum === Infinity
            ? 255
            : sum === -Infinity
            ? 0
            : Number(nearestEven(exact(sum)));
          assertEquals(a[i], Math.min(Math.max(fused, 0), 255));
          assertEquals(b[i], oracle.quantize(v, { ...qparams, quantMin: 0, quantMax: 255 }, false));
          if (a[i] !== b[i]) met("differ");
        });
      });
    },
    { differ: 100 },
  ),
  property(
    "linearDynamicInt8() follows each engine's rule, with and without bias, relu and a reduced range",
    1500,
    (met) =>
      fc.property(layers, ({ l, x, w, scales, zeroPoints, bias }) => {
        const { engine, rows, inFeatures, outFeatures, perChannel, relu, reduceRange } = l;
        const out = new Float32Array(rows * outFeatures);
        const data = Float32Array.from(x);
        const scratch = new Uint8Array(x.length);
        const weight = {
          data: Int8Array.from(w),
          outFeatures,
          inFeatures,
          perChannel,
          scales: Float32Array.from(scales),
          zeroPoints: Int32Array.from(zeroPoints),
        };
        const floats = bias === null ? null : Float32Array.from(bias);
        const linear = { weight, bias: floats, relu };
        linearDynamicInt8(engine, data, linear, out, { reduceRange, integers: scratch });
        const qparams = chooseQParamsDynamic(
          Math.min(...data),
          Math.max(...data),
          reduceRange,
          engine,
        );
        const ints = new Uint8Array(x.length);
        quantizeDynamic(engine, data, ints, qparams);
        assertEquals(scratch, ints);
        for (let r = 0; r < rows; r++) {
          for (let row = 0; row < outFeatures; row++) {
            const c = perChannel ? row : 0;
            const own = ints.subarray(r * inFeatures, (r + 1) * inFeatures);
            const sum = oracle.dot(
              own,
              qparams.zeroPoint,
              w.slice(row * inFeatures, (row + 1) * inFeatures),
              zeroPoints[c]!,
            );
            const acc = toFloat32({ n: sum, d: 1n });
            const m = oracle.mul32(qparams.scale, scales[c]!);
            const b = bias?.[row] ?? 0;
            let want = engine === "fbgemm"
              ? toFloat32(add(mul(exact(acc), exact(m)), exact(f(b))))
              : oracle.add32(oracle.mul32(acc, m), f(b));
            if (relu) want = Math.max(want, 0);
            assertEquals(out[r * outFeatures + row]! + 0, want);
          }
        }
        const again = new Float32Array(out.length);
        linearDynamicInt8(engine, data, linear, again, { reduceRange });
        assertEquals(again, out);
        met(`${engine} ${perChannel} ${relu} ${reduceRange} ${bias === null}`);
      }),
    LAYER_FORMS,
  ),
  property(
    "linearDynamicInt8() rounds fbgemm's sum once when it is a hair from half-way",
    200,
    (met) =>
      fc.property(nearTies, ([a, b, bias]) => {
        // Inputs 0..255 have scale 1 and zero point 0; the weights' scale takes what a is more than
        // an integer.
        const sum = Math.abs(a) / 2 ** Math.floor(Math.log2(Math.abs(a)) - 23);
        const scale = f(Math.abs(a) / sum * b);
        if (scale < 2 ** -120 || Math.abs(bias) > 2 ** 100) return;
        const terms: [number, number][] = [[0, 0]];
        let rest = sum;
        while (rest > 0) {
          const x = rest >= 255 ? 255 : 1;
          const w = Math.min(Math.floor(rest / x), 127);
          terms.push([x, Math.sign(a) * w]);
          rest -= x * w;
        }
        const weight = {
          data: Int8Array.from(terms, ([, w]) => w),
          outFeatures: 1,
          inFeatures: terms.length,
          perChannel: false,
          scales: Float32Array.of(scale),
          zeroPoints: Int32Array.of(0),
        };
        const out = new Float32Array(1);
        const x = Float32Array.from(terms, ([x]) => x);
        linearDynamicInt8("fbgemm", x, { weight, bias: Float32Array.of(bias) }, out);
        const want = oracle.fma32(a, b, bias);
        assertEquals(out[0], want);
        if (f(a * b + bias) !== want) met("needed");
      }),
    { needed: 10 },
  ),
  property(
    "linearDynamicInt8() gives the bias where all products are 0, whatever their scale",
    300,
    (met) =>
      fc.property(
        fc.constantFrom(...ENGINES),
        fc.integer({ min: -120, max: 126 }).map((k) => 2 ** k),
        fc.array(fc.oneof(anyFloat32, fc.constantFrom(3e38, -3e38)), {
          minLength: 3,
          maxLength: 3,
        }),
        uniformFloat32(-40, 40),
        (engine, scale, x, bias) => {
          const weight = {
            data: Int8Array.of(0, 0, 0),
            outFeatures: 1,
            inFeatures: 3,
            perChannel: false,
            scales: Float32Array.of(scale),
            zeroPoints: Int32Array.of(0),
          };
          const data = Float32Array.from(x);
          const out = new Float32Array(1);
          linearDynamicInt8(engine, data, { weight, bias: Float32Array.of(bias) }, out);
          assertEquals(out[0]! + 0, f(bias) + 0);
          const { scale: own } = chooseQParamsDynamic(
            Math.min(...data),
            Math.max(...data),
            false,
            engine,
          );
          if (f(own * scale) === Infinity) met("infinite");
        },
      ),
    { infinite: 20 },
  ),
];
