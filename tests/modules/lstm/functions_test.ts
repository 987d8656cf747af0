// LSTMs whose gates and cell states have other functions than torch's: every combination, in every
// form.
import { dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  compileModel,
  convert,
  getPreset,
  loadModel,
  LSTM,
  prepare,
  QConfigMapping,
  quantizeDynamic,
  saveModel,
  type SessionOptions,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";
import type { CellFunctions } from "@splitgate/splitgate/modules";
import {
  BackendConfig,
  fbgemmBackendConfig,
  FixedQParamsObserver,
  MinMaxObserver,
  observeLSTMParts,
} from "@splitgate/splitgate/qconfig";
import { convertToReference, verifyGraph } from "@splitgate/splitgate/reference";
import { LSTM_FUNCTIONS } from "../../../kernels/float/lstm.ts";
import { floatFunction } from "../../../kernels/numeric/float_functions.ts";
import { QuantizedModel } from "../../../src/authoring/model.ts";
import { lstmCell } from "../../../src/cells/lstm_parts.ts";
import { byParts } from "../../../src/modules/recurrent/by_parts.ts";
import type { ObservedLSTM } from "../../../src/modules/lstm/observed.ts";
import { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { bytesOf } from "../../../src/testing/values.ts";
import { backends, Counted } from "../../simd/backends.ts";
import { cellActivations, gateActivations } from "../../../src/testing/float_lstms.ts";

/** Every combination of functions. */
const all: readonly CellFunctions[] = gateActivations.flatMap((gateActivation) =>
  cellActivations.flatMap((activation) =>
    cellActivations.map((cellActivation) => ({ gateActivation, activation, cellActivation }))
  )
);

const STEPS = 6;
const INPUT = 3;
const HIDDEN = 9;

/** Values that let gates saturate. */
function waves(...shape: number[]): Tensor {
  const length = shape.reduce((a, b) => a * b);
  return tensor(Float32Array.from({ length }, (_, i) => 2 * Math.sin(i * i + 1)), shape);
}

function lstmOf(functions: Partial<CellFunctions>, options: object = {}): LSTM {
  const lstm = new LSTM({
    inputSize: INPUT,
    hiddenSize: HIDDEN,
    seed: 5,
    ...functions,
    ...options,
  });
  const state = lstm.stateDict();
  for (const { data } of state.values()) data.forEach((w, i) => data[i] = 2 * w);
  lstm.loadStateDict(state);
  return lstm;
}

/** What a model gives in one call, as bytes. */
function run(
  model: Pick<QuantizedModel, "createSession">,
  x: Tensor,
  options: SessionOptions,
): Uint8Array {
  const y = new Float32Array(x.shape[0]! * HIDDEN);
  model.createSession({ maxSteps: x.shape[0]!, ...options }).run(x.data, y);
  return bytesOf(y);
}

/** Parts of 16 bits, so that tables are large, but for the hidden state. */
const wide = {
  ...fbgemmQConfig,
  parts: Object.fromEntries(
    ["linearOutput", "sigmoid", "tanh", "cellState", "cellTanh"].map((slot) => [
      slot,
      MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -32768, quantMax: 32767 }),
    ]),
  ),
};

for (
  const [name, qconfig] of [
    ["8 bits", getPreset("fbgemm")],
    ["8 bits, qnnpack", { ...getPreset("fbgemm"), engine: "qnnpack" as const }],
    ["16 bits", wide],
    ["accurate", getPreset("accurate")],
  ] as const
) {
  Deno.test(`every function gives the same in every form: ${name}`, () => {
    const x = waves(STEPS, 1, INPUT);
    let ran = 0;
    for (const [i, functions] of all.entries()) {
      // Large tables take long: of these each combination is fused or split.
      const forms = name.startsWith("8") ? [false, true] : [i % 2 === 1];
      for (const splitGates of forms) {
        const observed = prepare(lstmOf(functions), qconfig, { splitGates });
        observed.forward(x);
        const model = convert(observed);
        const at = `${name}, ${JSON.stringify(functions)}, ${splitGates}`;
        const expected = run(model, x, { kernels: byParts() });
        for (const split of [false, true]) {
          assertEquals(run(model, x, { splitGates: split }), expected, at);
        }
        const loaded = loadModel(saveModel(model));
        const { gateActivation, activation, cellActivation } = loaded.modules.get(
          "lstm",
        ) as QuantizedLSTM;
        assertEquals({ gateActivation, activation, cellActivation }, functions);
        const program = loadProgram(compileModel(model, { kernels: backends[0]![1] }));
        for (const other of [loaded, program]) assertEquals(run(other, x, {}), expected, at);
        for (const [kind, kernels] of backends) {
          const counted = new Counted(kernels);
          for (const other of [model, loaded, program]) {
            assertEquals(run(other, x, { kernels: counted }), expected, `${kind}: ${at}`);
          }
          // A step at a time, so that tables are met in another order.
          const session = model.createSession({ kernels });
          const y = new Float32Array(STEPS * HIDDEN);
          for (let t = 0; t < STEPS; t++) {
            session.step(
              x.data.subarray(t * INPUT, (t + 1) * INPUT),
              y.subarray(t * HIDDEN, (t + 1) * HIDDEN),
            );
          }
          assertEquals(bytesOf(y), expected, `${kind}, step by step: ${at}`);
          assertEquals([counted.ran, counted.refused], [3, 0], at);
          ran++;
        }
      }
    }
    assertEquals(ran, 64 * 3 * (name.startsWith("8") ? 2 : 1));
  });
}

Deno.test("every function's table is met at all of its inputs alike by SIMD and portable kernels", () => {
  // A Linear of the input's own integers: W_ih is the identity, W_hh nothing.
  const fixed = (scale: number, zeroPoint: number) =>
    FixedQParamsObserver.withArgs({ scale, zeroPoint });
  for (const functions of all) {
    const lstm = new LSTM({ inputSize: 1, hiddenSize: 1, bias: false, ...functions });
    const { weightIh, weightHh } = lstm.cells[0]![0]!;
    weightIh.fill(1);
    weightHh.fill(0);
    const observed = prepare(lstm, {
      ...fbgemmQConfig,
      activation: fixed(1 / 16, 128),
      input: fixed(1 / 16, 128),
    });
    const x = tensor(Float32Array.from({ length: 256 }, (_, i) => (i - 128) / 16), [256, 1, 1]);
    observed.forward(x);
    const model = convert(observed);
    const expected = new Float32Array(256);
    model.createSession({ maxSteps: 256, kernels: byParts() }).run(x.data, expected);
    assert(new Set(expected).size > 1, JSON.stringify(functions));
    for (const kernels of [undefined, ...backends.map(([, each]) => each)]) {
      const y = new Float32Array(256);
      model.createSession({ maxSteps: 256, kernels }).run(x.data, y);
      assertEquals(y, expected);
    }
  }
});

Deno.test("the reference graph names the functions, has their constants, and is the float model with its weights", () => {
  const gateActivation = { name: "hardSigmoid", slope: Math.fround(0.2), offset: 0.5 } as const;
  const lstm = lstmOf({ gateActivation, activation: "relu", cellActivation: "linear" });
  const x = waves(STEPS, 1, INPUT);
  const observed = prepare(lstm, getPreset("fbgemm"), { splitGates: true });
  observed.forward(x);
  const reference = convertToReference(observed);
  assertEquals(verifyGraph(reference.nodes), []);
  const ops = reference.nodes.filter(({ name }) => name.endsWith("_gate") || name.endsWith("_cy"))
    .map(({ part, op, constants }) => [part, op, constants]);
  const constants = { activation: gateActivation };
  assertEquals(ops, [
    ["input_gate", "hardsigmoid", constants],
    ["forget_gate", "hardsigmoid", constants],
    ["cell_gate", "relu", { activation: "relu" }],
    ["output_gate", "hardsigmoid", constants],
    ["tanh_cy", "identity", { activation: "linear" }],
    ["ogate_cy", "mul", undefined],
  ]);
  // Within a step or two of the integers, which round otherwise here and there.
  const y = new Float32Array(STEPS * HIDDEN);
  const model = convert(observed);
  model.createSession({ maxSteps: STEPS }).run(x.data, y);
  const { output } = reference.run(x);
  const { scale } = model.output!;
  output.data.forEach((value, i) => assert(Math.abs(value - y[i]!) <= 4 * scale, `${i}`));
});

Deno.test("bounded functions have the parameters of torch's operators, others the QConfig's observer", () => {
  const qconfig = { ...getPreset("fbgemm"), activation: MinMaxObserver.withArgs({}) };
  for (const functions of all) {
    const { cells } = prepare(lstmOf(functions), qconfig).modules.get("lstm") as ObservedLSTM;
    const { observers } = cells[0]![0]!;
    for (const { name, op, activation } of lstmCell(false, functions).parts) {
      if (activation === undefined) continue;
      const observer = observers[name as "input_gate"]!;
      if (op === "relu" || op === "identity") assertEquals(observer.kind, "MinMaxObserver");
      else {
        const { scale, zeroPoint } = observer.calculateQParams() as {
          scale: number;
          zeroPoint: number;
        };
        assertEquals([scale, zeroPoint], op === "tanh" ? [1 / 128, 128] : [1 / 256, 0], name);
      }
    }
  }
});

Deno.test("a slot made for a function's bounds is not given to one without them", () => {
  const slots = (functions: Partial<CellFunctions>) =>
    Object.fromEntries(
      lstmCell(false, new LSTM({ inputSize: 1, hiddenSize: 1, ...functions })).parts
        .filter(({ activation }) => activation !== undefined)
        .map(({ name, slot }) => [name, slot]),
    );
  const gates = { input_gate: "sigmoid", forget_gate: "sigmoid", output_gate: "sigmoid" };
  assertEquals(slots({}), { ...gates, cell_gate: "tanh", tanh_cy: "cellTanh" });
  assertEquals(slots({ activation: "relu" }), {
    ...gates,
    cell_gate: "cellState",
    tanh_cy: "cellState",
  });
  assertEquals(slots({ activation: "linear", cellActivation: "sigmoid" }), {
    ...gates,
    cell_gate: "cellState",
    tanh_cy: "sigmoid",
  });
  const bits8 = MinMaxObserver.withArgs({});
  const lstm = lstmOf({ activation: "relu" });
  assertThrows(
    () => observeLSTMParts(lstm, { tanh: bits8 }),
    RangeError,
    "part tanh: expected a slot of an LSTM of these functions: inputProjection",
  );
  const mapping = new QConfigMapping().setGlobal(getPreset("fbgemm")).setPart("cellTanh", bits8);
  assertThrows(() => prepare(lstm, mapping), RangeError, "part cellTanh");
  // Sums and products that requantize what they read share the slot, and read two values.
  const shared = {
    ...getPreset("fbgemm"),
    parts: { cellState: { output: bits8, inputs: [bits8, null] } },
  };
  const { cells } = prepare(lstm, shared).modules.get("lstm") as ObservedLSTM;
  assertEquals(Object.keys(cells[0]![0]!.observers.inputs!), [
    "fgate_cx",
    "igate_cgate",
    "fgate_cx_igate_cgate",
  ]);
});

Deno.test("a target that runs only sigmoid and tanh refuses other functions, or leaves them float", () => {
  const lstm = lstmOf({ gateActivation: "hardSigmoid", activation: "relu" });
  const { hardsigmoid: _hard, relu: _relu, ...patterns } = fbgemmBackendConfig.patterns;
  const backendConfig = new BackendConfig("narrow", patterns);
  const qconfig = getPreset("fbgemm");
  assertThrows(
    () => prepare(lstm, qconfig, { backendConfig }),
    RangeError,
    "hardsigmoid: not an operation of this target",
  );
  const observed = prepare(lstm, qconfig, { backendConfig, onUnsupported: "float" });
  assertEquals(observed.unsupported.map(({ name, op }) => [name, op]), [
    ["lstm.l0.input_gate", "hardsigmoid"],
    ["lstm.l0.forget_gate", "hardsigmoid"],
    ["lstm.l0.cell_gate", "relu"],
    ["lstm.l0.output_gate", "hardsigmoid"],
    ["lstm.l0.tanh_cy", "relu"],
  ]);
  const x = waves(STEPS, 1, INPUT);
  observed.forward(x);
  const { parts } = (convert(observed).modules.get("lstm") as QuantizedLSTM).cells[0]![0]!;
  assertEquals([parts.input_gate, parts.cell_gate, parts.tanh_cy], [null, null, null]);
  // torch's own targets run both.
  const torch = prepare(lstm, qconfig, { backendConfig: fbgemmBackendConfig });
  assertEquals(torch.unsupported, []);
});

Deno.test("files and programs of torch's functions say nothing of them, and fingerprints tell others apart", () => {
  const x = waves(STEPS, 1, INPUT);
  const modelOf = (functions: Partial<CellFunctions>) => {
    const observed = prepare(lstmOf(functions), getPreset("fbgemm"));
    observed.forward(x);
    return convert(observed);
  };
  const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);
  const plain = modelOf({});
  assertEquals(saveModel(modelOf({ ...LSTM_FUNCTIONS })), saveModel(plain));
  for (const key of Object.keys(LSTM_FUNCTIONS)) {
    assert(!text(saveModel(plain)).includes(key));
    assert(!text(compileModel(quantizeDynamic(lstmOf({})))).includes(key));
  }
  // The same integers with other functions are another model.
  const lstm = plain.modules.get("lstm") as QuantizedLSTM;
  const seen = new Set<string>();
  for (const functions of all) {
    const changed = new QuantizedLSTM({ ...lstm, ...functions });
    const state = new QuantizedModel(new Map([["lstm", changed]])).createSession().state();
    seen.add(state.subarray(0, 20).join());
    const session = plain.createSession();
    if (JSON.stringify(functions) === JSON.stringify(LSTM_FUNCTIONS)) session.restore(state);
    else assertThrows(() => session.restore(state), RangeError);
  }
  assertEquals(seen.size, 64);
});

Deno.test("a slope that float32 rounds is the same function as what it is rounded to", () => {
  const of = (slope: number) =>
    lstmOf({ gateActivation: { name: "hardSigmoid", slope, offset: 0.5 } }).gateActivation;
  assertEquals(of(0.2), of(Math.fround(0.2)));
  assertNotEquals(of(0.2), of(0.25));
});

Deno.test("LSTMs refuse functions that they do not have, and name the option", () => {
  const hard = (fields: object) => ({ gateActivation: { name: "hardSigmoid", ...fields } });
  const cases: [object, typeof TypeError | typeof RangeError, string][] = [
    [{ gateActivation: "tanh" }, RangeError, 'gateActivation: expected "sigmoid", "hardSigmoid"'],
    [{ gateActivation: "hard_sigmoid" }, RangeError, 'got "hard_sigmoid"'],
    [{ gateActivation: null }, TypeError, "gateActivation: expected"],
    [{ gateActivation: () => 0 }, TypeError, "gateActivation"],
    [{ gateActivation: { name: "relu" } }, RangeError, 'gateActivation.name: expected "hardSigm'],
    [hard({ slope: 0.2 }), TypeError, "gateActivation.offset: expected a number"],
    [hard({ offset: 0.5 }), TypeError, "gateActivation.slope: expected a number"],
    [hard({ slope: 0, offset: 0.5 }), RangeError, "gateActivation.slope"],
    [hard({ slope: -0.2, offset: 0.5 }), RangeError, "gateActivation.slope"],
    [hard({ slope: 1e-60, offset: 0.5 }), RangeError, "gateActivation.slope"],
    [hard({ slope: 1e39, offset: 0.5 }), RangeError, "gateActivation.slope"],
    [hard({ slope: 0.2, offset: NaN }), RangeError, "gateActivation.offset"],
    [hard({ slope: 0.2, offset: 0.5, alpha: 1 }), TypeError, 'got "alpha"'],
    [{ activation: "hardSigmoid" }, RangeError, 'activation: expected "tanh", "relu", "sigmoid"'],
    [{ activation: "toString" }, RangeError, "activation"],
    [{ activation: 1 }, TypeError, "activation"],
    [{ cellActivation: "gelu" }, RangeError, 'cellActivation: expected "tanh"'],
    [{ cellActivation: null }, TypeError, "cellActivation"],
  ];
  const plain = convertedLSTM();
  for (const [options, kind, text] of cases) {
    const sizes = { inputSize: 2, hiddenSize: 3, ...options };
    assertThrows(() => new LSTM(sizes), kind, text);
    assertThrows(() => new QuantizedLSTM({ ...plain, ...options }), kind, text);
  }
});

function convertedLSTM(): QuantizedLSTM {
  const observed = prepare(lstmOf({}), getPreset("fbgemm"));
  observed.forward(waves(STEPS, 1, INPUT));
  return convert(observed).modules.get("lstm") as QuantizedLSTM;
}

Deno.test("a dynamic LSTM whose cell state leaves float32 saturates and never gives NaN", () => {
  for (const activation of ["relu", "linear"] as const) {
    for (const cellActivation of cellActivations) {
      const lstm = lstmOf({ gateActivation: "hardSigmoid", activation, cellActivation });
      for (const { data } of lstm.stateDict().values()) {
        data.forEach((w, i) => data[i] = w < 0 ? -1e37 : 1e37);
      }
      const model = quantizeDynamic(lstm);
      const program = loadProgram(compileModel(model), { kinds: [dynamicLSTM] });
      const x = Float32Array.of(3e37, 3e37, 3e37);
      for (const made of [model, program]) {
        const session = made.createSession();
        const y = new Float32Array(HIDDEN);
        for (let t = 0; t < 50; t++) {
          x.forEach((value, k) => x[k] = -value);
          session.step(x, y);
          assert(y.every(Number.isFinite), `${activation}, ${cellActivation}: ${y}`);
        }
        assert(session.getState("lstm.c").data.every(Number.isFinite));
      }
    }
  }
});

Deno.test("calibrated rounding weighs a step by the square of the gate's slope, whatever its function", () => {
  const x = waves(1, 1, INPUT);
  for (const functions of all) {
    const lstm = lstmOf(functions);
    const observed = prepare(lstm, getPreset("accurate"));
    observed.forward(x);
    const { statistics } = (observed.modules.get("lstm") as ObservedLSTM).cells[0]![0]!;
    const { input } = statistics!;
    if (input.kind !== "gram") throw new Error("expected a gram matrix");
    const { weightIh, biasIh, biasHh } = lstm.cells[0]![0]!;
    for (let row = 0; row < 4 * HIDDEN; row++) {
      let sum = biasIh![row]! + biasHh![row]!;
      for (let k = 0; k < INPUT; k++) sum += weightIh[row * INPUT + k]! * x.data[k]!;
      const gate = Math.floor(row / HIDDEN);
      const f = floatFunction(gate === 2 ? functions.activation : functions.gateActivation);
      const slope = (f(Math.fround(sum + 1e-3)) - f(Math.fround(sum - 1e-3))) / 2e-3;
      const weight = input.gram[row * INPUT * INPUT]! / x.data[0]! ** 2;
      assert(Math.abs(weight - slope ** 2) < 2e-3, `${JSON.stringify(functions)}, row ${row}`);
    }
  }
});
