/**
 * Models and kernels: every executor against every other, and against exact rules.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  convert,
  Graph,
  PRESET_NAMES,
  type QuantizedModel,
  Sequential,
} from "@splitgate/splitgate";
import {
  type Bits,
  DRAWN_KINDS,
  fuzzModel,
  type GraphCase,
  graphCases,
  graphOf,
  modelOfKind,
  type ModuleSizes,
  moduleSizes,
  observedGraph,
  trials,
  type WeightStyle,
  weightStyles,
  withinErrorOfFloat,
} from "@splitgate/splitgate/testing";
import { rewriteFloat } from "../../src/authoring/rewrites.ts";
import { flatten } from "../../src/modules/graph.ts";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import { calibrationOf, quantizedOf } from "../../src/testing/arbitraries.ts";
import {
  type ExecutorCase,
  executorCases,
  gruExecutorCases,
} from "../../src/testing/executor_cases.ts";
import { gruCases, type LSTMCase, lstmCases } from "../../src/testing/quantized_lstms.ts";
import { modelOf } from "../../src/testing/quantized_models.ts";
import { KERNEL_PROPERTIES } from "../kernels/properties.ts";
import { requireSame } from "../authoring/executors.ts";
import { backends } from "../simd/backends.ts";
import type { Backend } from "../../src/runtime/kind.ts";
import { keepCalls } from "./calls.ts";
import type { Outcome, Target } from "./target.ts";

/** A model of a kind, and what its trials follow from. */
interface ModelCase {
  readonly kind: string;
  readonly preset: string;
  readonly sizes: ModuleSizes;
  readonly style: WeightStyle;
  readonly seed: number;
}

/** Trials of each invariant of a model. */
const RUNS = 40;

/** Most steps of a trial: just above what sessions run at a time. */
const MAX_STEPS = 18;

/** Holds a model to every invariant that needs nothing else, and counts the trials of each. */
async function keepInvariants(
  model: QuantizedModel,
  seed: number,
): Promise<Record<string, number>> {
  const report = await fuzzModel(model, { runs: RUNS, seed, maxSteps: MAX_STEPS });
  assert(report.passed, String(report));
  await keepCalls(model, seed, MAX_STEPS);
  return Object.fromEntries(
    report.results.filter(({ name }) => name !== "withinErrorOfFloat")
      .map((each) => [each.name, each.status === "held" ? each.runs : 0]),
  );
}

/** Models of every kind, which keep every invariant. */
const models: Target<ModelCase> = {
  name: "models",
  cases: fc.record({
    // Only those with gates run by parts, and in more than one way.
    kind: fc.oneof(fc.constantFrom(...DRAWN_KINDS), fc.constantFrom("LSTM", "GRU")),
    preset: fc.constantFrom(...PRESET_NAMES, "dynamic"),
    sizes: moduleSizes,
    style: weightStyles,
    seed: fc.nat(2 ** 31 - 1),
  }),
  async run({ kind, preset, sizes, style, seed }) {
    const model = modelOfKind(kind, sizes, style);
    const quantized = quantizedOf({ kind, sizes, model }, preset);
    if (quantized === null) return { outcome: "refused", counts: {} };
    return { outcome: "held", counts: await keepInvariants(quantized, seed) };
  },
};

/**
 * Kinds whose values stay in the range that was calibrated on any stretch of the same data, with the
 * largest error that is allowed, as a share of the span of the float model's outputs.
 */
const MAX_ERRORS: ReadonlyMap<string, number> = new Map([
  ...[
    ...["Add", "AvgPool1d", "BatchNorm1d", "Concat", "Dropout", "Embedding", "Flatten"],
    ...["HardSigmoid", "Identity", "LeakyReLU", "Linear", "LogSoftmax", "MaxPool1d", "ReLU"],
    ...["Sigmoid", "Tanh", "ZeroPad1d"],
  ].map((kind) => [kind, 0.05] as const),
  // Its output has a fixed scale, which is coarse where all are about the same.
  ["Softmax", 0.2],
]);

/** Quantized models beside their float ones, on stretches of what they were calibrated with. */
const errors: Target<Omit<ModelCase, "style">> = {
  name: "errors",
  cases: fc.record({
    kind: fc.constantFrom(...MAX_ERRORS.keys()),
    preset: fc.constantFrom(...PRESET_NAMES, "dynamic"),
    sizes: moduleSizes,
    seed: fc.nat(2 ** 31 - 1),
  }),
  run({ kind, preset, sizes, seed }): Outcome {
    const float = modelOfKind(kind, sizes);
    const model = quantizedOf({ kind, sizes, model: float }, preset);
    if (model === null) return { outcome: "refused", counts: {} };
    const data = calibrationOf(sizes, model);
    const graph = float instanceof Graph ? float : new Sequential({ model: float });
    const values = [...graph.run(data).values()].flatMap((out) => [...out.data]);
    const span = Math.max(0, ...values) - Math.min(0, ...values);
    const maxError = MAX_ERRORS.get(kind)! * span;
    const stretches = trials(model, { inputs: [data], maxSteps: MAX_STEPS })
      .filter((trial) => trial.values === "own");
    for (const trial of fc.sample(stretches, { numRuns: RUNS, seed })) {
      const verdict = withinErrorOfFloat(model, trial, { float, maxError });
      assertEquals(verdict.status, "held", JSON.stringify(verdict));
    }
    return { outcome: "held", counts: { withinErrorOfFloat: RUNS } };
  },
};

/** Graphs of modules of many kinds, which keep every invariant. */
const graphs: Target<GraphCase> = {
  name: "graphs",
  cases: graphCases,
  async run(c) {
    const float = graphOf(c);
    let model: QuantizedModel;
    try {
      model = convert(observedGraph(c, float, [...rewriteFloat(flatten(float)).modules.keys()]));
      model.createSession();
    } catch (error) {
      // What an engine or a preset cannot run is refused by name.
      if (error instanceof RangeError && /: expected [^]+, got /.test(error.message)) {
        return { outcome: "refused", counts: {} };
      }
      throw error;
    }
    return { outcome: "held", counts: await keepInvariants(model, c.seed % 2 ** 31) };
  },
};

/** Bits of a cell's parts: seldom more than SIMD takes. */
const bits = fc.oneof(
  { arbitrary: fc.constantFrom<Bits>(7, 8, 14, 16), weight: 20 },
  { arbitrary: fc.constant<Bits>(32), weight: 1 },
);

/** An LSTM or a GRU with what is around it, or one at sizes at which something changes. */
type ExecutorsCase = {
  readonly c: LSTMCase;
  readonly embedding: ExecutorCase["embedding"];
  readonly linear: number;
} | { readonly gru: boolean; readonly index: number; readonly seed: number };

/** What is drawn around sizes, once it is needed. */
let sized: { readonly lstm: readonly ExecutorCase[]; readonly gru: readonly ExecutorCase[] };

/** A case with its runs. */
function executorCaseOf(one: ExecutorsCase): ExecutorCase {
  if ("index" in one) {
    sized ??= { lstm: executorCases(), gru: gruExecutorCases() };
    const cases = one.gru ? sized.gru : sized.lstm;
    const found = cases[one.index % cases.length]!;
    return { ...found, c: { ...found.c, seed: one.seed } };
  }
  const { c } = one;
  const steps = Math.max(c.steps, 4);
  const lengths = Array.from({ length: c.batch }, (_, b) => (c.seed + 3 * b) % (steps + 1));
  return {
    ...one,
    name: JSON.stringify(one),
    runs: [
      { steps, lengths: null, realsIn: true, realsOut: true },
      { steps, lengths, realsIn: false, realsOut: false },
    ],
  };
}

/** LSTMs and GRUs of any bits, for which all executors return the same bytes. */
const executors: Target<ExecutorsCase> = {
  name: "executors",
  cases: fc.oneof(
    fc.record({
      c: fc.oneof(lstmCases(bits, bits), gruCases(bits, bits)),
      embedding: fc.constantFrom("none", "none", "none", "8", "16", "float"),
      linear: fc.constantFrom(0, 0, 1, 5),
    }),
    fc.record({ gru: fc.boolean(), index: fc.nat(999), seed: fc.nat() }),
  ),
  run(one) {
    const given = executorCaseOf(one);
    try {
      modelOf(given.c, given.embedding, given.linear > 0, given.linear).createSession();
    } catch (error) {
      // A Linear that reads a hidden state of 32 bits has no fast step, and sessions have no other.
      const refusals = ["qnnpack's addition", "out.input: expected parameters of at most 24 bits"];
      if (error instanceof RangeError && refusals.some((text) => error.message.includes(text))) {
        return { outcome: "refused" };
      }
      throw error;
    }
    // Programs hold no parts of more bits than the fast step takes.
    const { bits, input } = given.c;
    const compiles = [...bits, input].every((each) => each <= 16);
    const compiled = (name: string, kernels?: Backend) =>
      compiles ? [{ name: `${name}, compiled`, kernels, compiled: true }] : [];
    requireSame([given], { name: "by parts", kernels: byParts() }, [
      { name: "portable, fused", splitGates: false },
      { name: "portable, split", splitGates: true, maxSteps: 1 },
      { name: "portable, 3 steps at a time", maxSteps: 3 },
      { name: "portable, row by row", rowByRow: true },
      ...compiled("portable"),
      ...backends.flatMap(([name, kernels]) => [
        { name, kernels, maxSteps: 3 },
        { name: `${name}, split`, kernels, splitGates: true },
        ...compiled(name, kernels),
      ]),
    ]);
    return { outcome: "held" };
  },
};

/** A property of kernels, and what its random cases follow from. */
interface KernelCase {
  readonly property: string;
  readonly seed: number;
}

/** Random cases of a property at a time. */
const TOGETHER = 20;

/** Kernels, which have the properties that their tests hold them to. */
const kernels: Target<KernelCase> = {
  name: "kernels",
  cases: fc.record({
    property: fc.constantFrom(...KERNEL_PROPERTIES.map(({ name }) => name)),
    seed: fc.noShrink(fc.integer({ min: 0, max: 2 ** 31 - 1 })),
  }),
  run({ property, seed }) {
    const found = KERNEL_PROPERTIES.find(({ name }) => name === property);
    if (found === undefined) throw new RangeError(`no property of kernels is called ${property}`);
    // Its error names the shrunk case.
    found.check({ numRuns: TOGETHER, seed });
    return { outcome: "held", counts: { kernelsAreExact: TOGETHER } };
  },
};

/** Every target of models and kernels. */
export const MODEL_TARGETS: readonly Target[] = [
  models,
  graphs,
  errors,
  executors,
  kernels,
] as readonly unknown[] as readonly Target[];
