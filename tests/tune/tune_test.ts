import { assert, assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  convert,
  Embedding,
  Linear,
  LSTM,
  prepare,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import {
  dsp16BackendConfig,
  fbgemmBackendConfig,
  FixedQParamsObserver,
  MinMaxObserver,
  observeLSTMParts,
} from "@splitgate/splitgate/qconfig";
import { reportParts, tune } from "@splitgate/splitgate/tune";
import { defaultWeightObserver } from "../../src/qconfig/qconfig.ts";
import { floatWeights } from "../../src/tune/report.ts";
import { ReferenceModel } from "../../src/reference/reference.ts";
import { lstmCases, partObservers } from "../../src/testing/observed_lstms.ts";

const qconfig = { activation: MinMaxObserver.withArgs({}), weight: defaultWeightObserver };
const wave = (steps: number, batch: number, width: number, phase = 0) =>
  tensor(
    Float32Array.from({ length: steps * batch * width }, (_, i) => Math.sin(i * 1.7 + phase)),
    [
      steps,
      batch,
      width,
    ],
  );
const bits16 = MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -32768, quantMax: 32767 });

Deno.test("a reference graph with float weights is the float model, bit for bit", () => {
  fc.assert(
    fc.property(
      lstmCases.chain((each) =>
        fc.boolean().chain((splitGates) =>
          partObservers([0, 8, 16, 32], splitGates, each.lstm)
            .map((parts) => ({ ...each, splitGates, parts }))
        )
      ),
      ({ lstm, x, lengths, splitGates, parts }) => {
        const observed = observeLSTMParts(lstm, parts, { qconfig, splitGates });
        const options = lengths === undefined ? {} : { lengths };
        const [y, [h, c]] = (observed.forward(x, options), lstm.forward(x, undefined, options));
        const { output, quantized, state } = new ReferenceModel(
          convert(observed),
          floatWeights(observed),
        )
          .run(x, options);
        assertEquals([output, quantized], [y, null]);
        const states = [...state.values()];
        assertEquals(states.flatMap(({ h }) => [...h!.data]), [...h.data]);
        assertEquals(states.flatMap(({ c }) => [...c!.data]), [...c.data]);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("reportParts() gives each part's loss by the definition", () => {
  // One part's values are known: x itself, where the weight is the identity and all else is open or
  // closed.
  const linear = new Linear({ inFeatures: 1, outFeatures: 1 });
  linear.loadStateDict(new Map([["weight", tensor([1], [1, 1])], ["bias", tensor([0], [1])]]));
  const activation = FixedQParamsObserver.withArgs({
    scale: 0.5,
    zeroPoint: 4,
    quantMin: 0,
    quantMax: 8,
  });
  const weight = FixedQParamsObserver.withArgs({ dtype: "qint8", scale: 1, zeroPoint: 0 });
  const observed = prepare(linear, { activation, weight });
  const x = tensor([0.3, -0.2, 1.9, 2.4, -3], [5, 1]);
  observed.forward(x);
  const [input, output] = reportParts(observed, [x]).parts;
  const noise = 0.2 ** 2 + 0.2 ** 2 + 0.1 ** 2 + 0.4 ** 2 + 1;
  const signal = 0.3 ** 2 + 0.2 ** 2 + 1.9 ** 2 + 2.4 ** 2 + 9;
  assertEquals([input!.name, input!.values, input!.saturated], ["linear.input", 5, 2]);
  assertEquals([input!.min, input!.max], [-3, Math.fround(2.4)]);
  assertAlmostEquals(input!.sqnr, 10 * Math.log10(signal / noise), 1e-5);
  // The output is the input: in the model nothing more is lost, and nothing more is clamped.
  assertEquals([output!.name, output!.saturated], ["linear", 0]);
  assertAlmostEquals(output!.sqnr, input!.sqnr, 1e-9);
  assertAlmostEquals(output!.sqnrInModel!, input!.sqnr, 1e-9);
});

Deno.test("reportParts() tells narrow parts from wide ones, for every layer, direction and gate", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 5, numLayers: 2, bidirectional: true });
  const observed = observeLSTMParts(lstm, { sigmoid: bits16, cellState: null }, {
    qconfig,
    splitGates: true,
  });
  const data = [wave(6, 2, 2), wave(3, 1, 2, 1)];
  for (const x of data) observed.forward(x);
  const report = reportParts(observed, [data[0]!, { x: data[1]!, lengths: [2] }]);
  const sqnr = (name: string) => report.parts.find((part) => part.name === name)!.sqnr;
  for (const cell of ["l0", "l0_reverse", "l1", "l1_reverse"]) {
    for (const gate of ["input", "forget", "cell", "output"]) {
      const value = sqnr(`lstm.${cell}.gates.${gate}`);
      assert(value > 30 && value < 65, `${value}`);
    }
    assert(sqnr(`lstm.${cell}.input_gate`) > 80);
    assertEquals(report.parts.filter(({ name }) => name.startsWith(`lstm.${cell}.fgate_cx`)), []);
  }
  assert(report.outputSqnr! > 15 && report.outputSqnr! < 60);
  assertEquals(
    report.parts.find(({ name }) => name === "lstm.l0.tanh_cy")?.values,
    (6 * 2 + 2) * 5,
  );
  const table = report.toTable().trimEnd().split("\n");
  assertEquals(table.length, 1 + report.parts.length);
  assertMatch(
    table[0],
    /^part +dtype +range +scale +zero point +values +saturated +SQNR dB +in the model$/,
  );
  const bare = reportParts(convert(observed), [data[0]!]);
  assertEquals([bare.outputSqnr, new Set(bare.parts.map(({ sqnrInModel }) => sqnrInModel))], [
    null,
    new Set([null]),
  ]);
  assertEquals(bare.parts.map(({ name }) => name), report.parts.map(({ name }) => name));
});

Deno.test("reportParts() refuses what it cannot measure", () => {
  const observed = observeLSTMParts(new LSTM({ inputSize: 2, hiddenSize: 3 }), {}, { qconfig });
  assertThrows(
    () => reportParts(observed, [wave(2, 1, 2)]),
    RangeError,
    "an observer that has seen data",
  );
  observed.forward(wave(2, 1, 2));
  assertThrows(() => reportParts(observed, []), RangeError, "data");
  assertThrows(() => reportParts(observed, [wave(2, 1, 3)]), RangeError, "x.shape");
  assertThrows(() => reportParts(observed, 7 as never), TypeError, "data");
  assertThrows(() => reportParts(observed, [null as never]), TypeError, "data[0]");
  assertThrows(() => reportParts({} as never, [wave(2, 1, 2)]), TypeError, "model");
});

const models = () => ({
  lstm: new LSTM({ inputSize: 2, hiddenSize: 7, seed: 3 }),
  stack: new LSTM({
    inputSize: 2,
    hiddenSize: 5,
    numLayers: 2,
    bidirectional: true,
    batchFirst: true,
    projSize: 3,
  }),
  sequence: new Sequential({
    embedding: new Embedding({ numEmbeddings: 6, embeddingDim: 2 }),
    lstm: new LSTM({ inputSize: 2, hiddenSize: 5 }),
    out: new Linear({ inFeatures: 5, outFeatures: 3 }),
  }),
});

Deno.test("tune() reaches its budget, and takes fewer bits for a smaller one", () => {
  const { lstm, stack, sequence } = models();
  const ids = tokens(Int32Array.from({ length: 60 }, (_, i) => (i * i) % 6), [20, 3]);
  for (
    const [model, data] of [[lstm, wave(30, 2, 2)], [stack, wave(2, 30, 2)], [
      sequence,
      ids,
    ]] as const
  ) {
    let before = Infinity;
    const { outputSqnr16 } = tune(model, [data], { budget: 0 });
    for (const budget of [outputSqnr16 - 0.1, outputSqnr16 - 6, outputSqnr16 - 15, 5]) {
      for (const splitGates of [false, true]) {
        const { outputSqnr, parts, model: quantized, qconfig, toTable } = tune(model, [data], {
          budget,
          splitGates,
        });
        const bits = parts.reduce((sum, part) => sum + part.bits, 0);
        // 16 bits are measured with the same weights; what is chosen is converted anew.
        assert(outputSqnr >= budget - 1e-9, `${outputSqnr} for ${budget}`);
        if (!splitGates) {
          assert(bits <= before, `${bits} after ${before}`);
          before = bits;
        }
        const observed = prepare(model, qconfig, { splitGates });
        observed.forward(data);
        assertEquals(convert(observed).fingerprint, quantized.fingerprint);
        assertEquals(toTable().trimEnd().split("\n").length, 1 + parts.length);
      }
    }
    assert(before < 16 * 6);
  }
});

Deno.test("tune() measures each slot alone, in both widths", () => {
  const { parts, outputSqnr16 } = tune(models().lstm, [wave(40, 2, 2)], { budget: 20 });
  assertEquals(parts.map(({ slot }) => slot), [
    "linearOutput",
    "sigmoid",
    "tanh",
    "cellState",
    "cellTanh",
    "hiddenState",
  ]);
  for (const { sqnr8, sqnr16, outputSqnr8, values, saturated8, saturated16 } of parts) {
    // Eight bits more are 48 dB.
    assert(sqnr16 - sqnr8 > 40 && sqnr16 - sqnr8 < 56, `${sqnr8} ${sqnr16}`);
    assert(outputSqnr8 < outputSqnr16 + 1);
    assert(saturated8 <= values && saturated16 <= values);
  }
});

Deno.test("tune() takes lengths into account and leaves padding out", () => {
  const { lstm } = models();
  const x = wave(10, 2, 2);
  const padded = { x, lengths: [10, 4] };
  const other = {
    ...padded,
    x: tensor(x.data.map((v, i) => i % 4 >= 2 && i >= 16 ? 1 : v), x.shape),
  };
  const [a, b] = [padded, other].map((data) => tune(lstm, [data], { budget: 10 }));
  assertEquals([a!.outputSqnr, a!.parts], [b!.outputSqnr, b!.parts]);
});

Deno.test("tune() keeps to what a target runs", () => {
  const { lstm } = models();
  const data = [wave(20, 1, 2)];
  const qconfig = {
    activation: MinMaxObserver.withArgs({}),
    weight: defaultWeightObserver,
    parts: { inputProjection: null, hiddenProjection: null },
  };
  const free = tune(lstm, data, { budget: 10, qconfig });
  const held = tune(lstm, data, {
    budget: 10,
    qconfig,
    backendConfig: dsp16BackendConfig,
  });
  assertEquals(held.parts, free.parts);
  assertThrows(
    () => tune(lstm, data, { budget: 10, qconfig, backendConfig: fbgemmBackendConfig }),
    RangeError,
    "what fbgemm runs",
  );
});

Deno.test("tune() refuses what it cannot do", () => {
  const { lstm } = models();
  const data = [wave(5, 1, 2)];
  assertThrows(
    () => tune(lstm, data, { budget: 200 }),
    RangeError,
    "options.budget: expected at most",
  );
  assertThrows(() => tune(lstm, data, { budget: NaN }), RangeError, "options.budget");
  assertThrows(() => tune(lstm, data, {} as never), TypeError, "options.budget");
  assertThrows(() => tune(lstm, data, null as never), TypeError, "options");
  assertThrows(
    () => tune(lstm, data, { budget: 10, split: true } as never),
    TypeError,
    'got "split"',
  );
  assertThrows(
    () => tune(lstm, [{ x: data[0], length: [1] } as never], { budget: 10 }),
    TypeError,
    "calibration[0]",
  );
  assertThrows(() => tune(lstm, [], { budget: 10 }), RangeError, "calibration");
  assertThrows(
    () => tune(new Linear({ inFeatures: 2, outFeatures: 2 }), data, { budget: 10, qconfig }),
    RangeError,
    "a model with an LSTM or a GRU",
  );
});
