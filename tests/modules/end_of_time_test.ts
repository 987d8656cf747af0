// Ends of time in float and observed models.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  Concat,
  convert,
  FinalHidden,
  FirstStep,
  Generator,
  getPreset,
  Graph,
  LastStep,
  Linear,
  LSTM,
  MaxOverTime,
  MeanOverTime,
  prepare,
  quantizeDynamic,
  saveModel,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import type { EndOfTime } from "@splitgate/splitgate/modules";
import { tune } from "@splitgate/splitgate/tune";
import { loadModel } from "../../src/io/model_file.ts";
import { KINDS } from "../../src/modules/kinds.ts";
import { readTree, writeTree } from "../io/tree.ts";
import { random, seeds } from "../../src/testing/float_lstms.ts";

interface Options {
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
}

const ENDS: Readonly<Record<string, (options: Options) => EndOfTime>> = {
  LastStep: ({ batchFirst }) => new LastStep({ batchFirst }),
  FirstStep: ({ batchFirst }) => new FirstStep({ batchFirst }),
  MeanOverTime: ({ batchFirst }) => new MeanOverTime({ batchFirst }),
  MaxOverTime: ({ batchFirst }) => new MaxOverTime({ batchFirst }),
  FinalHidden: (options) => new FinalHidden(options),
};

/** What a kind makes of one feature's values, one a step. */
function endOf(kind: string, values: readonly number[], backward: boolean): number {
  if (kind === "FirstStep" || backward) return values[0]!;
  if (kind === "MaxOverTime") return Math.max(...values);
  if (kind !== "MeanOverTime") return values.at(-1)!;
  return Math.fround(values.reduce((sum, value) => sum + value, 0) / values.length);
}

const sequences = fc.record({
  steps: fc.constantFrom(1, 2, 7),
  batch: fc.constantFrom(1, 2, 3),
  features: fc.constantFrom(2, 4, 6),
  batchFirst: fc.boolean(),
  bidirectional: fc.boolean(),
  batched: fc.boolean(),
  full: fc.boolean(),
  seed: seeds,
});

Deno.test("ends of time of float sequences equal plain loops over each row's own steps, in any layout", () => {
  assertEquals(
    Object.keys(ENDS).toSorted(),
    // Flatten ends time too, of sequences that all have the same steps.
    KINDS.filter(({ name, time }) => time === "end" && name !== "Flatten")
      .map(({ name }) => name).toSorted(),
  );
  fc.assert(fc.property(sequences, (c) => {
    const { steps, features, batchFirst, bidirectional, batched } = c;
    const batch = batched ? c.batch : 1;
    const generator = new Generator(c.seed);
    const outer = !batched ? [steps] : batchFirst ? [batch, steps] : [steps, batch];
    const x = random(generator, [...outer, features]);
    const lengths = Array.from({ length: batch }, (_, b) => 1 + (c.seed + b) % steps);
    for (const [kind, make] of Object.entries(ENDS)) {
      const y = make({ batchFirst, bidirectional }).forward(x, c.full ? {} : { lengths });
      assertEquals(y.shape, batched ? [batch, features] : [features]);
      const want = Array.from({ length: batch * features }, (_, i) => {
        const b = Math.floor(i / features);
        const k = i % features;
        const values = Array.from({ length: c.full ? steps : lengths[b]! }, (_, t) => {
          const row = batched && batchFirst ? b * steps + t : t * batch + b;
          return x.data[row * features + k]!;
        });
        const backward = kind === "FinalHidden" && bidirectional && k >= features / 2;
        return endOf(kind, values, backward);
      });
      assertEquals([...y.data], want, kind);
    }
  }));
});

Deno.test("FinalHidden gives an LSTM's h_n, both directions side by side", () => {
  fc.assert(fc.property(sequences, fc.integer({ min: 1, max: 2 }), (c, numLayers) => {
    const { batchFirst, bidirectional, steps, batch, seed } = c;
    const lstm = new LSTM({
      inputSize: 2,
      hiddenSize: 3,
      numLayers,
      batchFirst,
      bidirectional,
      seed,
    });
    const model = new Sequential({ lstm, head: new FinalHidden({ batchFirst, bidirectional }) });
    const x = random(new Generator(seed), [...batchFirst ? [batch, steps] : [steps, batch], 2]);
    const lengths = Array.from({ length: batch }, (_, b) => 1 + (seed + b) % steps);
    const [, [h]] = lstm.forward(x, undefined, { lengths });
    const y = model.forward(x, { lengths });
    const directions = bidirectional ? 2 : 1;
    for (let b = 0; b < batch; b++) {
      for (let d = 0; d < directions; d++) {
        const at = (((numLayers - 1) * directions + d) * batch + b) * 3;
        const own = (b * directions + d) * 3;
        assertEquals(y.data.subarray(own, own + 3), h.data.subarray(at, at + 3));
      }
    }
  }));
});

/** LSTM -> every end -> Concat -> Linear. */
function pooled(batchFirst: boolean, bidirectional: boolean): Graph {
  const width = bidirectional ? 6 : 3;
  const ends = Object.entries(ENDS).map(([kind, make]) =>
    [kind, { module: make({ batchFirst, bidirectional }), inputs: "lstm" }] as const
  );
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, batchFirst, bidirectional });
  return new Graph({
    lstm: { module: lstm },
    ...Object.fromEntries(ends),
    joined: { module: new Concat(), inputs: Object.keys(ENDS) },
    head: { module: new Linear({ inFeatures: 5 * width, outFeatures: 4 }) },
  });
}

Deno.test("observed models with ends give the float model's bits, and their integers are near", () => {
  for (const preset of ["fbgemm", "qnnpack", "accurate"]) {
    for (const batchFirst of [false, true]) {
      for (const bidirectional of [false, true]) {
        const model = pooled(batchFirst, bidirectional);
        const observed = prepare(model, getPreset(preset));
        const x = random(new Generator(1), [...batchFirst ? [3, 5] : [5, 3], 2]);
        const lengths = [5, 1, 3];
        const y = model.forward(x, { lengths });
        assertEquals(observed.forward(x, { lengths }), y);
        const quantized = convert(observed);
        for (const made of [quantized, quantizeDynamic(model)]) {
          const output = new Float32Array(12);
          made.createSession({ batch: 3 }).run(x.data, output, lengths);
          const error = output.reduce((max, v, i) => Math.max(max, Math.abs(v - y.data[i]!)), 0);
          assert(error < 0.08, `${preset} ${error}`);
        }
        assertEquals(saveModel(loadModel(saveModel(quantized))), saveModel(quantized));
      }
    }
  }
});

Deno.test("tune() measures models with one row for a sequence", () => {
  const model = new Sequential({
    lstm: new LSTM({ inputSize: 2, hiddenSize: 3, batchFirst: true }),
    pool: new MeanOverTime({ batchFirst: true }),
    head: new Linear({ inFeatures: 3, outFeatures: 2 }),
  });
  const x = random(new Generator(2), [3, 20, 2]);
  const { outputSqnr, model: tuned } = tune(model, [{ x, lengths: [20, 3, 9] }], { budget: 30 });
  assert(outputSqnr >= 30);
  assertEquals(tuned.outputs[0]!.time, false);
});

Deno.test("graphs refuse what stands wrong around ends of time, and name it", () => {
  const lstm = () => new LSTM({ inputSize: 2, hiddenSize: 3 });
  const refused = (children: ConstructorParameters<typeof Graph>[0], message: string) =>
    assertThrows(() => new Graph(children), RangeError, message);
  refused({
    lstm: { module: lstm() },
    first: { module: new LastStep() },
    second: { module: new MeanOverTime() },
  }, "children.second: expected an input with a row for each step, got");
  refused({
    lstm: { module: lstm() },
    last: { module: new LastStep() },
    again: { module: new LSTM({ inputSize: 3, hiddenSize: 3 }) },
  }, "children.again: expected an input with a row for each step, got");
  refused({
    lstm: { module: lstm() },
    last: { module: new LastStep() },
    both: { module: new Concat(), inputs: ["lstm", "last"] },
  }, "children.both: expected inputs that all have a row for each step, or all one");
  refused({
    linear: { module: new Linear({ inFeatures: 2, outFeatures: 2 }) },
    head: { module: new FinalHidden() },
  }, "children.head: expected the output of a recurrent module, whose final hidden state it reads");
  refused({
    head: { module: new FinalHidden() },
    linear: { module: new Linear({ inFeatures: 2, outFeatures: 2 }) },
  }, "children.head: expected the output of a recurrent module");
  refused({
    lstm: { module: lstm() },
    head: { module: new FinalHidden({ bidirectional: true }) },
  }, "children.head.bidirectional: expected false, as of lstm");
  assertThrows(
    () =>
      prepare(
        new Sequential({ lstm: lstm(), pool: new MaxOverTime({ batchFirst: true }) }),
        getPreset("fbgemm"),
      ),
    RangeError,
    "pool.batchFirst: expected false, as that of lstm, got true",
  );
});

Deno.test("ends of time refuse bad options, shapes and lengths", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new LastStep(options);
  assertThrows(bad({ bidirectional: true }), TypeError, 'got "bidirectional"');
  assertThrows(bad({ batchFirst: 1 }), TypeError, "batchFirst");
  assertThrows(bad(null), TypeError, "options");
  const pool = new MeanOverTime();
  const x = tensor([1, 2, 3, 4], [2, 1, 2]);
  const refused = (call: () => unknown, message: string) => assertThrows(call, RangeError, message);
  refused(() => pool.forward(tensor([1], [1])), "x.shape: expected [steps, batch, features]");
  refused(() => pool.forward(x, { lengths: [0] }), "lengths[0]: expected an integer in 1..2");
  refused(() => pool.forward(x, { lengths: [1, 1] }), "lengths: expected 1 integers");
  refused(() => pool.forward(tensor([NaN], [1, 1, 1])), "x.data[0]");
  refused(
    () => new FinalHidden({ bidirectional: true }).forward(tensor([1, 2, 3], [1, 1, 3])),
    "x.shape: expected an even number of features",
  );
});

Deno.test("loadModel() refuses ends and joins that no model has, and names what is wrong", () => {
  const observed = prepare(pooled(false, false), getPreset("qnnpack"));
  observed.forward(random(new Generator(3), [4, 2, 2]));
  const { tensors, tree } = readTree(saveModel(convert(observed)));
  // deno-lint-ignore no-explicit-any -- changed at will
  const changed = (change: (module: any, json: any) => void, name: string) => {
    const json = structuredClone(tree);
    change(json.modules.find((each: { name: string }) => each.name === name), json);
    return () => loadModel(writeTree(tensors, json));
  };
  const refused = (call: () => unknown, message: string) => assertThrows(call, RangeError, message);
  refused(changed((end) => end.size = 0, "LastStep"), "LastStep.size: expected an integer in 1..");
  refused(changed((end) => end.size = 4, "LastStep"), "LastStep: expected an input of width 3");
  refused(changed((end) => end.qparams = 99, "MaxOverTime"), "MaxOverTime.qparams");
  refused(changed((end) => end.reads = ["input"], "FinalHidden"), "modules.FinalHidden: expected");
  refused(
    changed((end) => end.bidirectional = true, "FinalHidden"),
    "FinalHidden.size: expected an even number",
  );
  refused(changed((end) => end.batchFirst = true, "FirstStep"), "FirstStep.batchFirst: expected");
  refused(changed((join) => join.inputs.pop(), "joined"), "joined");
  refused(changed((join) => join.inputs[0][0] = 1.5, "joined"), "joined.inputs[0]");
  refused(
    changed((join, { qparams }) => join.output = qparams.push(null) - 1, "joined"),
    "joined.inputs[0]: expected float32, as the output has",
  );
});
