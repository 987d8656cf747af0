import {
  assert,
  assertEquals,
  assertNotEquals,
  assertNotStrictEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import {
  convert,
  Embedding,
  Generator,
  Linear,
  loadModel,
  LSTM,
  perChannelAffine,
  prepare,
  type QConfig,
  QConfigMapping,
  saveModel,
  Sequential,
  type Tensor,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import {
  FakeQuantize,
  HistogramObserver,
  MinMaxObserver,
  MovingAverageMinMaxObserver,
  PlaceholderObserver,
} from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { accurateQConfig, int8x16QConfig } from "../../src/qconfig/presets.ts";
import {
  defaultPerChannelWeightObserver,
  defaultQConfig,
  defaultWeightObserver,
  fbgemmQConfig,
  qnnpackQConfig,
} from "../../src/qconfig/qconfig.ts";
import type { EmbeddingModule } from "../../src/modules/embedding/quantized.ts";
import type { LinearModule } from "../../src/modules/linear/data.ts";
import type { ObservedLinear } from "../../src/modules/linear/observed.ts";
import type { ObservedLSTM } from "../../src/modules/lstm/observed.ts";
import type { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { lstmCases } from "../../src/testing/observed_lstms.ts";
import { random, seeds } from "../../src/testing/float_lstms.ts";

const qconfig: QConfig = { activation: MinMaxObserver.withArgs({}), weight: defaultWeightObserver };
const PRESETS = [fbgemmQConfig, qnnpackQConfig, defaultQConfig, accurateQConfig, int8x16QConfig];

/** tokens -> embedding -> lstm -> linear. */
function segmenter(seed = 0): Sequential {
  return new Sequential({
    embedding: new Embedding({ numEmbeddings: 9, embeddingDim: 4, seed }),
    lstm: new LSTM({ inputSize: 4, hiddenSize: 5, bidirectional: true, seed: seed + 1 }),
    out: new Linear({ inFeatures: 10, outFeatures: 4, seed: seed + 2 }),
  });
}

const ids = tokens(Int32Array.from({ length: 14 }, (_, i) => (i * 5) % 9), [7, 2]);
const wave = tensor(Float32Array.from({ length: 28 }, (_, i) => Math.sin(i * 0.9)), [7, 2, 2]);

Deno.test("ObservedModel.forward() is the float model's output bit for bit, for LSTMs of every kind", () => {
  fc.assert(
    fc.property(
      lstmCases,
      fc.constantFrom(...PRESETS),
      fc.boolean(),
      ({ lstm, x, state, lengths }, preset, splitGates) => {
        const observed = prepare(lstm, preset, { splitGates });
        const options = lengths === undefined ? {} : { lengths };
        const given = state === undefined ? {} : { state: { lstm: state } };
        assertEquals(
          observed.forward(x, { ...options, ...given }),
          lstm.forward(x, state, options)[0],
        );
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("ObservedModel.forward() is the float model's output bit for bit, for a whole model", () => {
  for (const preset of PRESETS) {
    for (const splitGates of [false, true]) {
      const model = segmenter();
      const observed = prepare(model, preset, { splitGates });
      assertEquals(observed.forward(ids), model.forward(ids));
      assertEquals(observed.forward(tokens(ids.data, [14])), model.forward(tokens(ids.data, [14])));
    }
  }
});

Deno.test("ObservedModel.forward() shows padding to no observer", () => {
  fc.assert(
    fc.property(seeds, fc.boolean(), (seed, batchFirst) => {
      const model = new Sequential({
        lstm: new LSTM({ inputSize: 2, hiddenSize: 3, batchFirst, bidirectional: true, seed }),
        out: new Linear({ inFeatures: 6, outFeatures: 2, seed }),
      });
      const generator = new Generator(seed);
      const shape = batchFirst ? [2, 5, 2] : [5, 2, 2];
      const x = random(generator, shape);
      const lengths = [5, 2];
      const offsetOf = (t: number, b: number) => (batchFirst ? b * 5 + t : t * 2 + b) * 2;
      const other = x.data.slice();
      for (let t = 2; t < 5; t++) for (let k = 0; k < 2; k++) other[offsetOf(t, 1) + k] = 100;
      const parameters = [x, tensor(other, shape)].map((data) => {
        const observed = prepare(model, qconfig);
        observed.forward(data, { lengths });
        return convert(observed).fingerprint;
      });
      assertEquals(parameters[0], parameters[1]);
    }),
    { numRuns: 20 },
  );
});

Deno.test("prepare() copies weights and biases: neither model changes with the other", () => {
  const model = segmenter();
  const observed = prepare(model, qconfig);
  const expected = model.forward(ids);
  for (const { data } of model.stateDict().values()) data.fill(3);
  assertEquals(observed.forward(ids), expected);
  const quantized = convert(observed);
  for (const { module } of [observed.modules.get("lstm") as ObservedLSTM]) {
    for (const { data } of module.stateDict().values()) data.fill(7);
  }
  const before = saveModel(quantized);
  (observed.modules.get("out") as ObservedLinear).linear.weight.fill(7);
  assertEquals(saveModel(quantized), before);
  const out = quantized.modules.get("out") as LinearModule;
  assertNotStrictEquals(out.bias, (observed.modules.get("out") as ObservedLinear).linear.bias);
});

Deno.test("convert() gives weights by their own observer, block by block where gates are split", () => {
  const lstm = new LSTM({ inputSize: 3, hiddenSize: 4, projSize: 2 });
  for (const weight of [defaultWeightObserver, defaultPerChannelWeightObserver]) {
    for (const splitGates of [false, true]) {
      const observed = prepare(lstm, { ...qconfig, weight }, { splitGates });
      observed.forward(tensor([1, -1, 0.5], [1, 1, 3]));
      const cell = (convert(observed).modules.get("lstm") as QuantizedLSTM).cells[0]![0]!;
      for (
        const [float, { data, scales }, rows, blocks] of [
          [lstm.cells[0]![0]!.weightIh, cell.weightIh, 16, splitGates ? 4 : 1],
          [lstm.cells[0]![0]!.weightHh, cell.weightHh, 16, splitGates ? 4 : 1],
          [lstm.cells[0]![0]!.weightHr!, cell.weightHr!, 2, 1],
        ] as const
      ) {
        const channels = weight === defaultWeightObserver ? blocks : rows;
        const size = float.length / channels;
        assertEquals(scales.length, channels);
        for (let channel = 0; channel < channels; channel++) {
          const own = float.subarray(channel * size, (channel + 1) * size);
          const largest = Math.max(...own.map(Math.abs));
          const scale = Math.fround(largest / 127.5);
          assert(Math.abs(scales[channel]! - scale) <= scale * 2 ** -22);
          own.forEach((value, i) => {
            const q = data[channel * size + i];
            assert(Math.abs(value - q! * scale) <= scale * 0.5001 || q === 127, `${value} as ${q}`);
          });
        }
      }
    }
  }
});

Deno.test("prepare() observes an input that is float32 or of another dtype, and takes over one that fits", () => {
  const signed: QConfig = { ...qconfig, activation: MinMaxObserver.withArgs({ dtype: "qint8" }) };
  const float: QConfig = { ...qconfig, activation: PlaceholderObserver.withArgs({}) };
  const kinds = (mapping: QConfigMapping) =>
    [...prepare(segmenter(), mapping).modules.values()].slice(1)
      .map((module) => (module as ObservedLinear).input)
      .map((input) => typeof input === "string" ? input : input.dtype);
  const base = new QConfigMapping().setGlobal(qconfig);
  assertEquals(kinds(base), ["quint8", "previous"]);
  assertEquals(kinds(base.setModuleName("out", signed)), ["quint8", "qint8"]);
  assertEquals(kinds(base.setModuleName("out", float)), ["quint8", "previous"]);
  assertEquals(kinds(base.setModuleName("lstm", { ...qconfig, input: float.activation })), [
    "float",
    "previous",
  ]);
  assertEquals(kinds(base.setModuleName("lstm", { ...qconfig, parts: { hiddenState: null } })), [
    "quint8",
    "quint8",
  ]);
  assertEquals(
    kinds(base.setModuleName("lstm", { ...float, parts: {} }).setModuleName("out", float)),
    [
      "float",
      "float",
    ],
  );
});

Deno.test("convert() gives a model that is close to the float one, whatever the preset, and the same from its file", () => {
  for (const preset of PRESETS) {
    for (const splitGates of [false, true]) {
      const model = segmenter(5);
      const observed = prepare(model, preset, { splitGates });
      const expected = observed.forward(ids).data;
      const quantized = convert(observed);
      const y = new Float32Array(14 * 4);
      quantized.createSession({ batch: 2, maxSteps: 7 }).run(ids.data, y);
      const largest = Math.max(...expected.map(Math.abs));
      y.forEach((value, i) =>
        assert(Math.abs(value - expected[i]!) < 0.08 * largest, `${value} for ${expected[i]}`)
      );
      const bytes = saveModel(quantized);
      const again = new Float32Array(14 * 4);
      assertEquals(saveModel(convert(observed)), bytes);
      loadModel(bytes).createSession({ batch: 2, maxSteps: 7 }).run(ids.data, again);
      assertEquals(again, y);
    }
  }
});

Deno.test("convert() names the module whose observer never saw data", () => {
  const observed = prepare(segmenter(), qconfig);
  assertThrows(
    () => convert(observed),
    RangeError,
    "lstm.input: expected an observer that has seen data: run",
  );
  const model = new Sequential({ a: new Linear({ inFeatures: 2, outFeatures: 3 }) });
  const input = { ...qconfig, input: PlaceholderObserver.withArgs({}) };
  assertThrows(
    () => convert(prepare(model, input)),
    RangeError,
    "a: expected an observer that has seen data",
  );
  assertThrows(() => convert({} as never), TypeError, "observed");
});

Deno.test("qint8 activations run in every form, close to quint8 ones", () => {
  const outputs = (["quint8", "qint8"] as const).map((dtype) => {
    const observed = prepare(segmenter(2), {
      ...qconfig,
      activation: MinMaxObserver.withArgs({ dtype }),
    });
    observed.forward(ids);
    const reference = convertToReference(observed);
    const y = new Float32Array(14 * 4);
    assertEquals(
      reference.nodes.filter(({ op }) => op === "quantize").every((node) => node.dtype === dtype),
      true,
    );
    convert(observed).createSession({ batch: 2, maxSteps: 7 }).run(ids.data, y);
    return [y, reference.run(ids).output.data];
  });
  const [first, ...others] = outputs.flat();
  first!.forEach((value, i) => {
    for (const other of others.map((data) => data[i]!)) {
      assert(Math.abs(value - other) < 0.03, `${value} ${other}`);
    }
  });
});

Deno.test("fake-quantizers change values as the integers will, weights too", () => {
  const fake = FakeQuantize.withArgs({
    observer: MovingAverageMinMaxObserver.withArgs({ averagingConstant: 1 }),
  });
  const weight = FakeQuantize.withArgs({
    observer: MinMaxObserver.withArgs({ dtype: "qint8", qscheme: "perTensorSymmetric" }),
  });
  const model = new Linear({ inFeatures: 2, outFeatures: 3 });
  const x = tensor(wave.data, [14, 2]);
  const observed = prepare(model, { activation: fake, weight });
  const y = observed.forward(x);
  assertNotEquals(y, model.forward(x));
  assertEquals(convertToReference(observed).run(x).output, y);
  for (const splitGates of [false, true]) {
    const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, projSize: 2 });
    const only = prepare(lstm, { ...qconfig, weight }, { splitGates });
    const float = lstm.forward(wave)[0];
    const changed = only.forward(wave);
    assertNotEquals(changed, float);
    changed.data.forEach((value, i) => assert(Math.abs(value - float.data[i]!) < 0.02));
    // The float LSTM whose weights are what int8 makes of them gives the same.
    const cell = (convert(only).modules.get("lstm") as QuantizedLSTM).cells[0]![0]!;
    const rounded = new LSTM({
      inputSize: 2,
      hiddenSize: 3,
      projSize: 2,
    });
    rounded.loadStateDict(lstm.stateDict());
    for (const name of ["weightIh", "weightHh", "weightHr"] as const) {
      const { data, scales } = cell[name]!;
      const to = rounded.cells[0]![0]![name]!;
      data.forEach((q, i) => to[i] = q * scales[Math.floor(i * scales.length / data.length)]!);
    }
    assertEquals(changed, rounded.forward(wave)[0]);
  }
});

Deno.test("an embedding's rows are 8 or 16 bits by the config, or float32 without one", () => {
  for (
    const [config, kind] of [[qconfig, Uint8Array], [
      { ...qconfig, embeddingBits: 16 },
      Uint16Array,
    ], [
      null,
      Float32Array,
    ]] as const
  ) {
    const observed = prepare(
      segmenter(),
      new QConfigMapping().setGlobal(qconfig).setModuleName("embedding", config),
    );
    observed.forward(ids);
    const { weight } = convert(observed).modules.get("embedding") as EmbeddingModule;
    assert(weight instanceof kind);
  }
});

Deno.test("prepare() refuses models, configs and engines that it cannot take", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
  assertThrows(() => prepare({} as LSTM, qconfig), TypeError, "model");
  assertThrows(() => prepare(lstm, 7 as never), TypeError, "qconfig");
  assertThrows(
    () => prepare(lstm, new QConfigMapping()),
    RangeError,
    "qconfig of lstm: expected a QConfig",
  );
  assertThrows(
    () => prepare(lstm, qconfig, { splitGates: "yes" as never }),
    TypeError,
    "splitGates",
  );
  const mixed = new QConfigMapping().setGlobal(qconfig).setModuleName("out", {
    ...qconfig,
    engine: "qnnpack",
  });
  assertThrows(() => prepare(segmenter(), mixed), RangeError, "qconfig.engine");
  const wide: QConfig = { ...qconfig, weight: MinMaxObserver.withArgs({ dtype: "quint8" }) };
  assertThrows(
    () => prepare(lstm, wide),
    TypeError,
    'lstm.weight observer: expected one for qint8, got "quint8"',
  );
  const perChannel = defaultPerChannelWeightObserver;
  const learned = FakeQuantize.withArgs({ observer: perChannel });
  for (
    const [name, channels] of [
      ["activation", { activation: perChannel }],
      ["input", { input: perChannel }],
      ["input", { input: learned }],
      ["parts.cellState", { parts: { cellState: perChannel } }],
      ["parts.gates", { parts: { gates: [null, null, null, perChannel] } }],
      ["parts.igates.inputs[0]", { parts: { igates: { inputs: [perChannel] } } }],
    ] as const
  ) {
    assertThrows(
      () => prepare(lstm, { ...qconfig, ...channels }),
      TypeError,
      `qconfig.${name}: expected an observer of whole tensors, got "`,
    );
  }
  // Only a call of a user's observer shows its qscheme.
  class Channels extends MinMaxObserver {
    override calculateQParams(): never {
      return perChannelAffine({ dtype: "quint8", scales: [1, 2] }) as never;
    }
  }
  const each = prepare(lstm, { ...qconfig, activation: Channels.withArgs({}) });
  each.forward(wave);
  assertThrows(() => convert(each), TypeError, "observer: expected one for a whole tensor");
  assertThrows(
    () => prepare(lstm, qconfig).forward(wave, { state: { gru: [wave, wave] } }),
    RangeError,
    "options.state",
  );
});

Deno.test("observed modules keep the form of their config", () => {
  const observed = prepare(
    segmenter(),
    { ...qconfig, activation: HistogramObserver.withArgs({}) },
    {
      splitGates: true,
    },
  );
  const lstm = observed.modules.get("lstm") as ObservedLSTM;
  assertEquals(lstm.splitGates, true);
  assertEquals(lstm.cells[0]![1]!.observers.gates.length, 4);
  assertStrictEquals(new Set(lstm.cells[0]![1]!.observers.gates).size, 4);
  const y: Tensor = observed.forward(ids);
  assertEquals(y.shape, [7, 2, 4]);
});

Deno.test("ObservedModel.forward() leaves every observer as it was when it refuses", () => {
  const model = new Sequential({
    a: new Linear({ inFeatures: 2, outFeatures: 2 }),
    lstm: new LSTM({ inputSize: 2, hiddenSize: 2 }),
  });
  const observed = prepare(model, fbgemmQConfig);
  const x = (value: number) => tensor(Array(4).fill(value), [2, 1, 2]);
  observed.forward(x(0.1));
  const before = saveModel(convert(observed));
  for (
    const options of [{ state: { lstm: [x(1), x(1)] as const } }, { lengths: [9] }, {
      lengths: [1, 1],
    }]
  ) {
    assertThrows(() => observed.forward(x(100), options), RangeError);
  }
  assertThrows(
    () => observed.forward(tensor([100, 100, 100], [1, 1, 3])),
    RangeError,
    "x.shape: expected [..., 2]",
  );
  assertEquals(saveModel(convert(observed)), before);
});
