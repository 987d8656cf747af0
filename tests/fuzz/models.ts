/**
 * Models and kernels: every executor against every other, and against exact rules.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PRESET_NAMES } from "@splitgate/splitgate";
import {
  type Bits,
  DRAWN_KINDS,
  fuzzModel,
  modelOfKind,
  type ModuleSizes,
  moduleSizes,
} from "@splitgate/splitgate/testing";
import { linearInt8 } from "../../kernels/ops/linear.ts";
import { addInt8, mulInt8 } from "../../kernels/ops/elementwise.ts";
import { quantizePerTensor, requantize } from "../../kernels/numeric/quantize.ts";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import { quantizedOf } from "../../src/testing/arbitraries.ts";
import { gruCases, type LSTMCase, lstmCases } from "../../src/testing/quantized_lstms.ts";
import { anyParameters, integersOf, NARROW, RANGES } from "../../src/testing/numbers.ts";
import {
  addQuantized,
  dot,
  linearOutput,
  mul32,
  mulQuantized,
  quantize,
  requantize as requantizeExactly,
  withBias,
} from "../../src/testing/rules.ts";
import { modelOf } from "../../src/testing/quantized_models.ts";
import { requireSame } from "../authoring/executors.ts";
import { backends } from "../simd/backends.ts";
import type { Target } from "./target.ts";

/** A model of a kind, and what its trials follow from. */
interface ModelCase {
  readonly kind: string;
  readonly preset: string;
  readonly sizes: ModuleSizes;
  readonly seed: number;
}

/** Trials of each invariant of a model. */
const RUNS = 10;

/** Models of every kind, which keep every invariant. */
const models: Target<ModelCase> = {
  name: "models",
  cases: fc.record({
    kind: fc.constantFrom(...DRAWN_KINDS),
    preset: fc.constantFrom(...PRESET_NAMES, "dynamic"),
    sizes: moduleSizes,
    seed: fc.nat(2 ** 31 - 1),
  }),
  async run({ kind, preset, sizes, seed }) {
    const model = modelOfKind(kind, sizes);
    const quantized = quantizedOf({ kind, sizes, model }, preset);
    if (quantized === null) return "refused";
    const report = await fuzzModel(quantized, { runs: RUNS, seed, maxSteps: 18 });
    assert(report.passed, String(report));
    return "held";
  },
};

const bits = fc.constantFrom<Bits>(7, 8, 14, 16);

/** LSTMs and GRUs of any bits, which every executor runs alike. */
const executors: Target<LSTMCase> = {
  name: "executors",
  cases: fc.oneof(lstmCases(bits, bits), gruCases(bits, bits)),
  run(c) {
    const steps = Math.max(c.steps, 4);
    const lengths = Array.from({ length: c.batch }, (_, b) => (c.seed + 3 * b) % (steps + 1));
    const given = {
      name: JSON.stringify(c),
      c,
      embedding: "none",
      linear: 0,
      runs: [
        { steps, lengths: null, realsIn: true, realsOut: true },
        { steps, lengths, realsIn: false, realsOut: false },
      ],
    } as const;
    try {
      modelOf(c, "none", false).createSession();
    } catch (error) {
      if (error instanceof RangeError && error.message.includes("qnnpack's addition")) {
        return "refused";
      }
      throw error;
    }
    requireSame([given], { name: "by parts", kernels: byParts() }, [
      { name: "portable, fused", splitGates: false },
      { name: "portable, split", splitGates: true, maxSteps: 1 },
      { name: "portable, 3 steps at a time", maxSteps: 3 },
      { name: "portable, row by row", rowByRow: true },
      ...backends.map(([name, kernels]) => ({ name, kernels, maxSteps: 3 })),
    ]);
    return "held";
  },
};

/** Numbers for kernels: parameters, and integers in them. */
interface KernelCase {
  readonly from: Drawn;
  readonly other: Drawn;
  readonly to: Drawn;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly x: number;
  readonly weight: readonly number[];
  readonly weightScale: number;
  readonly bias: number;
}

/** Parameters, and the index of their range in `RANGES`. */
interface Drawn {
  readonly range: number;
  readonly scale: number;
  readonly zeroPoint: number;
  readonly quantMin: number;
  readonly quantMax: number;
}

const drawn = anyParameters(NARROW).map(({ range, ...q }): Drawn => ({
  ...q,
  range: RANGES.indexOf(range),
}));

/** Values of a row. */
const LENGTH = 8;

/** Kernels, which give what exact rational arithmetic gives. */
const kernels: Target<KernelCase> = {
  name: "kernels",
  cases: fc.tuple(drawn, drawn, drawn).chain(([from, other, to]) =>
    fc.record({
      from: fc.constant(from),
      other: fc.constant(other),
      to: fc.constant(to),
      a: integersOf(from, LENGTH),
      b: integersOf(other, LENGTH),
      x: fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((x) => Math.fround(x) + 0),
      weight: fc.array(fc.integer({ min: -128, max: 127 }), {
        minLength: LENGTH,
        maxLength: LENGTH,
      }),
      weightScale: fc.integer({ min: -12, max: 0 }).map((k) => Math.fround(1.3 * 2 ** k)),
      bias: fc.integer({ min: -1000, max: 1000 }).map((n) => n / 64),
    })
  ),
  run({ from, other, to, a, b, x, weight, weightScale, bias }) {
    const arrays = (q: Drawn, values: readonly number[]) => RANGES[q.range]!.make(values);
    const out = arrays(to, new Array<number>(LENGTH).fill(to.zeroPoint));
    const wide = out instanceof Int32Array;
    const qa = { data: arrays(from, a), qparams: from };
    const qb = { data: arrays(other, b), qparams: other };
    const check = (what: string, expected: readonly number[]) =>
      assertEquals([...out], [...expected], what);
    requantize(qa.data, from, out, to);
    check("requantize", a.map((q) => requantizeExactly(q, from, to, wide)));
    quantizePerTensor(new Float32Array(LENGTH).fill(x), out, to);
    check("quantize", a.map(() => quantize(x, to, wide)));
    addInt8(qa, qb, { data: out, qparams: to });
    check("add", a.map((q, i) => addQuantized(q, from, b[i]!, other, to)));
    mulInt8(qa, qb, { data: out, qparams: to });
    check("mul", a.map((q, i) => mulQuantized(q, from, b[i]!, other, to)));
    for (const engine of ["fbgemm", "qnnpack"] as const) {
      const one = out.subarray(0, 1);
      const scale = mul32(from.scale, weightScale);
      // A bias is an integer of the accumulator's step there, which an int32 holds.
      if (engine === "qnnpack" && Math.abs(bias) / scale > 2 ** 30) continue;
      linearInt8(engine, qa, {
        weight: {
          data: Int8Array.from(weight),
          outFeatures: 1,
          inFeatures: LENGTH,
          perChannel: false,
          scales: Float32Array.of(weightScale),
          zeroPoints: Int32Array.of(0),
        },
        bias: Float32Array.of(bias),
      }, { data: one, qparams: to });
      const sum = withBias(engine, false, dot(a, from.zeroPoint, weight, 0), bias, scale);
      assertEquals(one[0], linearOutput(engine, sum, scale, to, false), engine);
    }
    return "held";
  },
};

/** Every target of models and kernels. */
export const MODEL_TARGETS: readonly Target[] = [
  models,
  executors,
  kernels,
] as readonly unknown[] as readonly Target[];
