// What a report measures, against plain loops over both models.
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import {
  Embedding,
  LastStep,
  Linear,
  LSTM,
  type ModelInput,
  quantize,
  saveFloatModel,
  saveModel,
  Sequential,
  Sigmoid,
  tensor,
} from "@splitgate/splitgate";
import { reportParts } from "@splitgate/splitgate/tune";
import { measureReport, type ReportProgress } from "@splitgate/splitgate/report";
import { adviceOf } from "../../src/report/advice.ts";
import { dynamicQConfig } from "../../src/qconfig/qconfig.ts";
import { generator } from "../../src/testing/random.ts";

const INPUT = 3;
const CLASSES = 4;

function tagger(batchFirst: boolean): Sequential {
  return new Sequential({
    lstm: new LSTM({ inputSize: INPUT, hiddenSize: 5, batchFirst, seed: 1 }),
    out: new Linear({ inFeatures: 5, outFeatures: CLASSES, seed: 2 }),
  });
}

/** Real-valued sequences of these lengths. */
function sequences(seed: number, lengths: readonly number[]): Float32Array[] {
  const random = generator(seed);
  return lengths.map((steps) => Float32Array.from({ length: steps * INPUT }, () => random(-2, 2)));
}

const calibration = sequences(1, [9, 4, 12]);

const largest = (row: readonly number[]) => row.indexOf(Math.max(...row));

Deno.test("results beside float, labels and the error by step are those of a loop over sequences, however these are batched", async () => {
  let ran = 0;
  const results = new Map(
    await Promise.all([false, true].map(async (batchFirst) => {
      const model = tagger(batchFirst);
      return [
        batchFirst,
        { model, result: await quantize(model, calibration, { preset: "fbgemm" }) },
      ] as const;
    })),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      fc.integer({ min: 0, max: 1000 }),
      async (batchFirst, lengths, together, seed) => {
        ran++;
        const { model, result } = results.get(batchFirst)!;
        const each = sequences(seed, lengths);
        const random = generator(seed + 1);
        const labels = lengths.map((steps) =>
          Array.from({ length: steps }, () => Math.floor(random(-1, CLASSES)))
        );
        const batch = lengths.length;
        const longest = Math.max(...lengths);
        const row = (b: number, t: number) => batchFirst ? b * longest + t : t * batch + b;
        const x = new Float32Array(batch * longest * INPUT);
        const padded = new Array<number>(batch * longest).fill(-1);
        each.forEach((values, b) => {
          for (let t = 0; t < lengths[b]!; t++) {
            x.set(values.subarray(t * INPUT, (t + 1) * INPUT), row(b, t) * INPUT);
            padded[row(b, t)] = labels[b]![t]!;
          }
        });
        const shape = batchFirst ? [batch, longest, INPUT] : [longest, batch, INPUT];
        const data: ModelInput[] = together ? [{ x: tensor(x, shape), lengths }] : each;
        const report = await measureReport(model, result, data, {
          labels: together ? [padded] : labels,
          speed: false,
          partSteps: 1,
        });

        const errors: { step: number; noise: number; signal: number }[] = [];
        let [same, right, right8, labelled] = [0, 0, 0, 0];
        each.forEach((values, b) => {
          const steps = lengths[b]!;
          const own = batchFirst ? [1, steps, INPUT] : [steps, 1, INPUT];
          const exact = [...model.forward(tensor(values, own)).data];
          const got = new Float32Array(steps * CLASSES);
          result.model.createSession().run(values, got);
          for (let t = 0; t < steps; t++) {
            const a = exact.slice(t * CLASSES, (t + 1) * CLASSES);
            const c = [...got.subarray(t * CLASSES, (t + 1) * CLASSES)];
            const label = labels[b]![t]!;
            if (largest(a) === largest(c)) same++;
            if (label >= 0) {
              labelled++;
              if (largest(a) === label) right++;
              if (largest(c) === label) right8++;
            }
            a.forEach((value, i) =>
              errors.push({ step: t, noise: (value - c[i]!) ** 2, signal: value ** 2 })
            );
          }
        });
        const rows = errors.length / CLASSES;
        const sum = (of: "noise" | "signal", some = errors) =>
          some.reduce((total, each) => total + each[of], 0);
        const [output] = report.outputs;
        assertEquals([report.sequences, report.steps, output!.rows], [batch, rows, rows]);
        assertAlmostEquals(output!.sqnr as number, 10 * Math.log10(sum("signal") / sum("noise")));
        assertAlmostEquals(output!.sameLargest!, same / rows);
        assertAlmostEquals(output!.maxError, Math.sqrt(Math.max(...errors.map((e) => e.noise))));
        if (labelled === 0) assertEquals(output!.labels, null);
        else {
          const { metric, labels: count, float, int8 } = output!.labels!;
          assertEquals([metric, count], ["accuracy", labelled]);
          assertAlmostEquals(float, right / labelled);
          assertAlmostEquals(int8, right8 / labelled);
        }
        // The number of steps per point is a power of two, so that there are at most 128 points.
        const { stepsTogether, steps } = output!;
        assertEquals(stepsTogether, longest <= 128 ? 1 : longest <= 256 ? 2 : 4);
        assertEquals(steps.length, Math.ceil(longest / stepsTogether));
        steps.forEach(({ step, rows, error, signal }, i) => {
          assertEquals(step, i * stepsTogether);
          const own = errors.filter((each) => Math.floor(each.step / stepsTogether) === i);
          assertEquals(rows, own.length / CLASSES);
          assertAlmostEquals(error, Math.sqrt(sum("noise", own) / own.length));
          assertAlmostEquals(signal, Math.sqrt(sum("signal", own) / own.length));
        });
      },
    ),
    { numRuns: 30 },
  );
  assert(ran >= 30);
});

Deno.test("parts are those of reportParts on the first sequences, their histograms hold every value, and JSON carries all", async () => {
  const model = tagger(false);
  for (const preset of ["fbgemm", "accurate"] as const) {
    const result = await quantize(model, calibration, {
      preset,
      splitGates: preset === "accurate",
    });
    // Values far beyond those of calibration saturate.
    const data = [...sequences(5, [7, 5]).map((x) => x.map((v) => 4 * v)), ...sequences(6, [50])];
    const report = await measureReport(model, result, data, { speed: false, partSteps: 8 });
    const measured = report.parts!;
    assertEquals([measured.sequences, measured.steps], [2, 12]);
    const { parts } = reportParts(result.observed, data.slice(0, 2));
    assertEquals(measured.parts.length, parts.length);
    let saturated = 0;
    measured.parts.forEach((part, i) => {
      const { sqnr: _sqnr, sqnrInModel: _inModel, flatBeyond: _flat, ...rest } = part;
      const { sqnr: _exact, sqnrInModel: _exactInModel, ...expected } = parts[i]!;
      assertEquals(rest, expected);
      const { start, width, counts } = part.histogram;
      assertEquals(counts.reduce((a, b) => a + b), part.values, part.name);
      assertEquals(part.rows, 12, part.name);
      assert(start <= part.min && part.max < start + width * counts.length, part.name);
      assert(part.saturatedRows <= part.rows && part.saturatedRows <= part.saturated, part.name);
      saturated += part.saturatedRows;
    });
    assert(preset === "accurate" || saturated > 0);
    assertEquals(JSON.parse(JSON.stringify(report)), report);
    assertEquals(report.graph!.length > 10, true);
    assertEquals(report.sizes.float, saveFloatModel(model).length);
    assertEquals(report.sizes.model, saveModel(result.model).length);
  }
});

Deno.test("a row is saturated where a value lies beyond the range by more than a step", async () => {
  const model = new Linear({ inFeatures: 1, outFeatures: 1, bias: false });
  model.weight[0] = 1;
  const result = await quantize(model, [Float32Array.of(-1, 1)], { preset: "fbgemm" });
  const { scale, zeroPoint, quantMax } = result.model.input!;
  const end = scale * (quantMax - zeroPoint);
  const data = [Float32Array.of(0, end, end + 0.9 * scale, end + 2 * scale, end + 9 * scale)];
  const { parts } = await measureReport(model, result, data, { speed: false });
  const input = parts!.parts[0]!;
  assertEquals([input.rows, input.saturated, input.saturatedRows], [5, 3, 2]);
});

Deno.test("sums before gates whose range reaches far enough are told apart from values that lose when clamped", async () => {
  const model = tagger(false);
  const result = await quantize(model, calibration);
  const { parts } = await measureReport(model, result, calibration, { speed: false });
  const flat = parts!.parts.filter(({ flatBeyond }) => flatBeyond).map(({ name }) => name);
  assertEquals(flat, ["lstm.l0.gates"]);
  const narrow = await quantize(model, calibration, { preset: "fbgemm" });
  const report = await measureReport(model, narrow, calibration, { speed: false });
  assertEquals(report.parts!.parts.filter(({ flatBeyond }) => flatBeyond), []);
});

Deno.test("a probability has an accuracy, any other single value an error, over labels", async () => {
  const head = (probability: boolean) =>
    new Sequential({
      lstm: new LSTM({ inputSize: INPUT, hiddenSize: 4, seed: 3 }),
      last: new LastStep(),
      out: new Linear({ inFeatures: 4, outFeatures: 1, seed: 4 }),
      ...probability && { sigmoid: new Sigmoid() },
    });
  const labels = [1, 0, 1];
  for (const probability of [true, false]) {
    const model = head(probability);
    const result = await quantize(model, calibration);
    const { outputs } = await measureReport(model, result, calibration, { labels, speed: false });
    const exact = calibration.map((x) =>
      model.forward(tensor(x, [x.length / INPUT, 1, INPUT])).data[0]!
    );
    const { metric, float } = outputs[0]!.labels!;
    assertEquals([outputs[0]!.time, outputs[0]!.steps], [false, []]);
    if (probability) {
      assertEquals(metric, "accuracy");
      const right = exact.filter((value, i) => (value >= 0.5) === (labels[i] === 1)).length;
      assertAlmostEquals(float, right / 3);
    } else {
      assertEquals(metric, "rmse");
      const square = exact.reduce((sum, value, i) => sum + (value - labels[i]!) ** 2, 0);
      assertAlmostEquals(float, Math.sqrt(square / 3));
    }
  }
});

Deno.test("a dynamic model is measured without parts and graph, one of token ids with them", async () => {
  const model = tagger(false);
  const dynamic = await quantize(model, [], { qconfig: dynamicQConfig });
  const report = await measureReport(model, dynamic, calibration, { speed: false });
  assertEquals([report.parts, report.graph], [null, null]);
  const words = new Sequential({
    embedding: new Embedding({ numEmbeddings: 7, embeddingDim: INPUT, seed: 5 }),
    lstm: new LSTM({ inputSize: INPUT, hiddenSize: 4, seed: 6 }),
  });
  const ids = [Int32Array.of(1, 2, 3), Int32Array.of(6, 0)];
  const { parts, steps } = await measureReport(words, await quantize(words, ids), ids, {
    speed: false,
  });
  assertEquals([parts!.steps, steps], [5, 5]);
});

Deno.test("speed is measured of every way, in turns, and reported", async () => {
  const model = tagger(false);
  const result = await quantize(model, calibration);
  const progress: ReportProgress[] = [];
  const { speed } = await measureReport(model, result, calibration, {
    onProgress: (each) => progress.push(each),
  });
  assertEquals(speed!.rows.map(({ way }) => way), ["float", "int8", "simd"]);
  assertEquals(speed!.steps, 12);
  assert(speed!.rows.every(({ microsecondsPerStep }) => microsecondsPerStep > 0));
  assertEquals([...new Set(progress.map(({ stage }) => stage))], ["compare", "parts", "speed"]);
  for (const stage of ["compare", "parts", "speed"]) {
    const { done, total } = progress.findLast((each) => each.stage === stage)!;
    assertEquals(done, total);
  }
});

Deno.test("a signal ends the measuring with its reason, at once or in between", async () => {
  const model = tagger(false);
  const result = await quantize(model, calibration);
  const reason = new Error("enough");
  await assertRejects(
    () => measureReport(model, result, calibration, { signal: AbortSignal.abort(reason) }),
    Error,
    "enough",
  );
  for (const stage of ["parts", "speed"]) {
    const controller = new AbortController();
    const call = measureReport(model, result, calibration, {
      signal: controller.signal,
      onProgress: (each) => each.stage === stage && controller.abort(reason),
    });
    await assertRejects(() => call, Error, "enough");
  }
});

Deno.test("what does not fit is refused by name", async () => {
  const model = tagger(false);
  const result = await quantize(model, calibration);
  type Arguments = Parameters<typeof measureReport>;
  const refused = (
    [message, data, options, of = result]: [string, unknown, unknown, unknown?],
    Kind: typeof RangeError | typeof TypeError,
  ) =>
    assertRejects(
      () => measureReport(model, of as Arguments[1], data as Arguments[2], options as Arguments[3]),
      Kind,
      message,
    );
  const one = [calibration[1]!];
  const off = { speed: false };
  for (
    const each of [
      ["data: expected one input or more", [], off],
      ["data[0]: x.length: expected a multiple", [new Float32Array(2)], off],
      ["data[0]: options.labels[0]: expected 4 labels", one, { ...off, labels: [[1, 2]] }],
      ["data[0]: options.labels[0]: expected classes in 0..3", one, {
        ...off,
        labels: [[0, 1, 4, 0]],
      }],
      ["data[0]: options.labels[0][1]: expected a finite", one, {
        ...off,
        labels: [[0, NaN, 1, 0]],
      }],
      ["options.labels: expected an entry for each", calibration, {
        ...off,
        labels: [[0, 1, 2, 3, 0, 1, 2, 3, 0]],
      }],
      ["options.labels: expected 1 entries", one, { ...off, labels: [[0, 1, 2, 3], [1]] }],
    ] as const
  ) {
    await refused([...each] as [string, unknown, unknown], RangeError);
  }
  for (
    const each of [
      ["options: expected no options but", one, { sped: false }],
      ["options.title: expected a text", one, { title: 3 }],
      ["options.speed: expected a boolean", one, { speed: 1 }],
      ["options.labels: expected an array", one, { labels: 3 }],
      ["data: expected an array or iterable", calibration[0], off],
      ["result: expected what quantize gave", one, off, { model }],
    ] as const
  ) {
    await refused([...each] as [string, unknown, unknown, unknown?], TypeError);
  }
  const other = new Sequential({ head: new Linear({ inFeatures: INPUT, outFeatures: 1 }) });
  await refused(
    ["result: expected a model with the outputs out, got", one, off, await quantize(other, one)],
    RangeError,
  );
});

Deno.test("advice says which part saturates in how many steps, and what to do", async () => {
  const model = tagger(false);
  const result = await quantize(model, calibration, { preset: "fbgemm" });
  const report = await measureReport(model, result, calibration, { speed: false });
  const parts = report.parts!.parts.map((part) =>
    part.part === "fgate_cx_igate_cgate"
      ? { ...part, rows: 1000, saturatedRows: 30 }
      : { ...part, saturatedRows: 0 }
  );
  const [first, ...others] = adviceOf({ ...report, parts: { ...report.parts!, parts } });
  assertEquals(first, {
    level: "fault",
    name: "lstm.l0.fgate_cx_igate_cgate",
    text: "the cell state (lstm.l0.fgate_cx_igate_cgate) saturates in 3 % of steps: give it 16 " +
      "bits (preset int8x16, or tune), or calibrate with data that covers its range",
  });
  assert(others.every(({ text }) => !text.includes("saturates")));
  // The model's input is of 8 bits too, but no part that could have more by itself.
  const loud = calibration.map((x) => x.map((value) => 20 * value));
  const { advice } = await measureReport(model, result, loud, { speed: false });
  const { level, text } = advice.find(({ name }) => name === report.parts!.parts[0]!.name)!;
  assertEquals(level, "fault");
  assert(/saturates in [\d.]+ % of steps: calibrate with data that covers/.test(text), text);
});
