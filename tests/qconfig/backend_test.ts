import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  convert,
  Embedding,
  Linear,
  LSTM,
  prepare,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import {
  BackendConfig,
  dsp16BackendConfig,
  type DTypePattern,
  FakeQuantize,
  fbgemmBackendConfig,
  FixedQParamsObserver,
  MinMaxObserver,
  observeLSTMParts,
  PlaceholderObserver,
  qnnpackBackendConfig,
} from "@splitgate/splitgate/qconfig";
import { convertToReference, verifyGraph } from "@splitgate/splitgate/reference";
import {
  defaultPerChannelWeightObserver,
  defaultWeightObserver,
  fbgemmQConfig,
  qnnpackQConfig,
} from "../../src/qconfig/qconfig.ts";

const bits16 = MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -32768, quantMax: 32767 });
const bits32 = MinMaxObserver.withArgs({ dtype: "qint32" });
const qconfig = { activation: MinMaxObserver.withArgs({}), weight: defaultWeightObserver };
const lstm = () => new LSTM({ inputSize: 2, hiddenSize: 3, numLayers: 2, bidirectional: true });
const x = tensor(Float32Array.from({ length: 12 }, (_, i) => Math.cos(i)), [3, 2, 2]);

Deno.test("the presets of targets run what torch runs there", () => {
  for (const backendConfig of [fbgemmBackendConfig, qnnpackBackendConfig, dsp16BackendConfig]) {
    for (const config of [fbgemmQConfig, qnnpackQConfig]) {
      for (const splitGates of [false, true]) {
        const model = new Sequential({
          embedding: new Embedding({ numEmbeddings: 3, embeddingDim: 2 }),
          lstm: lstm(),
        });
        assertEquals(prepare(model, config, { splitGates, backendConfig }).unsupported, []);
      }
    }
  }
});

Deno.test("prepare() and observeLSTMParts() name the part and the constraint that failed", () => {
  const refused = (
    parts: Parameters<typeof observeLSTMParts>[1],
    backendConfig: BackendConfig,
    text: RegExp,
  ) => {
    const error = assertThrows(
      () => observeLSTMParts(lstm(), parts, { qconfig, backendConfig }),
      RangeError,
    );
    assertMatch(error.message, text);
  };
  refused(
    { sigmoid: bits16 },
    fbgemmBackendConfig,
    /^lstm\.l0\.input_gate: .*fbgemm.*output dtype: expected quint8, got qint32/,
  );
  refused(
    { cellState: bits16 },
    fbgemmBackendConfig,
    /^lstm\.l0\.fgate_cx: .*(input 1|output) dtype: expected quint8, got qint32/,
  );
  refused(
    { tanh: bits32 },
    dsp16BackendConfig,
    /cell_gate: .*output quantMin: expected at least -32768, got -2147483648/,
  );
  refused(
    { cellTanh: null },
    dsp16BackendConfig,
    /tanh_cy: .*output dtype: expected .*, got float32/,
  );
  const activation = FixedQParamsObserver.withArgs({ scale: 1 / 128, zeroPoint: 0 });
  refused(
    { sigmoid: activation },
    qnnpackBackendConfig,
    /output scale: expected exactly 0\.00390625, got 0\.0078125/,
  );
  refused(
    {},
    qnnpackBackendConfig,
    /output scale: expected exactly 0\.00390625, got MinMaxObserver \(use a FixedQParams/,
  );
  refused(
    { sigmoid: FixedQParamsObserver.withArgs({ scale: 1 / 256, zeroPoint: 1 }) },
    qnnpackBackendConfig,
    /output zero point: expected exactly 0, got 1/,
  );
  refused(
    { sigmoid: FakeQuantize.withArgs({ observer: bits16 }) },
    fbgemmBackendConfig,
    /output dtype: expected quint8, got qint32/,
  );
  refused(
    { gates: { inputs: [bits16, null] } },
    fbgemmBackendConfig,
    /gates: .*input 0 dtype: expected quint8, got qint32/,
  );
});

Deno.test("a target's smallest scale, ranges, weights and biases are held to", () => {
  const linear = (pattern: DTypePattern, qconfig: Parameters<typeof prepare>[1], bias = true) =>
    prepare(new Linear({ inFeatures: 2, outFeatures: 2, bias }), qconfig, {
      backendConfig: new BackendConfig("t", { linear: [pattern] }),
    });
  const quint8 = { dtype: "quint8" } as const;
  const all = { input: quint8, output: quint8, weight: { dtype: "qint8" } } as const;
  const refused = (
    pattern: DTypePattern,
    text: string,
    config: Parameters<typeof prepare>[1] = qconfig,
  ) => assertThrows(() => linear(pattern, config), RangeError, text);
  linear(all, qconfig);
  refused({ ...all, output: { dtype: "qint8" } }, "output dtype: expected qint8, got quint8");
  refused(
    { ...all, input: [{ dtype: "qint8" }, { dtype: "qint32" }] },
    "input dtype: expected qint8 or qint32, got quint8",
  );
  refused(
    { ...all, weight: { dtype: "qint8", quantMin: -127 } },
    "weight quantMin: expected at least -127, got -128",
  );
  refused(
    { ...all, weight: { dtype: "qint8", quantMax: 126 } },
    "weight quantMax: expected at most 126, got 127",
  );
  refused(
    { ...all, output: { dtype: "quint8", scaleMin: 2 ** -12 } },
    "output scale: expected at least 0.000244140625, got an observer with eps 1.1920928955078125e-7",
  );
  const coarse = { ...qconfig, activation: MinMaxObserver.withArgs({ eps: 2 ** -12 }) };
  linear({ ...all, output: { dtype: "quint8", scaleMin: 2 ** -12 } }, coarse);
  const fixed = {
    ...qconfig,
    activation: FixedQParamsObserver.withArgs({ scale: 2 ** -13, zeroPoint: 0 }),
  };
  refused(
    { ...all, output: { dtype: "quint8", scaleMin: 2 ** -12 } },
    "output scale: expected at least",
    fixed,
  );
  refused({ ...all, bias: "qint32" }, "bias dtype: expected qint32, got float32");
  linear({ ...all, bias: "qint32" }, qconfig, false);
  linear({ ...all, weight: { dtype: "qint8" } }, {
    ...qconfig,
    weight: defaultPerChannelWeightObserver,
  });
  assertThrows(
    () => prepare(lstm(), qconfig, { backendConfig: new BackendConfig("t", { linear: [all] }) }),
    RangeError,
    "add: not an operation of this target",
  );
  // If several patterns fail, the error is that of the closest one.
  const several = new BackendConfig("t", {
    linear: [{ ...all, input: { dtype: "qint8" } }, { ...all, output: { dtype: "qint8" } }],
  });
  assertEquals(
    several.reasonAgainst("linear", {
      inputs: [qconfig.activation()],
      output: qconfig.activation(),
      weight: qconfig.weight(),
    }),
    "output dtype: expected qint8, got quint8",
  );
});

Deno.test('what a target does not run stays float and is listed when onUnsupported is "float"', () => {
  for (const splitGates of [false, true]) {
    const observed = observeLSTMParts(lstm(), { sigmoid: bits16, cellState: bits16 }, {
      qconfig,
      splitGates,
      backendConfig: fbgemmBackendConfig,
      onUnsupported: "float",
    });
    const cells = ["l0", "l0_reverse", "l1", "l1_reverse"];
    assertEquals(
      observed.unsupported.map(({ name }) => name).toSorted(),
      cells.flatMap((cell) =>
        [
          "fgate_cx",
          "fgate_cx_igate_cgate",
          "forget_gate",
          "igate_cgate",
          "input_gate",
          "output_gate",
        ]
          .map((part) => `lstm.${cell}.${part}`)
      ),
    );
    for (const { reason } of observed.unsupported) assertMatch(reason, /expected quint8, got/);
    assertEquals(observed.forward(x), lstm().forward(x)[0]);
    const { nodes } = convertToReference(observed);
    assertEquals(verifyGraph(nodes), []);
    const floats = nodes.filter(({ float }) => float).map(({ module, cell, part }) =>
      `${module}.${cell}.${part}`
    );
    assertEquals(floats.toSorted(), observed.unsupported.map(({ name }) => name).toSorted());
    // What reads them requantizes them in the LSTM's own dtype.
    const pairs = nodes.filter(({ op, name }) => op === "quantize" && name.includes("inputs["));
    assertEquals(new Set(pairs.map(({ dtype }) => dtype)), new Set(["quint8"]));
    assertEquals(
      pairs.filter(({ cell }) => cell === "l1").map(({ part }) => part),
      ["ogate_cy", "tanh_cy"],
    );
    const session = convert(observed).createSession({ batch: 2, maxSteps: 3 });
    const y = new Float32Array(3 * 2 * 6);
    session.run(x.data, y);
    const reference = convertToReference(observed).run(x).output.data;
    y.forEach((value, i) => assert(Math.abs(value - reference[i]!) < 0.05));
  }
});

Deno.test("a Linear and an Embedding that a target does not run stay float and are listed", () => {
  const backendConfig = new BackendConfig("t", {
    add: [{ input: { dtype: "quint8" }, output: { dtype: "quint8" } }],
  });
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings: 3, embeddingDim: 2 }),
    out: new Linear({ inFeatures: 2, outFeatures: 2 }),
  });
  const observed = prepare(model, qconfig, { backendConfig, onUnsupported: "float" });
  assertEquals(observed.unsupported, [
    { name: "embedding", op: "embedding", reason: "embedding: not an operation of this target" },
    { name: "out", op: "linear", reason: "linear: not an operation of this target" },
  ]);
  const { nodes } = convertToReference(observed);
  assertEquals(nodes.filter(({ op }) => op === "quantize"), []);
  assertThrows(
    () => prepare(model, qconfig, { backendConfig }),
    RangeError,
    "embedding: expected what t runs",
  );
});

Deno.test("a part that is left float by the configuration is not the target's business when the target takes it", () => {
  const parts = {
    inputProjection: null,
    hiddenProjection: null,
    linearOutput: bits16,
    sigmoid: bits16,
    cellState: bits16,
  };
  const observed = observeLSTMParts(lstm(), parts, { qconfig, backendConfig: dsp16BackendConfig });
  assertEquals(observed.unsupported, []);
});

Deno.test("BackendConfig refuses contradictory constraints and names them", () => {
  const refused = (
    constraints: object,
    text: string,
    kind: ErrorConstructor = RangeError as ErrorConstructor,
  ) => {
    const error = assertThrows(
      () =>
        new BackendConfig("t", {
          tanh: [{ output: { dtype: "quint8", ...constraints } as never }],
        }),
      kind,
    );
    assert((error as Error).message.includes(text), (error as Error).message);
  };
  refused(
    { quantMin: 5, quantMax: 4 },
    "t.tanh[0].output.quantMax: expected an integer above quantMin 5",
  );
  refused({ quantMax: 256 }, "t.tanh[0].output.quantMax: expected an integer in 0..255");
  refused(
    { scaleMin: 0.5, scaleExact: 0.25 },
    "scaleExact: expected at least scaleMin 0.5: no scale satisfies both",
  );
  refused(
    { zeroPointExact: 200, quantMax: 127 },
    "zeroPointExact: expected within quantMin 0 and quantMax 127",
  );
  refused({ scaleMin: 0 }, "scaleMin: expected a positive number");
  refused({ scaleMin: "1" }, "scaleMin", TypeError as ErrorConstructor);
  refused({ dtype: "int16" }, "qint32 with quantMin and quantMax", TypeError as ErrorConstructor);
  refused({ dtype: "float32", scaleMin: 1 }, "no such constraint on float32");
  assertThrows(() => new BackendConfig("t", { gru: [] } as never), RangeError, "t: operation");
  assertThrows(() => new BackendConfig("t", { add: {} } as never), TypeError, "t.add");
  assertThrows(
    () => new BackendConfig("t", { add: [{ bias: "int8" }] } as never),
    RangeError,
    "t.add[0].bias",
  );
  assertThrows(
    () => new BackendConfig("t", { add: [{ input: 3 }] } as never),
    TypeError,
    "t.add[0].input",
  );
  assertThrows(
    () => new BackendConfig("t", { add: [null] } as never),
    TypeError,
    "t.add[0]: expected an object",
  );
  assertThrows(
    () => new BackendConfig("t", { add: [{ inputs: [] }] } as never),
    TypeError,
    "t.add[0]: expected no options but",
  );
  refused({ qmin: 0 }, 'got "qmin"', TypeError as ErrorConstructor);
  assertThrows(() => new BackendConfig(3 as never, {}), TypeError, "name");
  assertThrows(() => new BackendConfig("t", null as never), TypeError, "patterns");
  assertThrows(
    () => prepare(lstm(), qconfig, { backendConfig: {} as never }),
    TypeError,
    "backendConfig",
  );
  assertThrows(
    () => prepare(lstm(), qconfig, { onUnsupported: "skip" as never }),
    RangeError,
    "onUnsupported",
  );
});

Deno.test("reasonAgainst() takes a placeholder for float32", () => {
  const float = new PlaceholderObserver();
  assertEquals(
    dsp16BackendConfig.reasonAgainst("linear", {
      inputs: [bits16()],
      output: float,
      weight: qconfig.weight(),
    }),
    null,
  );
  assertMatch(
    fbgemmBackendConfig.reasonAgainst("linear", {
      inputs: [float],
      output: null,
      weight: qconfig.weight(),
    })!,
    /input dtype: expected quint8, got float32/,
  );
});
