// prepare, calibrate and convert in one call.
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import {
  calibrationWarnings,
  convert,
  Embedding,
  getPreset,
  Linear,
  LSTM,
  type ModelInput,
  prepare,
  PRESET_NAMES,
  quantize,
  type QuantizeProgress,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { reportParts } from "@splitgate/splitgate/tune";
import { dynamicQConfig } from "../../src/qconfig/qconfig.ts";
import { generator } from "../../src/testing/random.ts";

const INPUT = 3;

function recurrent(seed = 0): Sequential {
  return new Sequential({
    lstm: new LSTM({ inputSize: INPUT, hiddenSize: 5, seed }),
    out: new Linear({ inFeatures: 5, outFeatures: 2, seed }),
  });
}

function tagger(): Sequential {
  return new Sequential({
    embedding: new Embedding({ numEmbeddings: 7, embeddingDim: INPUT }),
    lstm: new LSTM({ inputSize: INPUT, hiddenSize: 5, bidirectional: true }),
    out: new Linear({ inFeatures: 10, outFeatures: 2 }),
  });
}

/** Sequences of some lengths. */
function sequences(seed: number, lengths: readonly number[]): Float32Array[] {
  const random = generator(seed);
  return lengths.map((steps) => Float32Array.from({ length: steps * INPUT }, () => random(-2, 2)));
}

const reals = sequences(1, [4, 1, 9]);

async function* later<T>(items: readonly T[]): AsyncGenerator<T> {
  for (const item of items) {
    await Promise.resolve();
    yield item;
  }
}

Deno.test("quantize() gives the model that prepare, forward of each entry and convert give, in every form of data", async () => {
  let ran = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...PRESET_NAMES),
      fc.boolean(),
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
      fc.constantFrom("sequences", "tensors", "iterable", "async"),
      async (preset, splitGates, words, lengths, form) => {
        ran++;
        const model = words ? tagger() : recurrent();
        const ids = lengths.map((steps, s) =>
          Int32Array.from({ length: steps }, (_, i) => (i * s) % 7)
        );
        const each = words ? ids : sequences(3, lengths);
        const inputs = each.map((data) =>
          data instanceof Int32Array
            ? tokens(data, [data.length])
            : tensor(data as Float32Array, [data.length / INPUT, INPUT])
        );
        const data = {
          sequences: each,
          tensors: inputs,
          iterable: new Set<ModelInput>(inputs),
          async: later<ModelInput>(each),
        }[form] as ModelInput[];
        const { model: quantized, observed } = await quantize(model, data, { preset, splitGates });
        const expected = prepare(model, getPreset(preset), { splitGates });
        for (const x of inputs) expected.forward(x);
        assertEquals(saveModel(quantized), saveModel(convert(expected)));
        assertEquals(saveModel(convert(observed)), saveModel(quantized));
      },
    ),
    { numRuns: 40 },
  );
  assertEquals(ran, 40);
});

Deno.test("prepare() and quantize() take the recommended preset by default", async () => {
  const model = recurrent();
  const observed = prepare(model);
  for (const data of reals) observed.forward(tensor(data, [data.length / INPUT, INPUT]));
  const accurate = await quantize(model, reals, { preset: "accurate" });
  assertEquals(saveModel(convert(observed)), saveModel(accurate.model));
  assertEquals(saveModel((await quantize(model, reals)).model), saveModel(accurate.model));
});

Deno.test("quantize() takes batches with lengths, and a QConfig in place of a preset", async () => {
  const model = recurrent();
  const x = tensor(sequences(5, [8])[0]!, [4, 2, INPUT]);
  const qconfig = getPreset("qnnpack");
  const { model: quantized } = await quantize(model, [{ x, lengths: [4, 2] }], { qconfig });
  const expected = prepare(model, qconfig);
  expected.forward(x, { lengths: [4, 2] });
  assertEquals(saveModel(quantized), saveModel(convert(expected)));
});

Deno.test("onProgress counts every entry and every unit of the conversion up to the totals it gives", async () => {
  for (const preset of ["accurate", "fbgemm"]) {
    for (
      const [model, data] of [[recurrent(), reals], [tagger(), [Int32Array.of(1, 2, 3)]]] as const
    ) {
      const seen: QuantizeProgress[] = [];
      const onProgress = (progress: QuantizeProgress) => {
        seen.push(progress);
      };
      await quantize(model, data as ModelInput[], { preset, onProgress });
      const counts = (stage: string) => seen.filter((each) => each.stage === stage);
      const [calibrated, converted] = [counts("calibrate"), counts("convert")];
      assertEquals(seen, [...calibrated, ...converted]);
      assertEquals(
        calibrated,
        Array.from({ length: data.length + 1 }, (_, done) => (
          { stage: "calibrate" as const, done, total: data.length }
        )),
      );
      const { total } = converted[0]!;
      assertEquals(
        converted.map(({ done }) => done),
        Array.from({ length: total! + 1 }, (_, i) => i),
      );
      assert(converted.every((each) => each.total === total));
    }
  }
  const totals: unknown[] = [];
  await quantize(recurrent(), later(reals), {
    onProgress: ({ stage, total }) => stage === "calibrate" && totals.push(total),
  });
  assertEquals(totals, Array(4).fill(undefined));
});

Deno.test("quantize() lets timers run meanwhile, and an aborted signal ends it with its reason", async () => {
  const model = new Sequential({
    lstm: new LSTM({ inputSize: INPUT, hiddenSize: 48 }),
    out: new Linear({ inFeatures: 48, outFeatures: 2 }),
  });
  const data = sequences(2, Array(60).fill(40));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  let done = 0;
  try {
    await quantize(model, data, { onProgress: (progress) => done = progress.done });
  } finally {
    clearInterval(timer);
  }
  assert(ticks >= 2, `${ticks} ticks`);
  assert(done > data.length);
  const controller = new AbortController();
  let calls = 0;
  const call = quantize(model, data, {
    signal: controller.signal,
    onProgress() {
      if (++calls === 5) controller.abort(new Error("enough"));
    },
  });
  await assertRejects(() => call, Error, "enough");
  assertEquals(calls, 5);
  const aborted = quantize(model, data, { signal: AbortSignal.abort(new Error("before")) });
  await assertRejects(() => aborted, Error, "before");
});

Deno.test("quantize() names the entry that does not fit, and what is wrong with its arguments", async () => {
  const model = recurrent();
  const failing: [unknown, object, typeof RangeError | typeof TypeError, string][] = [
    [[], {}, RangeError, "data: expected one input or more, got"],
    [[...reals, Float32Array.of(1, 2)], {}, RangeError, "data[3]: x.length: expected a multiple"],
    [[reals[0], tensor([1, 2], [1, 2])], {}, RangeError, "data[1]: x.shape: expected"],
    [
      [reals[0], Float32Array.of(1, NaN, 2)],
      {},
      RangeError,
      "data[1]: x.data[1]: expected a finite",
    ],
    [[Int32Array.of(1)], {}, TypeError, "data[0]: x: expected values of 3 a step"],
    [
      [{ x: tensor([1, 2, 3], [1, 3]), length: [1] }],
      {},
      TypeError,
      "x: expected no options but x, lengths",
    ],
    [[null], {}, TypeError, "data[0]: x: expected a tensor"],
    [reals[0], {}, TypeError, "data: expected an array or iterable of inputs"],
    [tensor([1, 2, 3], [1, 3]), {}, TypeError, "write [input]"],
    [undefined, {}, TypeError, "data: expected an array or iterable of inputs"],
    [reals, { preset: "acurate" }, RangeError, "name: expected fbgemm"],
    [
      reals,
      { preset: "accurate", qconfig: getPreset("x86") },
      TypeError,
      "options: expected a preset or a qconfig, got",
    ],
    [reals, { onProgress: 1 }, TypeError, "options.onProgress"],
    [reals, { signal: {} }, TypeError, "options.signal"],
    [reals, { epochs: 2 }, TypeError, "epochs"],
  ];
  for (const [data, options, Kind, message] of failing) {
    const error = await assertRejects(() => quantize(model, data as ModelInput[], options), Kind);
    assertStringIncludes((error as Error).message, message);
  }
  const words = quantize(tagger(), [Float32Array.of(1)]);
  await assertRejects(() => words, TypeError, "data[0]: x: expected token ids, in an Int32Array");
  const dynamic = await quantize(model, [], { qconfig: dynamicQConfig });
  assertEquals(dynamic.model.outputSize, 2);
});

/** Problems by name. */
async function problems(data: readonly ModelInput[], preset: string, model = recurrent()) {
  const { warnings, observed } = await quantize(model, data, { preset });
  assertEquals(warnings, calibrationWarnings(observed));
  assertEquals(reportParts(observed, data).warnings, warnings);
  for (const { name, message } of warnings) assertStringIncludes(message, `${name}: `);
  return new Map(warnings.map(({ name, problem }) => [name, problem]));
}

Deno.test("calibration data of zeros, of one constant, or with one huge value gives warnings under every preset", async () => {
  for (const preset of PRESET_NAMES) {
    const ordinary = sequences(7, [20, 30]);
    assertEquals(await problems(ordinary, preset), new Map(), preset);
    assertEquals((await problems([new Float32Array(30)], preset)).get("input"), "zeros");
    assertEquals(
      (await problems([new Float32Array(30).fill(0.5)], preset)).get("input"),
      "constant",
    );
    const huge = ordinary.map((each) => each.slice());
    huge[1]![7] = 1e6;
    assertEquals((await problems(huge, preset)).get("input"), "outlier", preset);
  }
  const same = await problems([new Int32Array(9).fill(3)], "accurate", tagger());
  assertEquals(same.get("input"), "constant");
  const varied = [Int32Array.from({ length: 30 }, (_, i) => i * i % 7)];
  assertEquals(await problems(varied, "accurate", tagger()), new Map());
});

Deno.test("a part whose values one large one spreads beyond its integers is named, with what to do", async () => {
  // A cell state that only grows by what comes in: no function bounds it.
  const lstm = new LSTM({ inputSize: INPUT, hiddenSize: 5, activation: "linear" });
  const data = sequences(8, Array(20).fill(30));
  data[4]!.fill(3e7, 29 * INPUT); // the last step of one sequence
  const { warnings } = await quantize(lstm, data);
  const cell = warnings.find(({ name }) => name === "lstm.l0.fgate_cx_igate_cgate");
  assertEquals(cell?.problem, "outlier");
  assertStringIncludes(cell!.message, "less than one step between integers");
  assertStringIncludes(cell!.message, "clip");
  const text = reportParts(prepareOn(lstm, data), data).toTable();
  assertStringIncludes(text, `warning: ${cell!.message}`);
});

function prepareOn(model: LSTM, data: readonly Float32Array[]) {
  const observed = prepare(model);
  for (const each of data) observed.forward(tensor(each, [each.length / INPUT, INPUT]));
  return observed;
}

Deno.test("padding says nothing of the input", async () => {
  const x = tensor(Float32Array.of(1, 2, 3, 9e9, 9e9, 9e9, 0.5, 1, -1), [3, 1, INPUT]);
  const padded = tensor([...x.data.slice(0, 3), ...x.data.slice(6), 9e9, 9e9, 9e9], [3, 1, INPUT]);
  const { warnings } = await quantize(recurrent(), [{ x: padded, lengths: [2] }]);
  assertEquals(warnings, []);
});
