import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { LSTM, prepare, type QConfig, QConfigMapping } from "@splitgate/splitgate";
import { MinMaxObserver, type PartObserver } from "@splitgate/splitgate/qconfig";
import {
  defaultQConfig,
  defaultWeightObserver,
  fbgemmQConfig,
  qnnpackQConfig,
} from "../../src/qconfig/qconfig.ts";
import { lstmCell } from "../../src/cells/lstm_parts.ts";
import type { NamedModule } from "../../src/qconfig/mapping.ts";
import type { ObservedLSTM } from "../../src/modules/lstm/observed.ts";

const modules: NamedModule[] = [
  { name: "embedding", type: "Embedding" },
  { name: "encoder.lstm", type: "LSTM", parts: lstmCell(false).parts },
  { name: "decoder.lstm", type: "LSTM", parts: lstmCell(true).parts },
  { name: "out", type: "Linear" },
];
const configs: QConfig[] = Array.from({ length: 6 }, () => ({
  activation: MinMaxObserver.withArgs({}),
  weight: defaultWeightObserver,
}));
const [a, b, c, d, e] = configs;

/** Which of the configs each module gets. */
function resolved(mapping: QConfigMapping): (number | null)[] {
  return mapping.resolve(modules).map((qconfig) =>
    qconfig === null ? null : configs.indexOf(qconfig)
  );
}

Deno.test("QConfigMapping.resolve() prefers names over patterns over types over the global config", () => {
  const mapping = new QConfigMapping()
    .setModuleName("decoder.lstm", d!)
    .setModuleNamePattern(/.*\.lstm/, c!)
    .setObjectType("LSTM", b!)
    .setObjectType("Linear", b!)
    .setGlobal(a!);
  assertEquals(resolved(mapping), [0, 2, 3, 1]);
});

Deno.test("QConfigMapping.resolve() prefers what came later among equals", () => {
  const mapping = new QConfigMapping()
    .setGlobal(a!).setGlobal(b!)
    .setObjectType("LSTM", b!).setObjectType("LSTM", c!)
    .setModuleNamePattern(/decoder\..*/, c!).setModuleNamePattern(/decoder\..*/, d!)
    .setModuleName("out", d!).setModuleName("out", e!);
  assertEquals(resolved(mapping), [1, 2, 3, 4]);
});

Deno.test("QConfigMapping.resolve() leaves a module as it is when its config is null or there is none", () => {
  assertEquals(resolved(new QConfigMapping()), [null, null, null, null]);
  assertEquals(resolved(new QConfigMapping().setGlobal(a!).setObjectType("Embedding", null)), [
    null,
    0,
    0,
    0,
  ]);
});

Deno.test("QConfigMapping.setModuleNamePattern() matches whole names, whatever the pattern's flags", () => {
  assertThrows(
    () => new QConfigMapping().setModuleNamePattern(/lstm/, a!).resolve(modules),
    RangeError,
    "QConfigMapping: pattern /lstm/",
  );
  const mapping = new QConfigMapping().setModuleNamePattern(/ENCODER\.lstm|out/gi, a!);
  for (let k = 0; k < 2; k++) assertEquals(resolved(mapping), [null, 0, null, 0]);
});

Deno.test("QConfigMapping's setters leave the mapping that they are called on as it was", () => {
  const first = new QConfigMapping().setGlobal(a!);
  const second = first.setObjectType("LSTM", b!);
  // deno-lint-ignore splitgate/unused-mapping -- it changes none
  first.setPart("sigmoid", null);
  assertEquals([resolved(first), resolved(second)], [[0, 0, 0, 0], [0, 1, 1, 0]]);
});

Deno.test("QConfigMapping.setPart() sets a part over the config's own, one LSTM's over all", () => {
  const [f, g, h] = ["quint8", "qint8", "qint32"].map((dtype) =>
    MinMaxObserver.withArgs({ dtype: dtype as "quint8" })
  );
  const mapping = new QConfigMapping()
    .setGlobal({ ...a!, parts: { tanh: f!, sigmoid: f! } })
    .setPart("sigmoid", g!, "decoder.lstm")
    .setPart("sigmoid", h!)
    .setPart("forget_gate", null);
  const [embedding, encoder, decoder] = mapping.resolve(modules);
  assertEquals(encoder!.parts, { tanh: f, sigmoid: h, forget_gate: null });
  assertEquals(decoder!.parts, { tanh: f, sigmoid: g, forget_gate: null });
  assertStrictEquals(embedding!.activation, a!.activation);
});

Deno.test("QConfigMapping.resolve() reports a key that matched nothing, with the modules there are", () => {
  const none = (mapping: QConfigMapping, text: string) =>
    assertThrows(() => mapping.resolve(modules.slice(0, 2)), RangeError, `QConfigMapping: ${text}`);
  none(new QConfigMapping().setModuleName("lstm", a!), 'name "lstm"');
  none(
    new QConfigMapping().setModuleName("lstm", a!),
    'name "lstm": expected a module that matches (there are Embedding "embedding", LSTM "encoder.lstm")',
  );
  none(new QConfigMapping().setObjectType("Linear", a!), "type Linear");
  none(new QConfigMapping().setGlobal(a!).setPart("sigmoid", null, "out"), 'part sigmoid of "out"');
  none(new QConfigMapping().setGlobal(a!).setPart("projection", null), "part projection");
  none(
    new QConfigMapping().setGlobal(a!).setPart("proj", null, "encoder.lstm"),
    'part proj of "encoder.lstm"',
  );
  none(new QConfigMapping().setPart("sigmoid", null), "part sigmoid: expected a QConfig");
  assertEquals(
    new QConfigMapping().setGlobal(a!).setPart("proj", null).resolve(modules)[2]!.parts,
    { proj: null },
  );
});

Deno.test("QConfigMapping refuses what is no config, module type, pattern or part", () => {
  const mapping = new QConfigMapping();
  assertThrows(() => mapping.setGlobal({} as QConfig), TypeError, "qconfig.activation");
  assertThrows(() => mapping.setGlobal({ ...a!, weight: 7 as never }), TypeError, "qconfig.weight");
  assertThrows(() => mapping.setGlobal("fbgemm" as never), TypeError, "qconfig");
  assertThrows(
    () => mapping.setGlobal({ ...a!, parts: { gates: 1 as never } }),
    TypeError,
    "qconfig.parts.gates",
  );
  assertThrows(
    () => mapping.setGlobal({ ...a!, parts: { gate: null } as never }),
    RangeError,
    "qconfig.parts",
  );
  const refused = (change: object, kind: typeof TypeError | typeof RangeError, text: string) => {
    assertThrows(() => mapping.setGlobal({ ...a!, ...change } as never), kind, text);
  };
  refused(
    { engin: "qnnpack" },
    TypeError,
    "qconfig: expected no options but activation, weight, input, parts, engine",
  );
  refused(
    { engine: "onednn" },
    RangeError,
    'qconfig.engine: expected fbgemm or qnnpack, got "onednn"',
  );
  refused(
    { initialState: "zero" },
    RangeError,
    'qconfig.initialState: expected torch or own, got "zero"',
  );
  refused({ input: 3 }, TypeError, "qconfig.input: expected an observer factory");
  refused({ input: null }, TypeError, "PlaceholderObserver for float32");
  refused(
    { weight: "qint8" },
    TypeError,
    "qconfig.weight: expected an observer factory such as MinMaxObserver",
  );
  refused(
    { activation: MinMaxObserver },
    TypeError,
    "MinMaxObserver.withArgs({ ... }), got the class",
  );
  refused(
    { activation: new MinMaxObserver() },
    TypeError,
    "MinMaxObserver.withArgs({ ... }), got an observer",
  );
  assertThrows(
    () => mapping.setPart("sigmoid", new MinMaxObserver() as never),
    TypeError,
    "part sigmoid: expected an observer factory, MinMaxObserver.withArgs({ ... }), got an observer",
  );
  assertThrows(() => mapping.setObjectType(1 as never, a!), TypeError, "type");
  assertThrows(() => mapping.setModuleNamePattern("x" as never, a!), TypeError, "pattern");
  assertThrows(() => mapping.setModuleName(1 as never, a!), TypeError, "name");
  assertThrows(() => mapping.setPart("sigmoids" as never, null), RangeError, "sigmoid");
  assertThrows(() => mapping.setPart(1 as never, null), TypeError, "part");
  assertThrows(
    () => mapping.setPart("sigmoid", 1 as unknown as PartObserver),
    TypeError,
    "part sigmoid",
  );
  assertThrows(() => mapping.setPart("sigmoid", null, 1 as never), TypeError, "module");
});

Deno.test("prepare() gives parts that are left out torch's fixed parameters for sigmoid and tanh", () => {
  for (
    const [qconfig, dtype] of [[fbgemmQConfig, "quint8"], [qnnpackQConfig, "quint8"], [
      defaultQConfig,
      "quint8",
    ]] as const
  ) {
    const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), qconfig);
    const { observers } = (observed.modules.get("lstm") as ObservedLSTM).cells[0]![0]!;
    for (const gate of ["input_gate", "forget_gate", "output_gate"] as const) {
      assertEquals(observers[gate]!.calculateQParams(), {
        dtype,
        scale: 1 / 256,
        zeroPoint: 0,
        quantMin: 0,
        quantMax: 255,
      });
    }
    for (const tanh of ["cell_gate", "tanh_cy"] as const) {
      assertEquals(observers[tanh]!.calculateQParams(), {
        dtype,
        scale: 2 / 256,
        zeroPoint: 128,
        quantMin: 0,
        quantMax: 255,
      });
    }
  }
  const signed = { ...a!, activation: MinMaxObserver.withArgs({ dtype: "qint8" }) };
  const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), signed);
  const { input_gate, tanh_cy } =
    (observed.modules.get("lstm") as ObservedLSTM).cells[0]![0]!.observers;
  assertEquals([input_gate, tanh_cy].map((each) => each!.calculateQParams()), [
    { dtype: "qint8", scale: 1 / 256, zeroPoint: -128, quantMin: -128, quantMax: 127 },
    { dtype: "qint8", scale: 2 / 256, zeroPoint: 0, quantMin: -128, quantMax: 127 },
  ]);
});
