import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  quantizeValue,
  quantizeValueWide,
  reciprocal,
} from "../../../kernels/numeric/requantize.ts";
import { addBias, linearEngine, linearMultiplier } from "../../../kernels/ops/linear.ts";
import type { ForwardTensor } from "../../../src/modules/kind.ts";
import { QuantizedConv1d } from "../../../src/modules/conv1d/quantized.ts";
import { generator } from "../../../src/testing/random.ts";
import {
  assertWindow,
  portsOf,
  positionsOf,
  type RowOracle,
  runCases,
  windowCases,
  windowOfCase,
} from "../windows.ts";

const f = Math.fround;

const convCases = fc.record({
  run: runCases,
  window: windowCases,
  // Around the rows and columns that packed dot products take together.
  groups: fc.constantFrom(1, 1, 1, 2, 3),
  inner: fc.constantFrom(1, 2, 3, 4, 5, 9),
  outer: fc.constantFrom(1, 2, 4, 5, 9, 10, 11, 20, 21),
  engine: fc.constantFrom<"fbgemm" | "qnnpack">("fbgemm", "qnnpack"),
  perChannel: fc.boolean(),
  zeroPoint: fc.constantFrom(0, 0, 5),
  bias: fc.boolean(),
  relu: fc.boolean(),
});

type ConvCase = typeof convCases extends fc.Arbitrary<infer C> ? C : never;

function convOf(c: ConvCase): QuantizedConv1d {
  const { groups, inner, outer, engine, perChannel, zeroPoint } = c;
  const random = generator(c.run.seed + 3);
  const window = { ...windowOfCase(c.window, random), ceilMode: false };
  const rows = groups * outer;
  const columns = inner * window.kernelSize;
  const scales = Float32Array.from({ length: perChannel ? rows : 1 }, () => random(0.004, 0.02));
  return new QuantizedConv1d({
    engine,
    weight: {
      data: Int8Array.from({ length: rows * columns }, () => random(-128, 128)),
      outFeatures: rows,
      inFeatures: columns,
      perChannel,
      scales,
      zeroPoints: new Int32Array(scales.length).fill(zeroPoint),
    },
    bias: c.bias ? Float32Array.from({ length: rows }, () => random(-1, 1)) : null,
    ...portsOf(c.run),
    window,
    groups,
    batchFirst: c.run.batchFirst,
    relu: c.relu,
  });
}

/** The convolution by plain loops: one sum after the other, bias and rescaling as Linear's. */
function oracleOf(conv: QuantizedConv1d): RowOracle {
  const { engine, weight, bias, input, output, window, groups, relu } = conv;
  const { kernelSize, dilation } = window;
  const perGroup = weight.inFeatures / kernelSize;
  const outer = weight.outFeatures / groups;
  const rule = input === null ? engine : linearEngine(engine, input, [output]);
  return (x) =>
    positionsOf(window, x.length).map((start) =>
      Array.from({ length: weight.outFeatures }, (_, row) => {
        const channel = weight.scales.length === 1 ? 0 : row;
        const weightScale = weight.scales[channel]!;
        const weightZero = weight.zeroPoints[channel]!;
        let sum = 0;
        // A window's steps in their order: a float sum in double depends on it.
        for (let tap = 0; tap < kernelSize; tap++) {
          for (let i = 0; i < perGroup; i++) {
            const t = start + tap * dilation;
            if (t < 0 || t >= x.length) continue;
            const value = x[t]![Math.floor(row / outer) * perGroup + i]!;
            const q = weight.data[(row * perGroup + i) * kernelSize + tap]! - weightZero;
            sum += input === null ? value * f(q * weightScale) : (value - input.zeroPoint) * q;
          }
        }
        const added = bias?.[row] ?? 0;
        if (input !== null && output !== null) {
          const scale = f(input.scale * weightScale);
          const value = f(
            addBias(rule, sum, weight.perChannel, added, scale) *
              linearMultiplier(rule, scale, output.scale),
          );
          const rounded = Math.round(value);
          const even = Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
          const lo = relu ? Math.max(output.quantMin, output.zeroPoint) : output.quantMin;
          return Math.min(Math.max(even + output.zeroPoint, lo), output.quantMax);
        }
        let y = f(sum + added);
        if (input !== null) {
          const scale = f(input.scale * weightScale);
          y = f(addBias(rule, sum, true, added, scale) * scale);
        }
        if (relu && !(y > 0)) y = 0;
        if (output === null) return y;
        const { zeroPoint, quantMin, quantMax, dtype } = output;
        const quantize = dtype === "qint32" ? quantizeValueWide : quantizeValue;
        return quantize(y, reciprocal(output.scale), zeroPoint, quantMin, quantMax);
      })
    );
}

Deno.test("a quantized Conv1d gives what plain loops give, each row alone: in every form, whole and in chunks", () => {
  const seen = { streams: 0, wholes: 0, groups: 0, relu: 0 };
  fc.assert(
    fc.property(convCases, (c) => {
      const conv = convOf(c);
      assertWindow(c.run, conv, conv.window, oracleOf(conv));
      const { window: { right, stride, left }, groups, relu } = conv;
      if (stride === 1 && right === 0 && left > 0) seen.streams++;
      else seen.wholes++;
      if (groups > 1) seen.groups++;
      if (relu) seen.relu++;
    }),
    { numRuns: 300 },
  );
  assert(Math.min(...Object.values(seen)) > 20, JSON.stringify(seen));
});

Deno.test("a quantized Conv1d by itself gives what the oracle gives", () => {
  fc.assert(
    fc.property(convCases, (c) => {
      const conv = convOf({ ...c, run: { ...c.run, batchFirst: false } });
      const { input, weight, window, groups } = conv;
      const size = weight.inFeatures / window.kernelSize * groups;
      const steps = 25;
      const random = generator(c.run.seed + 5);
      const x = Array.from({ length: steps }, () =>
        Array.from(
          { length: size },
          () =>
            input === null
              ? f(random(-2, 2))
              : Math.floor(random(input.quantMin, input.quantMax + 1)),
        ));
      const Kind = input === null
        ? Float32Array
        : { quint8: Uint8Array, qint8: Int8Array, qint32: Int32Array }[input.dtype];
      const given = { data: Kind.from(x.flat()), shape: [steps, size] };
      const y = conv.forward(
        (input === null ? given : { ...given, qparams: input }) as ForwardTensor,
      );
      const expected = oracleOf(conv)(x);
      assertEquals([...y.data], expected.flat());
      assertEquals(y.shape, [expected.length, weight.outFeatures]);
    }),
    { numRuns: 150 },
  );
});
