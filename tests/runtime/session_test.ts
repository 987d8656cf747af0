import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { newQArray, type QArray } from "../../src/core/dtype.ts";
import { perTensorAffine } from "../../src/core/qparams.ts";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import type { ForwardTensor } from "../../src/modules/kind.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";
import type { SessionOptions } from "../../src/runtime/basic_session.ts";
import { type Bits, type LSTMCase, lstmCases, lstmOf } from "../../src/testing/quantized_lstms.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";
import { inputFor } from "../../src/testing/values.ts";

function outputOf(model: QuantizedModel, rows: number): Float32Array | QArray {
  const length = rows * model.outputSize;
  return model.output === null ? new Float32Array(length) : newQArray(model.output.dtype, length);
}

const eight = fc.constant<Bits>(8);
const mixed = fc.constantFrom<Bits>(7, 8, 16);
const inputs = fc.constantFrom<Bits>(0, 8);
const models = fc.tuple(
  fc.oneof(
    lstmCases(eight, inputs),
    lstmCases(mixed, inputs),
    lstmCases(fc.constantFrom<Bits>(0, 8), inputs),
  ),
  fc.constantFrom("none" as const, "8" as const, "16" as const, "float" as const),
  fc.boolean(),
);

/** Whether qnnpack can add with the case's scales. */
function runs(model: QuantizedModel): boolean {
  try {
    model.createSession();
    return true;
  } catch (error) {
    if (!(error instanceof RangeError) || !error.message.includes("qnnpack's addition")) {
      throw error;
    }
    return false;
  }
}

Deno.test("Session gives what its modules' forward give, in any form and folded or not", () => {
  let ran = 0;
  fc.assert(
    fc.property(
      models,
      fc.boolean(),
      fc.constantFrom(1, 2, 9),
      ([given, embedding, linear], integers, maxSteps) => {
        const c = given;
        const model = modelOf(c, embedding, linear);
        const { batch, steps } = c;
        const rows = c.batchFirst ? [batch, steps] : [steps, batch];
        if (!runs(model)) return;
        const x = inputFor(model, c.seed, steps * batch, { integers });
        const last = [...model.modules.values()].length - 1;
        let value: ForwardTensor = { data: new Float32Array(0), shape: [] };
        [...model.modules.values()].forEach((module, i) => {
          if (module instanceof QuantizedEmbedding) {
            value = module.forward({ data: x as Int32Array, shape: rows });
          } else {
            if (i === 0) {
              const shape = [...rows, model.inputSize];
              value = x instanceof Float32Array
                ? { data: x, shape }
                : { data: x as QArray, shape, qparams: model.input! };
            }
            value = module instanceof QuantizedLinear
              ? module.forward(requantized(value, module))
              : (module as QuantizedLSTM).forward(value)[0];
          }
          if (i < last) return;
          for (
            const options of [
              {},
              { splitGates: true },
              { splitGates: false, foldEmbedding: false },
              {
                kernels: byParts(),
              },
            ]
          ) {
            const session = model.createSession({
              batch,
              maxSteps: model.looksAhead ? steps : maxSteps,
              ...options,
            });
            const y = outputOf(model, steps * batch);
            session.run(x, y);
            assertEquals([...y], [...value.data]);
          }
        });
        ran++;
      },
    ),
    { numRuns: 120 },
  );
  assert(ran > 80, `${ran}`);
});

/** What a session does between modules whose parameters differ. */
function requantized(x: ForwardTensor, { input }: QuantizedLinear): ForwardTensor {
  if (!("qparams" in x) || input !== null && JSON.stringify(input) === JSON.stringify(x.qparams)) {
    return x;
  }
  const { scale, zeroPoint } = x.qparams;
  const data = Float32Array.from(x.data, (q) => Math.fround(scale) * Math.fround(q - zeroPoint));
  return { data, shape: x.shape };
}

Deno.test("Session gives the same step by step, in runs of any length, and moved to another session between", () => {
  let ran = 0;
  fc.assert(
    fc.property(models, fc.nat(), fc.boolean(), ([given, embedding, linear], seed, integers) => {
      const c = { ...given, bidirectional: false, steps: 9, batchFirst: false };
      const model = modelOf(c, embedding, linear);
      const { batch } = c;
      if (!runs(model)) return;
      const x = inputFor(model, c.seed, 9 * batch, { integers });
      const whole = outputOf(model, 9 * batch);
      model.createSession({ batch, maxSteps: 9 }).run(x, whole);
      const random = generator(seed);
      const got: number[] = [];
      let session = model.createSession({ batch, maxSteps: 2, splitGates: true });
      for (let done = 0; done < 9;) {
        const steps = Math.min(9 - done, Math.floor(random(1, 6)));
        const part = x.slice(
          done * batch * model.inputSize,
          (done + steps) * batch * model.inputSize,
        );
        const y = outputOf(model, steps * batch);
        if (steps === 1) session.step(part, y);
        else session.run(part, y);
        got.push(...y);
        done += steps;
        if (random(0, 1) < 0.5) {
          const state = session.state();
          const other = model.createSession({ batch, splitGates: random(0, 1) < 0.5 });
          other.restore(state);
          assertEquals(other.state(), state);
          session = other;
        }
      }
      assertEquals(got, [...whole]);
      const before = outputOf(model, 9 * batch);
      session.reset();
      session.run(x, before);
      assertEquals([...before], [...whole]);
      ran++;
    }),
    { numRuns: 80 },
  );
  assert(ran > 50, `${ran}`);
});

Deno.test("Session.run() gives each row what it gets alone when lengths differ, and 0 beyond them", () => {
  let ran = 0;
  fc.assert(
    fc.property(
      models,
      fc.nat(),
      fc.constantFrom(1, 4, 9),
      ([given, embedding, linear], seed, maxSteps) => {
        const c = { ...given, batch: 3, steps: 9, batchFirst: false };
        const model = modelOf(c, embedding, linear);
        const random = generator(seed);
        if (!runs(model)) return;
        const { inputSize, outputSize, output } = model;
        const x = inputFor(model, c.seed, 27);
        const y = outputOf(model, 27);
        const lengths = [1, 2, 3].map(() => Math.floor(random(1, 10)));
        const session = model.createSession({
          batch: 3,
          maxSteps: model.looksAhead ? 9 : maxSteps,
        });
        session.run(x, y, lengths);
        const row = (from: ArrayLike<number>, width: number, b: number, steps: number) =>
          Array.from(
            { length: steps * width },
            (_, i) => from[(Math.floor(i / width) * 3 + b) * width + i % width]!,
          );
        lengths.forEach((length, b) => {
          const alone = outputOf(model, length);
          const part = x.slice(0, length * inputSize);
          part.set(row(x, inputSize, b, length));
          const other = model.createSession({ maxSteps: model.looksAhead ? 9 : maxSteps });
          other.run(part, alone);
          assertEquals(row(y, outputSize, b, length), [...alone]);
          const rest = row(y, outputSize, b, 9).slice(length * outputSize);
          assert(rest.every((value) => value === (output?.zeroPoint ?? 0)));
          // Alone or together, the state is the same after the header, row by row.
          if (!model.looksAhead && length === 9) {
            assert(other.state().length < session.state().length);
          }
        });
        ran++;
      },
    ),
    { numRuns: 80 },
  );
  assert(ran > 50, `${ran}`);
});

/** A model with 4 inputs and a hidden state of 5. */
function plain(options: Partial<LSTMCase> = {}, embedding: "none" | "8" = "none"): QuantizedModel {
  return modelOf({ ...plainCase, ...options }, embedding, false);
}

Deno.test("Session refuses bad input, names it, and keeps its state", () => {
  const model = plain();
  const session = model.createSession({ batch: 2 });
  const x = Float32Array.of(1, 2, 0, -1, 0.5, 0, 1, 2);
  const y = new Uint8Array(10);
  session.step(x, y);
  const state = session.state();
  const refused = (
    run: () => void,
    kind: typeof RangeError | typeof TypeError,
    message: string,
  ) => {
    assertThrows(run, kind, message);
    assertEquals(session.state(), state);
  };
  const bad = x.slice();
  bad[3] = NaN;
  refused(() => session.step(bad, y), RangeError, "input[3]: expected a finite number, got NaN");
  bad[3] = -Infinity;
  refused(
    () => session.step(bad, y),
    RangeError,
    "input[3]: expected a finite number, got -Infinity",
  );
  refused(() => session.step(x.subarray(1), y), RangeError, "input: expected 8 elements, got 7");
  refused(
    () => session.step(new Int8Array(8), y),
    TypeError,
    "input: expected a Float32Array or an array of quint8",
  );
  refused(() => session.step([1, 2] as never, y), TypeError, "input: expected");
  refused(
    () => session.step(x, new Uint8Array(9)),
    RangeError,
    "output: expected 10 elements, got 9",
  );
  refused(
    () => session.step(x, new Int32Array(10)),
    TypeError,
    "output: expected a Float32Array or an array of quint8",
  );
  refused(
    () => session.run(new Float32Array(0), y),
    RangeError,
    "sequence: expected a positive multiple of 8 elements",
  );
  refused(
    () => session.run(new Float32Array(12), y),
    RangeError,
    "sequence: expected a positive multiple of 8 elements",
  );
  refused(() => session.run(null as never, y), TypeError, "sequence: expected");
  bad[3] = Infinity;
  refused(
    () => session.run(bad, y),
    RangeError,
    "sequence[3]: expected a finite number, got Infinity",
  );
  const long = new Float32Array(16);
  const out = new Float32Array(20);
  refused(() => session.run(long, out, [1]), RangeError, "lengths: expected 2 elements, got 1");
  refused(
    () => session.run(long, out, [1, 3]),
    RangeError,
    "lengths[1]: expected an integer in 0..2, got 3",
  );
  refused(
    () => session.run(long, out, [-1, 1]),
    RangeError,
    "lengths[0]: expected an integer in 0..2, got -1",
  );
  refused(() => session.run(long, out, null as never), RangeError, "lengths: expected 2 elements");
});

Deno.test("Session refuses integers out of range and unknown tokens", () => {
  const q = perTensorAffine({
    dtype: "quint8",
    scale: 0.1,
    zeroPoint: 8,
    quantMax: 15,
    quantMin: 0,
  });
  const lstm = lstmOf(plainCase, { input: q });
  const model = new QuantizedModel(new Map([["lstm", lstm]]));
  const session = model.createSession();
  assertThrows(
    () => session.step(Uint8Array.of(1, 2, 16, 3), new Uint8Array(5)),
    RangeError,
    "input[2]: expected an integer in 0..15, got 16",
  );
  const tokens = plain({}, "8").createSession();
  const y = new Uint8Array(5);
  assertThrows(
    () => tokens.step(Int32Array.of(5), y),
    RangeError,
    "input[0]: expected an integer in 0..4, got 5",
  );
  assertThrows(
    () => tokens.step(Int32Array.of(-1), y),
    RangeError,
    "input[0]: expected an integer in 0..4, got -1",
  );
  assertThrows(
    () => tokens.step(Float32Array.of(1), y),
    TypeError,
    "input: expected an Int32Array of token ids",
  );
});

Deno.test("QuantizedModel.createSession() refuses options that make no sense", () => {
  const model = plain();
  for (
    const [options, kind, message] of [
      [null, TypeError, "options: expected an object, got null"],
      [{ batch: 0 }, RangeError, "batch: expected an integer in 1.."],
      [{ batch: 1.5 }, RangeError, "batch"],
      [{ splitGate: true }, TypeError, "options.splitGate: expected no such option, got true"],
      [{ batch: "1" }, TypeError, "batch"],
      [{ maxSteps: 0 }, RangeError, "maxSteps"],
      [{ splitGates: 1 }, TypeError, "splitGates: expected a boolean"],
      [{ foldEmbedding: 1 }, TypeError, 'foldEmbedding: expected a boolean or "float32", got 1'],
      [
        { foldEmbedding: "float" },
        TypeError,
        'foldEmbedding: expected a boolean or "float32", got "float"',
      ],
      [
        { foldEmbedding: "float32" },
        RangeError,
        "foldEmbedding: expected false, since no Embedding feeds a recurrent module",
      ],
      [
        { foldEmbedding: true },
        RangeError,
        "foldEmbedding: expected false, since no Embedding feeds a recurrent module, got true",
      ],
      [{ splitGates: null }, TypeError, "splitGates: expected a boolean"],
      [{ kernels: {} }, TypeError, "kernels: expected a backend"],
    ] as const
  ) {
    assertThrows(() => model.createSession(options as unknown as SessionOptions), kind, message);
  }
});

Deno.test("Session gives what an LSTM of float32 input gives when foldEmbedding is float32", () => {
  let ran = 0;
  let differ = 0;
  fc.assert(
    fc.property(
      models,
      fc.constantFrom("8" as const, "16" as const, "float" as const),
      ([given, , linear], rows) => {
        const c = { ...given, input: 8 as const, batchFirst: false };
        const model = modelOf(c, rows, linear);
        if (!runs(model)) return;
        const { batch, steps } = c;
        const x = inputFor(model, c.seed, steps * batch);
        const modules = new Map(model.modules);
        modules.set(
          "lstm",
          new QuantizedLSTM({ ...modules.get("lstm") as QuantizedLSTM, input: null }),
        );
        const oracle = new QuantizedModel(modules);
        const maxSteps = steps;
        const [want, rounded, ...got] = ([
          [oracle, { foldEmbedding: false, kernels: byParts() }],
          [model, {}],
          [model, { foldEmbedding: "float32" }],
          [model, { foldEmbedding: "float32", splitGates: true }],
          [model, { foldEmbedding: "float32", kernels: byParts() }],
        ] as const).map(([model, options]) => {
          const y = outputOf(model, steps * batch);
          model.createSession({ batch, maxSteps, ...options }).run(x, y);
          return y;
        });
        for (const y of got) assertEquals(y, want);
        if (rounded!.some((value, i) => value !== want![i])) differ++;
        ran++;
      },
    ),
    { numRuns: 60 },
  );
  assert(ran > 40 && differ > ran / 2, `${ran}, ${differ}`);
  const float = modelOf({ ...plainCase, input: 0 }, "8", false);
  assertThrows(
    () => float.createSession({ foldEmbedding: "float32" }),
    RangeError,
    'foldEmbedding: expected a boolean, since what reads the Embedding takes float32, got "float32"',
  );
});

Deno.test("Session only runs, and says so, when the model is bidirectional", () => {
  const session = plain({ bidirectional: true }).createSession({ maxSteps: 3 });
  const y = new Uint8Array(10);
  for (
    const call of [
      () => session.step(new Float32Array(4), y),
      () => session.state(),
      () => session.restore(y),
    ]
  ) {
    assertThrows(call, TypeError, "expected run, since the model reads whole sequences");
  }
  assertThrows(
    () => session.run(new Float32Array(16), new Uint8Array(40)),
    RangeError,
    "at most maxSteps = 3 steps",
  );
  // Every run starts from the beginning.
  const x = floatsOf(7, [12], 2).data;
  const first = new Uint8Array(30);
  const second = new Uint8Array(30);
  session.run(x, first);
  session.run(x, second);
  assertEquals(first, second);
});

Deno.test("Session.restore() refuses what is no state of it and keeps its own", () => {
  const model = plain();
  const session = model.createSession({ batch: 2 });
  const x = floatsOf(7, [8], 2).data;
  const y = new Uint8Array(10);
  session.step(x, y);
  const state = session.state();
  const changed = (at: number, value: number) => state.map((byte, i) => i === at ? value : byte);
  for (
    const [bytes, message] of [
      [new Uint8Array(0), "state: expected a session's state"],
      [state.subarray(0, 19), "a batch of 2"],
      [changed(0, 1), "state: expected a session's state"],
      [changed(4, 9), "state: expected version 2, got 9"],
      [changed(8, state[8]! ^ 1), "state: expected a state of this model"],
      [changed(16, 3), "state: expected a batch of 2, got 3"],
      [
        state.subarray(0, state.length - 1),
        `state: expected ${state.length} bytes, got ${state.length - 1}`,
      ],
      [new Uint8Array([...state, 0]), `${state.length} bytes`],
      [changed(20, 2), "state[20]: expected at most 1, got 2"],
      [model.createSession({ batch: 1 }).state(), "a batch of 2"],
      [plain({ seed: 4 }).createSession({ batch: 2 }).state(), "a state of this model"],
    ] as const
  ) {
    assertThrows(() => session.restore(bytes), RangeError, message);
    assertEquals(session.state(), state);
  }
  assertThrows(
    () => session.restore([...state] as never),
    TypeError,
    "state: expected bytes, as an ArrayBuffer or a view of one",
  );
  // Also from an unaligned view, and after it went through another worker as a copy.
  const view = new Uint8Array([0, ...state]).subarray(1);
  const other = model.createSession({ batch: 2 });
  other.restore(view);
  const z = new Uint8Array(10);
  session.step(x, y);
  other.step(x, z);
  assertEquals(y, z);
});

Deno.test("Session.restore() refuses integers out of a part's range", () => {
  const bits = Array<Bits>(13).fill(7);
  const session = plain({ bits }).createSession();
  const state = session.state();
  state[20] = 0;
  state[21] = 128; // 7-bit parts span 127 steps
  assertThrows(
    () => session.restore(state),
    RangeError,
    "state[21]: expected at most 127, got 128",
  );
});

Deno.test("Session.workingBytes is smaller by at least 4 * hiddenSize doubles when gates are split", () => {
  for (const hiddenSize of [1, 2, 3, 5, 8, 33, 64, 128]) {
    const model = plain({ hiddenSize });
    const bytes = (splitGates: boolean) => model.createSession({ splitGates }).workingBytes;
    assert(bytes(false) - bytes(true) >= 4 * hiddenSize * 8, `${hiddenSize}`);
  }
});

Deno.test("Session.workingBytes grows by the rows between modules and by the states, and by nothing else", () => {
  const double = 8;
  for (const [numLayers, betweenLayers] of [[1, 0], [2, 1], [3, 2], [4, 2]] as const) {
    for (const hiddenSize of [5, 8, 33]) {
      const model = plain({ hiddenSize, numLayers });
      const bytes = (batch: number, maxSteps: number) =>
        model.createSession({ batch, maxSteps }).workingBytes;
      // The input, the output, and values between layers, of which two buffers serve any number.
      const row = (4 + hiddenSize * (1 + betweenLayers)) * double;
      assertEquals(bytes(1, 9) - bytes(1, 4), 5 * row);
      assertEquals(bytes(3, 9) - bytes(3, 4), 3 * 5 * row);
      // Hidden and cell state, whether a layer's row has had no step yet, and its steps left.
      const state = numLayers * (2 * hiddenSize * double + 1) + 4;
      assertEquals(bytes(3, 4) - bytes(1, 4), 2 * (4 * row + state));
    }
  }
});

Deno.test("Sessions of one model do not mix when they run interleaved", () => {
  const model = plain({ numLayers: 2 });
  const x = floatsOf(11, [4 * 20], 2).data;
  const whole = new Uint8Array(5 * 20);
  model.createSession().run(x, whole);
  const sessions = Array.from(
    { length: 10 },
    (_, i) => model.createSession({ splitGates: i % 2 === 0, maxSteps: 1 + i }),
  );
  const outputs = sessions.map(() => new Uint8Array(5));
  for (let t = 0; t < 20; t++) {
    sessions.forEach((session, i) => session.step(x.subarray(4 * t, 4 * t + 4), outputs[i]!));
    for (const y of outputs) assertEquals(y, whole.subarray(5 * t, 5 * t + 5));
  }
});

Deno.test("QuantizedModel refuses modules that do not follow each other", () => {
  const lstm = lstmOf(plainCase);
  const model = (...modules: [string, unknown][]) => () =>
    new QuantizedModel(new Map(modules as never));
  const embedding = [...plain({}, "8").modules][0]![1];
  assertThrows(model(), RangeError, "modules: expected at least one module");
  assertThrows(
    model(["a", lstm], ["b", lstm]),
    RangeError,
    "modules.b: expected an input of width 5, got 4",
  );
  assertThrows(
    model(["a", lstm], ["b", embedding]),
    RangeError,
    "modules.b: expected an Embedding to read token ids",
  );
});
