import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { dynamicLinear, dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { readTree, writeTree } from "../../io/tree.ts";
import {
  compileModel,
  convert,
  Embedding,
  Linear,
  loadModel,
  LSTM,
  type Module,
  prepare,
  type QConfig,
  QConfigMapping,
  type QuantizedModel,
  saveModel,
  Sequential,
  type Tensor,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import type { Engine, LinearWeight } from "@splitgate/splitgate/backend";
import {
  dynamicQConfig,
  fbgemmBackendConfig,
  MinMaxObserver,
  perChannelDynamicQConfig,
  PlaceholderObserver,
} from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { byParts } from "../../../src/modules/recurrent/by_parts.ts";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import { linearDynamicInt8 } from "@splitgate/splitgate/kernels";
import { floatFunction } from "../../../kernels/numeric/float_functions.ts";
import { generator } from "../../../src/testing/random.ts";
import { cellFunctions } from "../../../src/testing/float_lstms.ts";

const f = Math.fround;

/** A float module's weights, and inputs, from a seed. */
function fill<M extends Module>(model: M, seed: number): M {
  const random = generator(seed);
  const state = model.stateDict();
  for (const { data } of state.values()) {
    for (let i = 0; i < data.length; i++) data[i] = random(-0.8, 0.8);
  }
  model.loadStateDict(state);
  return model;
}

function randomTensor(seed: number, ...shape: number[]): Tensor {
  const random = generator(seed);
  return tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => f(random(-2, 2))),
    shape,
  );
}

function dynamicModel(
  model: Module,
  engine: Engine = "fbgemm",
  qconfig: QConfig = dynamicQConfig,
): QuantizedModel {
  return convert(prepare(model, { ...qconfig, engine }));
}

const sizes = fc.constantFrom(1, 3, 7, 13);
const cases = fc.record({
  seed: fc.nat(1e6),
  engine: fc.constantFrom<Engine>("fbgemm", "qnnpack"),
  perChannel: fc.boolean(),
  inputSize: sizes,
  hiddenSize: sizes,
  numLayers: fc.integer({ min: 1, max: 3 }),
  bidirectional: fc.boolean(),
  bias: fc.boolean(),
  splitGates: fc.boolean(),
  functions: cellFunctions,
  lengths: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function lstmOf(c: Case): QuantizedModel {
  const { inputSize, hiddenSize, numLayers, bidirectional, bias, engine, seed, splitGates } = c;
  const lstm = fill(
    new LSTM({ inputSize, hiddenSize, numLayers, bidirectional, bias, ...c.functions }),
    seed,
  );
  return convert(
    prepare(lstm, { ...(c.perChannel ? perChannelDynamicQConfig : dynamicQConfig), engine }, {
      splitGates,
    }),
  );
}

type Rows = readonly (readonly number[])[];

function linear(
  engine: Engine,
  rows: Rows,
  weight: LinearWeight,
  bias: Float32Array | null,
): number[][] {
  const { outFeatures } = weight;
  const y = new Float32Array(rows.length * outFeatures);
  const x = Float32Array.from(rows.flat());
  linearDynamicInt8(engine, x, { weight, bias }, y, { reduceRange: true });
  return rows.map((_, r) => [...y.subarray(r * outFeatures, (r + 1) * outFeatures)]);
}

/**
 * What torch.nn.LSTM's layers are, over a packed sequence: `sequence[t]` holds the rows that have
 * step t, by batch.
 */
function oracle(
  lstm: QuantizedLSTM,
  x: (step: number, row: number) => number[],
  lengths: readonly number[],
) {
  const steps = Math.max(...lengths);
  const { hiddenSize: n, engine } = lstm;
  const gate = floatFunction(lstm.gateActivation);
  const candidate = floatFunction(lstm.activation);
  const cell = floatFunction(lstm.cellActivation);
  const finals: { h: number[][]; c: number[][] }[] = [];
  const rowsAt = (t: number) => lengths.flatMap((length, b) => t < length ? [b] : []);
  let sequence = Array.from({ length: steps }, (_, t) => rowsAt(t).map((b) => x(t, b)));
  for (const layer of lstm.cells) {
    const outputs = layer.map(({ weightIh, weightHh, biasIh, biasHh }, d) => {
      const flat = linear(engine, sequence.flat(), weightIh, biasIh);
      const h = lengths.map(() => Array(n).fill(0));
      const projected = sequence.map((rows) => flat.splice(0, rows.length));
      const c = lengths.map(() => Array(n).fill(0));
      const out: number[][][] = [];
      for (let i = 0; i < steps; i++) {
        const t = d === 0 ? i : steps - 1 - i;
        const rows = rowsAt(t);
        const hidden = linear(engine, rows.map((b) => h[b]!), weightHh, biasHh);
        out[t] = rows.map((b, r) => {
          const gates = projected[t]![r]!.map((value, k) => f(value + hidden[r]![k]!));
          for (let j = 0; j < n; j++) {
            const [i, forget, o] = [0, 1, 3].map((g) => gate(gates[g * n + j]!));
            c[b]![j] = f(f(forget! * c[b]![j]) + f(i! * candidate(gates[2 * n + j]!)));
            h[b]![j] = f(o! * cell(c[b]![j]));
          }
          return [...h[b]!];
        });
      }
      finals.push({ h, c });
      return out;
    });
    sequence = sequence.map((rows, t) => rows.map((_, r) => outputs.flatMap((out) => out[t]![r]!)));
  }
  return { sequence, finals };
}

Deno.test("QuantizedLSTM.forward() equals a plain LSTM over dynamic linears when it is dynamic, padded rows left out", () => {
  fc.assert(fc.property(cases, (c) => {
    const { lengths, inputSize } = c;
    const steps = Math.max(...lengths);
    const batch = lengths.length;
    const lstm = lstmOf(c).modules.get("lstm") as QuantizedLSTM;
    const x = randomTensor(c.seed + 1, steps, batch, inputSize);
    const row = (
      t: number,
      b: number,
    ) => [...x.data.subarray((t * batch + b) * inputSize).subarray(0, inputSize)];
    const { sequence, finals } = oracle(lstm, row, lengths);
    const [y, [h, cell]] = lstm.forward(x, undefined, { lengths });
    const width = c.hiddenSize * (c.bidirectional ? 2 : 1);
    for (let t = 0; t < steps; t++) {
      let r = 0;
      for (let b = 0; b < batch; b++) {
        const at = (t * batch + b) * width;
        const here = [...y.data.subarray(at, at + width)];
        assertEquals(here, t < lengths[b]! ? sequence[t]![r++] : Array(width).fill(0));
      }
    }
    assertEquals([...h.data], finals.flatMap(({ h }) => h.flat()));
    assertEquals([...cell.data], finals.flatMap(({ c }) => c.flat()));
  }));
});

Deno.test("Session.run() equals QuantizedLSTM.forward() when the LSTM is dynamic and the steps run at once", () => {
  fc.assert(fc.property(cases, (c) => {
    const { lengths, inputSize } = c;
    const steps = Math.max(...lengths);
    const batch = lengths.length;
    const model = lstmOf(c);
    const lstm = model.modules.get("lstm") as QuantizedLSTM;
    const x = randomTensor(c.seed + 1, steps, batch, inputSize);
    const output = new Float32Array(steps * batch * model.outputSize);
    loadModel(saveModel(model)).createSession({ batch }).run(x.data, output, lengths);
    assertEquals(output, lstm.forward(x, undefined, { lengths })[0].data);
  }));
});

Deno.test("Session.step() equals QuantizedLSTM.forward() of one step when the LSTM is dynamic, state carried in bytes", () => {
  fc.assert(fc.property(cases.map((c) => ({ ...c, bidirectional: false })), (c) => {
    const { inputSize } = c;
    const batch = c.lengths.length;
    const model = lstmOf(c);
    const lstm = model.modules.get("lstm") as QuantizedLSTM;
    const output = new Float32Array(batch * model.outputSize);
    let state: Parameters<QuantizedLSTM["forward"]>[1];
    let bytes: Uint8Array | null = null;
    for (let t = 0; t < 3; t++) {
      const x = randomTensor(c.seed + t, 1, batch, inputSize);
      const session = model.createSession({ batch });
      if (bytes !== null) session.restore(bytes);
      session.step(x.data, output);
      bytes = session.state();
      const [y, next] = lstm.forward(x, state);
      assertEquals(output, y.data);
      state = next;
    }
  }));
});

Deno.test("Session.run() goes on from the state every maxSteps steps when a module is dynamic, each time with its own range", () => {
  const model = dynamicModel(
    fill(
      new Sequential({
        lstm: new LSTM({ inputSize: 3, hiddenSize: 7, numLayers: 2 }),
        out: new Linear({ inFeatures: 7, outFeatures: 2 }),
      }),
      8,
    ),
  );
  const x = randomTensor(9, 5, 2, 3);
  const whole = new Float32Array(20);
  const chunked = new Float32Array(20);
  model.createSession({ batch: 2, maxSteps: 5 }).run(x.data, whole);
  model.createSession({ batch: 2, maxSteps: 2 }).run(x.data, chunked);
  assertNotEquals(chunked, whole);
  const lstm = model.modules.get("lstm") as QuantizedLSTM;
  const out = model.modules.get("out") as QuantizedLinear;
  const expected: number[] = [];
  let state: Parameters<QuantizedLSTM["forward"]>[1];
  for (const [from, to] of [[0, 2], [2, 4], [4, 5]]) {
    const [y, next] = lstm.forward(
      tensor(x.data.slice(from! * 6, to! * 6), [to! - from!, 2, 3]),
      state,
    );
    expected.push(...out.forward(y).data);
    state = next;
  }
  assertEquals([...chunked], expected);
});

Deno.test("Session.workingBytes counts a dynamic module's memory, which steps do not add to", () => {
  const bytes = (inFeatures: number, maxSteps: number) =>
    dynamicModel(new Linear({ inFeatures, outFeatures: 1 })).createSession({ maxSteps })
      .workingBytes;
  // A row more: doubles in and out, then floats, integers and a float result.
  assertEquals(bytes(7, 4) - bytes(7, 3), 7 * 8 + 8 + 7 * 5 + 4);
});

Deno.test("Session.run() gives the rows of a batch one range when a module is dynamic", () => {
  const model = dynamicModel(fill(new Linear({ inFeatures: 3, outFeatures: 7 }), 1));
  const x = Float32Array.of(0.1, 0.2, 0.3, 50, -60, 70);
  const both = new Float32Array(14);
  const alone = new Float32Array(7);
  model.createSession({ batch: 2 }).step(x, both);
  model.createSession().step(x.subarray(0, 3), alone);
  assertNotEquals(both.subarray(0, 7), alone);
  // Beyond a row's length nothing counts.
  const lengths = [2, 1];
  const padded = new Float32Array(28);
  model.createSession({ batch: 2 }).run(
    Float32Array.of(...x.subarray(0, 3), 0.4, 0, 0, 0.1, 0.1, 0.2, 9e9, 9e9, 9e9),
    padded,
    lengths,
  );
  const valid = (model.modules.get("linear") as QuantizedLinear).forward(
    tensor([...x.subarray(0, 3), 0.4, 0, 0, 0.1, 0.1, 0.2], [3, 3]),
  );
  assertEquals(padded.subarray(0, 21), valid.data);
  assertEquals(padded.subarray(21), new Float32Array(7));
});

Deno.test("QuantizedLinear.forward() equals a session's when it is dynamic, whatever the sizes", () => {
  fc.assert(
    fc.property(
      sizes,
      sizes,
      fc.nat(1e6),
      fc.constantFrom<Engine>("fbgemm", "qnnpack"),
      (i, o, seed, engine) => {
        const model = dynamicModel(
          fill(new Linear({ inFeatures: i, outFeatures: o }), seed),
          engine,
        );
        const x = randomTensor(seed + 1, 4, 2, i);
        const y = new Float32Array(8 * o);
        model.createSession({ batch: 2 }).run(x.data, y);
        assertEquals((model.modules.get("linear") as QuantizedLinear).forward(x), {
          data: y,
          shape: [4, 2, o],
        });
      },
    ),
  );
});

Deno.test("Session.run() does not fold an Embedding into a dynamic LSTM", () => {
  const model = convert(prepare(
    fill(
      new Sequential({
        words: new Embedding({ numEmbeddings: 9, embeddingDim: 5 }),
        lstm: new LSTM({ inputSize: 5, hiddenSize: 7, bidirectional: true }),
        out: new Linear({ inFeatures: 14, outFeatures: 3 }),
      }),
      4,
    ),
    dynamicQConfig,
  ));
  const ids = Int32Array.of(0, 3, 8, 2, 2, 7);
  const y = new Float32Array(9 * 2);
  model.createSession({ batch: 2 }).run(ids, y);
  assertThrows(() => model.createSession({ foldEmbedding: true }), RangeError, "foldEmbedding");
  let value: Tensor = { data: new Float32Array(0), shape: [] };
  for (const module of model.modules.values()) {
    value = module.kind === "Embedding"
      ? (module as unknown as { forward(x: unknown): Tensor }).forward(tokens(ids, [3, 2]))
      : module instanceof QuantizedLSTM
      ? module.forward(value)[0] as Tensor
      : (module as QuantizedLinear).forward(value) as Tensor;
  }
  assertEquals(y, value.data);
});

Deno.test("Session.run() dequantizes what a dynamic module gets when the module before is not dynamic", () => {
  const mapping = new QConfigMapping().setGlobal(fbgemmQConfig).setModuleName(
    "out",
    dynamicQConfig,
  );
  const float = fill(
    new Sequential({
      lstm: new LSTM({ inputSize: 3, hiddenSize: 7 }),
      out: new Linear({ inFeatures: 7, outFeatures: 2 }),
    }),
    5,
  );
  const observed = prepare(float, mapping);
  const x = randomTensor(6, 4, 1, 3);
  observed.forward(x);
  const model = convert(observed);
  const y = new Float32Array(8);
  const h = new Float32Array(28);
  model.createSession().run(x.data, y);
  const lstm = convert((() => {
    const only = prepare(
      new Sequential({ lstm: float.children.get("lstm") as LSTM }),
      fbgemmQConfig,
    );
    only.forward(x);
    return only;
  })());
  lstm.createSession().run(x.data, h);
  assertEquals(y, (model.modules.get("out") as QuantizedLinear).forward(tensor(h, [4, 1, 7])).data);
});

Deno.test("saveModel() and loadModel() keep a dynamic model: the same bytes again", () => {
  const model = dynamicModel(
    fill(
      new Sequential({
        lstm: new LSTM({ inputSize: 3, hiddenSize: 7 }),
        out: new Linear({ inFeatures: 7, outFeatures: 2 }),
      }),
      7,
    ),
    "qnnpack",
    perChannelDynamicQConfig,
  );
  const bytes = saveModel(model);
  const again = loadModel(bytes);
  assertEquals(saveModel(again), bytes);
  assertEquals([...again.modules.values()].map((module) => "dynamic" in module && module.dynamic), [
    true,
    true,
  ]);
});

Deno.test("loadProgram() says what to import for dynamic modules, and runs them with it", () => {
  const float = new Sequential({
    lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }),
    out: new Linear({ inFeatures: 3, outFeatures: 2 }),
  });
  const model = dynamicModel(fill(float, 3));
  const file = compileModel(model);
  assertThrows(() => loadProgram(file), RangeError, "expected a kind that is loaded");
  const program = loadProgram(file, { kinds: [dynamicLinear, dynamicLSTM] });
  const outputs = [model, program].map((each) => {
    const session = each.createSession();
    const y = new Float32Array(3 * 2);
    session.run(Float32Array.of(1, -1, 0.5, 2, -3, 0.25), y);
    return [...y, ...session.state()];
  });
  assertEquals(outputs[1], outputs[0]);
});

Deno.test("loadModel() refuses dynamic flags that are none, and dynamic modules with parameters", () => {
  const linear = new Linear({ inFeatures: 2, outFeatures: 2 });
  const { tensors, tree } = readTree(saveModel(dynamicModel(linear)));
  const bytes = writeTree(tensors, tree);
  const edit = (from: string, to: string) => {
    const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    if (!text.includes(from) || from.length !== to.length) throw new Error(`no ${from}`);
    return Uint8Array.from(text.replace(from, to), (char) => char.charCodeAt(0));
  };
  assertThrows(
    () => loadModel(edit(`dynamic\\":true`, `dynamic\\":null`)),
    TypeError,
    "linear.dynamic",
  );
  assertThrows(
    () => loadModel(edit(`dynamic\\":true`, `dynamic\\":1234`)),
    TypeError,
    "linear.dynamic",
  );
  const parts = { dtype: "quint8", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 } as const;
  const made = dynamicModel(linear).modules.get("linear") as QuantizedLinear;
  assertThrows(
    () => new QuantizedLinear({ ...made, input: parts }),
    RangeError,
    "input: expected null",
  );
  const lstm = dynamicModel(new LSTM({ inputSize: 2, hiddenSize: 2 })).modules.get(
    "lstm",
  ) as QuantizedLSTM;
  assertThrows(
    () => new QuantizedLSTM({ ...lstm, input: parts }),
    RangeError,
    "parts: expected null",
  );
});

Deno.test("QuantizedLSTM.forward() refuses quantized tensors when it is dynamic", () => {
  const lstm = dynamicModel(new LSTM({ inputSize: 2, hiddenSize: 1 })).modules.get(
    "lstm",
  ) as QuantizedLSTM;
  const linear = dynamicModel(new Linear({ inFeatures: 2, outFeatures: 1 })).modules.get(
    "linear",
  ) as QuantizedLinear;
  const qparams = { dtype: "quint8", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 } as const;
  const x = { data: Uint8Array.of(1, 2), shape: [1, 1, 2], qparams };
  const zero = tensor([0], [1, 1, 1]);
  const h = { data: Uint8Array.of(1), shape: [1, 1, 1], qparams };
  assertThrows(() => lstm.forward(x), TypeError, "x: expected a float32 tensor");
  assertThrows(() => linear.forward(x), TypeError, "x: expected a float32 tensor");
  assertThrows(
    () => lstm.forward(tensor([1, 2], [1, 1, 2]), [zero, h]),
    TypeError,
    "c0: expected a float32 tensor",
  );
});

Deno.test("byParts() does not run a dynamic LSTM as if it were not", () => {
  const model = dynamicModel(fill(new LSTM({ inputSize: 2, hiddenSize: 3 }), 1));
  const lstm = model.modules.get("lstm") as QuantizedLSTM;
  const x = randomTensor(1, 2, 1, 2);
  assertEquals(lstm.forward(x, undefined, { kernels: byParts() }), lstm.forward(x));
});

Deno.test("prepare() refuses what a dynamic module cannot have, and names it", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
  const activation = MinMaxObserver.withArgs({});
  const refuses = (qconfig: QConfig, message: string) =>
    void assertThrows(() => prepare(lstm, qconfig), RangeError, message);
  refuses(
    { ...dynamicQConfig, activation },
    "qconfig of lstm: activation: expected a PlaceholderObserver",
  );
  refuses(
    { ...dynamicQConfig, input: activation },
    "qconfig of lstm: input: expected a PlaceholderObserver",
  );
  refuses(
    { ...dynamicQConfig, parts: { cellState: activation } },
    "qconfig of lstm: parts: expected none",
  );
  assertThrows(
    () => prepare(lstm, dynamicQConfig, { backendConfig: fbgemmBackendConfig }),
    RangeError,
    "backendConfig",
  );
  const projected = new LSTM({ inputSize: 2, hiddenSize: 3, projSize: 1 });
  assertThrows(() => prepare(projected, dynamicQConfig), RangeError, "lstm.projSize");
  const flag = { ...dynamicQConfig, dynamic: "yes" } as unknown as QConfig;
  assertThrows(() => prepare(lstm, flag), TypeError, "qconfig.dynamic");
});

Deno.test("convert() refuses dynamic weights that are not int8, as torch's float16 ones", () => {
  const float16 = { ...dynamicQConfig, weight: PlaceholderObserver.withArgs({}) };
  assertThrows(
    () => convert(prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), float16)),
    TypeError,
    "linear.weight observer: expected one for qint8",
  );
});

Deno.test("convertToReference() refuses a dynamic model by name", () => {
  const observed = prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), dynamicQConfig);
  assertThrows(
    () => convertToReference(observed),
    RangeError,
    "modules.linear: expected no dynamic module",
  );
});
