/**
 * What float32 cannot hold: whatever is made of huge and tiny inputs, weights, scales and biases is
 * refused by name before a state moves, or the same from all that run it.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  compileModel,
  Embedding,
  Linear,
  loadModel,
  LSTM,
  perTensorAffine,
  type PerTensorQParams,
  quantizeDynamic,
  saveModel,
  Sequential,
  type Session,
  type SessionInput,
  tensor,
} from "@splitgate/splitgate";
import type { Backend } from "@splitgate/splitgate/backend";
import type { QuantizedModule } from "@splitgate/splitgate/modules";
import { dynamicQConfig } from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { readTree, writeTree } from "../io/tree.ts";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";
import { linearDynamicInt8 } from "@splitgate/splitgate/kernels";
import { MAX_FLOAT32 } from "../../kernels/numeric/requantize.ts";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import {
  type Bits,
  type LSTMCase,
  lstmCases,
  lstmOf,
  qparamsOf,
} from "../../src/testing/quantized_lstms.ts";
import { generator } from "../../src/testing/random.ts";
import { plainCase } from "../../src/testing/quantized_models.ts";
import { backends } from "../simd/backends.ts";

type Random = (lo: number, hi: number) => number;
interface Executor {
  readonly name: string;
  readonly splitGates?: boolean;
  readonly kernels?: Backend;
}

const executors: readonly Executor[] = [
  { name: "portable", splitGates: false },
  { name: "portable, split gates", splitGates: true },
  { name: "by parts", kernels: byParts() },
  { name: "by parts, split gates", kernels: byParts(), splitGates: true },
  ...backends.map(([name, kernels]) => ({ name, kernels })),
];

/** float32 values from the smallest to the largest; mostly large. */
function ladder(random: Random): number {
  const sign = random(0, 1) < 0.5 ? -1 : 1;
  const which = random(0, 1);
  if (which < 0.1) return 0;
  if (which < 0.25) return sign * MAX_FLOAT32;
  if (which < 0.35) return sign * Math.fround(2 ** Math.floor(random(-149, -126)));
  const exponent = which < 0.6 ? random(90, 128) : random(-126, 127);
  return sign * Math.min(Math.fround(random(1, 2) * 2 ** Math.floor(exponent)), MAX_FLOAT32);
}

/** A scale from the whole of what parameters may have. */
function hugeScale(random: Random): number {
  const exponent = random(0, 1) < 0.6 ? random(90, 128) : random(-127, 127);
  return Math.min(Math.fround(random(1, 2) * 2 ** Math.floor(exponent)), MAX_FLOAT32);
}

/** The LSTM with some of its numbers replaced, each with the probability `rate`. */
function hostile(lstm: QuantizedLSTM, random: Random, rate: number): QuantizedLSTM {
  const hit = () => random(0, 1) < rate;
  const q = (p: PerTensorQParams | null) =>
    p !== null && hit() ? perTensorAffine({ ...p, scale: hugeScale(random) }) : p;
  const floats = (values: Float32Array, value: (random: Random) => number) =>
    values.map((x) => hit() ? value(random) : x);
  const cells = lstm.cells.map((layer) =>
    layer.map((cell) => ({
      ...cell,
      weightIh: { ...cell.weightIh, scales: floats(cell.weightIh.scales, hugeScale) },
      weightHh: { ...cell.weightHh, scales: floats(cell.weightHh.scales, hugeScale) },
      weightHr: cell.weightHr &&
        { ...cell.weightHr, scales: floats(cell.weightHr.scales, hugeScale) },
      biasIh: cell.biasIh && floats(cell.biasIh, ladder),
      biasHh: cell.biasHh && floats(cell.biasHh, ladder),
      parts: Object.fromEntries(
        Object.entries(cell.parts).map((
          [name, part],
        ) => [name, Array.isArray(part) ? part.map(q) : q(part as PerTensorQParams)]),
      ) as unknown as typeof cell.parts,
    }))
  );
  return new QuantizedLSTM({ ...lstm, input: q(lstm.input), cells });
}

/** What `make` gives, or null where it refuses by a named RangeError. */
function madeOrRefused<T>(make: () => T): T | null {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    assert(/^[\w.[\]]+('s bias\S*)?: expected .*, got /.test(error.message), error.message);
    return null;
  }
}

/**
 * The outcome of a call: its output or its error, and the state, which an error must not change.
 */
function outcome(session: Session, input: SessionInput, size: number, maySave = true): string {
  const before = maySave ? session.state().join() : "";
  const output = new Float32Array(size);
  try {
    session.run(input, output);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    if (maySave) assertEquals(session.state().join(), before, `the state moved: ${error.message}`);
    return error.message;
  }
  assert(output.every(Number.isFinite), `[${output}]`);
  if (!maySave) return output.join();
  const state = session.state();
  session.restore(state);
  return `${output} | ${state}`;
}

/**
 * Runs a model on the inputs with all executors, two sessions in turn beside a lone one, and
 * compares what they leave.
 */
function compare(
  model: QuantizedModel,
  inputs: readonly SessionInput[],
  batch: number,
  maxSteps: number,
): void {
  const { looksAhead: bidirectional, inputSize, outputSize } = model;
  const sizeOf = (input: SessionInput) => input.length / inputSize * outputSize;
  let expected: string[] | undefined;
  for (const { name, ...options } of executors) {
    const session = () =>
      model.createSession({ ...options, batch, maxSteps: bidirectional ? 256 : maxSteps });
    const lone = session();
    const own = inputs.map((input) => outcome(lone, input, sizeOf(input), !bidirectional));
    expected ??= own;
    assertEquals(own, expected, name);
    const [first, second] = [session(), session()];
    const last = inputs.length - 1;
    const turns = inputs.map((input, i) => {
      const other = inputs[last - i]!;
      const one = outcome(first, input, sizeOf(input), !bidirectional);
      return [one, outcome(second, other, sizeOf(other), !bidirectional)];
    });
    assertEquals(turns.map(([one]) => one), expected, `${name}, interleaved`);
    const reversed = session();
    assertEquals(
      turns.map(([, two]) => two),
      inputs.map((_, i) =>
        outcome(reversed, inputs[last - i]!, sizeOf(inputs[last - i]!), !bidirectional)
      ),
      `${name}, interleaved`,
    );
  }
}

function inputsOf(c: LSTMCase, random: Random): Float32Array[] {
  return Array.from(
    { length: 3 },
    () => Float32Array.from({ length: c.steps * c.batch * c.inputSize }, () => ladder(random)),
  );
}

const anyBits = fc.constantFrom<Bits>(0, 7, 8, 8, 8, 16, 16, 32);
const fastBits = fc.constantFrom<Bits>(7, 8, 8, 16);

/**
 * Cases that the fast step mostly runs, and cases of which only some do; projections may stay
 * float32.
 */
const cases = fc.oneof(
  lstmCases(anyBits, anyBits),
  fc.tuple(
    lstmCases(fastBits, fc.constantFrom<Bits>(0, 7, 8, 16)),
    fc.boolean(),
    fc.boolean(),
  ).map(([c, input, hidden]) => ({
    ...c,
    bits: c.bits.map((b, i): Bits => (i === 0 && input) || (i === 1 && hidden) ? 0 : b),
  })),
).filter((c) => c.hiddenSize < 20 && c.inputSize < 20);

Deno.test("an LSTM of huge and tiny numbers is refused by name, or the same from all executors", () => {
  let refused = 0;
  let ran = 0;
  fc.assert(
    fc.property(cases, fc.constantFrom(0.003, 0.01, 0.03), (c, rate) => {
      const random = generator(c.seed ^ 0x5bd1);
      const model = madeOrRefused(() => {
        const lstm = hostile(lstmOf(c), random, rate);
        const model = new QuantizedModel(new Map([["lstm", lstm]]));
        model.createSession();
        return model;
      });
      if (model === null) {
        refused++;
        return;
      }
      ran++;
      compare(model, inputsOf(c, random), c.batch, 2);
    }),
    { numRuns: 200 },
  );
  assert(refused > 15 && ran > 60, `${refused} refused, ${ran} ran`);
});

Deno.test("a file with a huge or tiny scale is refused by name, or the same from all executors", () => {
  let refused = 0;
  let ran = 0;
  for (
    const c of [
      plainCase,
      { ...plainCase, input: 0, bits: plainCase.bits.map((b, i): Bits => i < 2 ? 0 : b) } as const,
      { ...plainCase, engine: "qnnpack", torchInitialState: false } as const,
    ]
  ) {
    const random = generator(5);
    const { tensors, tree: whole } = readTree(
      saveModel(new QuantizedModel(new Map([["lstm", lstmOf(c)]]))),
    );
    const { length } = whole.qparams;
    for (let which = 0; which < length; which++) {
      for (const scale of [2 ** -127, 2 ** -126, 2 ** -64, 2 ** 64, 2 ** 119, 1e38, MAX_FLOAT32]) {
        const tree = structuredClone(whole);
        if (tree.qparams[which] === null) continue;
        tree.qparams[which][1] = scale;
        const file = writeTree(tensors, tree);
        const model = madeOrRefused(() => {
          const model = loadModel(file);
          model.createSession();
          return model;
        });
        if (model === null) refused++;
        else {
          ran++;
          compare(model, inputsOf(c, random), c.batch, 2);
        }
      }
    }
  }
  assert(refused > 100 && ran > 50, `${refused} refused, ${ran} ran`);
});

/** A session of the program that the model is compiled to; null where parts run one by one. */
function compiledSession(model: QuantizedModel, batch: number): Session | null {
  let program: Uint8Array;
  try {
    program = compileModel(model);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    return null;
  }
  return loadProgram(program).createSession({ batch, maxSteps: 256 });
}

/** A Linear of float32 input; of float32 output, or of 8 bits. */
function floatLinear(
  inFeatures: number,
  outFeatures: number,
  random: Random,
  output: PerTensorQParams | null,
): QuantizedLinear {
  return new QuantizedLinear({
    engine: "fbgemm",
    weight: {
      data: Int8Array.from({ length: inFeatures * outFeatures }, () => random(-128, 128)),
      outFeatures,
      inFeatures,
      perChannel: false,
      scales: Float32Array.of(2 ** Math.floor(random(-10, 120))),
      zeroPoints: Int32Array.of(0),
    },
    bias: Float32Array.from({ length: outFeatures }, () => ladder(random)),
    input: null,
    output,
  });
}

Deno.test("an overflow between modules is one error from all executors, and moves no state", () => {
  let failed = 0;
  let ran = 0;
  let compiledRan = 0;
  fc.assert(
    fc.property(cases, fc.boolean(), fc.boolean(), fc.integer({ min: 1, max: 4 }), (
      c,
      quantized,
      embedding,
      maxSteps,
    ) => {
      const random = generator(c.seed ^ 0x77);
      const output = quantized ? qparamsOf(8, 2 ** Math.floor(random(-5, 110)), random) : null;
      const modules = new Map<string, QuantizedModule>();
      const numEmbeddings = 3;
      if (embedding) {
        const size = numEmbeddings * c.inputSize;
        const weight = Float32Array.from({ length: size }, () => ladder(random));
        const none = new Float32Array(0);
        modules.set(
          "embedding",
          new QuantizedEmbedding({
            weight,
            numEmbeddings,
            embeddingDim: c.inputSize,
            scales: none,
            biases: none,
          }),
        );
      }
      if (!embedding || random(0, 1) < 0.7) {
        const linear = madeOrRefused(() => floatLinear(c.inputSize, c.inputSize, random, output));
        if (linear === null) return;
        modules.set("in", linear);
      }
      modules.set("lstm", lstmOf(c));
      const size = (c.projSize || c.hiddenSize) * (c.bidirectional ? 2 : 1);
      if (random(0, 1) < 0.5 && c.bits[c.projSize > 0 ? 12 : 11] === 0) {
        modules.set("out", floatLinear(size, 2, random, null));
      }
      const model = new QuantizedModel(modules);
      if (madeOrRefused(() => model.createSession()) === null) return;
      const inputs = Array.from({ length: 4 }, () => {
        const length = c.steps * c.batch;
        if (embedding) return Int32Array.from({ length }, () => random(0, numEmbeddings));
        // Most are small, so that calls fail in the middle.
        return Float32Array.from(
          { length: length * c.inputSize },
          () => random(0, 1) < 0.1 ? ladder(random) : random(-1, 1) * 2 ** -120,
        );
      });
      compare(model, inputs, c.batch, maxSteps);
      const session = model.createSession({ batch: c.batch, maxSteps: 256 });
      const compiled = compiledSession(model, c.batch);
      for (const input of inputs) {
        const output = new Float32Array(c.steps * c.batch * model.outputSize);
        const before = compiled && !model.looksAhead ? compiled.state() : null;
        const copy = output.slice();
        try {
          session.run(input, output);
          ran++;
          if (compiled === null) continue;
          compiledRan++;
          compiled.run(input, copy);
          assertEquals(copy, output);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          failed++;
          if (compiled === null) continue;
          assertThrows(() => compiled.run(input, copy), RangeError, error.message);
          if (before !== null) assertEquals(compiled.state(), before);
        }
      }
    }),
    { numRuns: 100 },
  );
  assert(
    failed > 20 && ran > 40 && compiledRan > 10,
    `${failed} failed, ${ran} ran, ${compiledRan} compiled`,
  );
});

Deno.test("dynamic models give finite results or an error that moves no state", () => {
  let failed = 0;
  let ran = 0;
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom("fbgemm", "qnnpack") as fc.Arbitrary<"fbgemm" | "qnnpack">,
      fc.integer({ min: 0, max: 7 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      (seed, engine, shape, batch, maxSteps) => {
        const random = generator(seed);
        const embedding = shape % 2 === 1;
        const numLayers = shape < 4 ? 1 : 2;
        const lstm = new LSTM({ inputSize: 3, hiddenSize: 4, numLayers });
        const float = new Sequential({
          ...(embedding
            ? { embedding: new Embedding({ numEmbeddings: 4, embeddingDim: 3 }) }
            : shape % 4 === 0
            ? { in: new Linear({ inFeatures: 3, outFeatures: 3 }) }
            : {}),
          lstm,
          ...(seed % 3 > 0 ? { out: new Linear({ inFeatures: 4, outFeatures: 2 }) } : {}),
        });
        const share = random(0, 0.8);
        for (const { data } of float.stateDict().values()) {
          if (random(0, 1) < 0.3) continue;
          for (let i = 0; i < data.length; i++) {
            if (random(0, 1) < share) data[i] = ladder(random);
          }
        }
        const model = madeOrRefused(() => quantizeDynamic(float, { ...dynamicQConfig, engine }));
        if (model === null) return;
        const [one, two, other] = [1, 2, 3].map(() => model.createSession({ batch, maxSteps }));
        for (let i = 0; i < 4; i++) {
          const rows = batch * Math.floor(random(1, 8));
          const make = (): SessionInput =>
            embedding
              ? Int32Array.from({ length: rows }, () => random(0, 4))
              : Float32Array.from({ length: rows * 3 }, () =>
                random(0, 1) < 0.1 ? ladder(random) : random(-1, 1));
          const [input, meanwhile] = [make(), make()];
          const size = rows * model.outputSize;
          const expected = outcome(one!, input, size);
          outcome(other!, meanwhile, size);
          assertEquals(outcome(two!, input, size), expected);
          if (expected.startsWith("output: expected finite results")) failed++;
          else ran++;
        }
      },
    ),
    { numRuns: 300 },
  );
  assert(failed > 50 && ran > 200, `${failed} failed, ${ran} ran`);
});

Deno.test("a watcher that throws in the middle of a step or run leaves the state as it was", () => {
  const model = new QuantizedModel(
    new Map([["lstm", lstmOf({ ...plainCase, numLayers: 2 })]]),
  );
  for (const steps of [1, 2, 5]) {
    let calls = Infinity;
    const kernels = byParts(() => {
      if (--calls < 0) throw new Error("enough");
    });
    const session = model.createSession({ kernels, batch: 2, maxSteps: 2 });
    const random = generator(steps);
    const input = Float32Array.from({ length: 2 * steps * 4 }, () => random(-1, 1));
    const output = new Float32Array(2 * steps * 5);
    session.run(input, output);
    calls = 1e6;
    const before = session.state().join();
    session.run(input, output);
    const all = 1e6 - calls;
    const after = session.state().join();
    assert(after !== before && all >= 24 * 2 * steps, `${all} parts`);
    for (let at = 0; at < all; at++) {
      session.restore(Uint8Array.from(before.split(","), Number));
      calls = at;
      assertThrows(() => session.run(input, output), Error, "enough");
      assertEquals(session.state().join(), before, `after ${at} parts of ${all}`);
    }
    calls = all;
    session.run(input, output);
    assertEquals(session.state().join(), after);
  }
});

Deno.test("a custom backend that throws leaves the state as it was", () => {
  const model = new QuantizedModel(new Map([["lstm", lstmOf(plainCase)]]));
  let fails = false;
  const kernels: Backend = {
    name: "failing",
    instantiate(lstm) {
      const inner = byParts().instantiate(lstm)!;
      return {
        process(...all) {
          inner.process(...all);
          if (fails) throw new Error("late");
        },
      };
    },
  };
  const session = model.createSession({ kernels });
  const x = Float32Array.of(1, -1, 0.5, 2);
  const output = new Float32Array(5);
  session.step(x, output);
  const before = session.state().join();
  fails = true;
  assertThrows(() => session.step(x, output), Error, "late");
  assertEquals(session.state().join(), before);
});

Deno.test("forward() of an LSTM refuses given parameters that overflow, and else computes finite values", () => {
  let refused = 0;
  let ran = 0;
  fc.assert(
    fc.property(lstmCases(anyBits, fc.constantFrom<Bits>(0, 8, 16)), (c) => {
      const random = generator(c.seed ^ 0x99);
      const lstm = madeOrRefused(() => hostile(lstmOf(c), random, 0.002));
      if (lstm === null) return;
      const { batch, steps, hiddenSize, projSize } = c;
      const rows = c.numLayers * (c.bidirectional ? 2 : 1);
      const given = (shape: number[]) => {
        const data = Float32Array.from(
          { length: shape.reduce((a, b) => a * b) },
          () => ladder(random),
        );
        if (random(0, 1) < 0.5) return tensor(data, shape);
        const zeroPoint = Math.floor(random(0, 255));
        const qparams = perTensorAffine({ dtype: "quint8", scale: hugeScale(random), zeroPoint });
        return { data: Uint8Array.from(data, () => random(0, 256)), shape, qparams };
      };
      const x = given(c.batchFirst ? [batch, steps, c.inputSize] : [steps, batch, c.inputSize]);
      const state = [
        given([rows, batch, projSize || hiddenSize]),
        given([rows, batch, hiddenSize]),
      ] as const;
      const results = [...executors.entries()].map(([, { name: _name, ...options }]) =>
        madeOrRefused(() => {
          const [y, [h, cell]] = lstm.forward(x, state, options);
          for (const { data } of [y, h, cell]) assert(data.every(Number.isFinite), `[${data}]`);
          return [y, h, cell].map(({ data }) => data.join()).join(" | ");
        })
      );
      if (results[0] === null) refused++;
      else ran++;
      results.forEach((result, i) => assertEquals(result, results[0], executors[i]!.name));
    }),
    { numRuns: 200 },
  );
  assert(refused > 20 && ran > 20, `${refused} refused, ${ran} ran`);
});

Deno.test("a float Linear's overflow is an error of its forward, of sessions and of the reference graph", () => {
  const linear = floatLinear(2, 2, () => 100, null);
  const model = new QuantizedModel(new Map([["out", linear]]));
  const x = Float32Array.of(MAX_FLOAT32, 1);
  const message = "output: expected finite results, got Infinity";
  assertThrows(() => linear.forward(tensor(x, [1, 2])), RangeError, message);
  assertThrows(
    () => model.createSession().step(x, new Float32Array(2)),
    RangeError,
    message,
  );
  assertThrows(() => convertToReference(model).run(tensor(x, [1, 2])), RangeError, message);
});

Deno.test("run() of a reference graph refuses a given state whose values overflow", () => {
  const lstm = lstmOf(plainCase);
  const graph = convertToReference(new QuantizedModel(new Map([["lstm", lstm]])));
  const qparams = perTensorAffine({ dtype: "quint8", scale: 1e38, zeroPoint: 0 });
  const h = { data: new Uint8Array(5).fill(255), shape: [1, 5], qparams };
  const c = tensor(new Float32Array(5), [1, 5]);
  assertThrows(
    () =>
      graph.run(tensor(new Float32Array(4), [1, 1, 4]), {
        state: new Map([["lstm.l0", { h, c }]]),
      }),
    RangeError,
    "lstm.l0.h[0]: expected a finite number, got Infinity",
  );
});

Deno.test("an overflow in the padding of a row is none", () => {
  const random = generator(1);
  const lstm = lstmOf({ ...plainCase, input: 0 });
  const model = new QuantizedModel(
    new Map<string, QuantizedModule>([["in", floatLinear(4, 4, () => 100, null)], ["lstm", lstm]]),
  );
  const input = Float32Array.from({ length: 3 * 2 * 4 }, () => random(-1, 1));
  const [padded, plain] = [0, 1].map(() => model.createSession({ batch: 2 }));
  const outputs = [0, 1].map(() => new Float32Array(3 * 2 * 5));
  plain!.run(input, outputs[0]!, [3, 1]);
  for (let k = 0; k < 4; k++) input[1 * 8 + 4 + k] = input[2 * 8 + 4 + k] = MAX_FLOAT32;
  padded!.run(input, outputs[1]!, [3, 1]);
  assertEquals(outputs[1], outputs[0]);
  assertEquals(padded!.state(), plain!.state());
  assertThrows(() => padded!.run(input, outputs[1]!), RangeError, "finite results");
  // One of the second row's own steps overflows.
  assertThrows(() => padded!.run(input, outputs[1]!, [3, 2]), RangeError, "finite results");
  assertEquals(padded!.state(), plain!.state());
});

Deno.test("what makes a part overflow is named", () => {
  const lstm = lstmOf(plainCase);
  const cell = lstm.cells[0]![0]!;
  const made = (parts: object, options: object = {}) => () =>
    new QuantizedLSTM({
      ...lstm,
      cells: [[{ ...cell, ...options, parts: { ...cell.parts, ...parts } }]],
    });
  const at = (part: "forget_gate" | "fgate_cx" | "fgate_cx_igate_cgate", scale: number) => ({
    [part]: { ...cell.parts[part]!, scale },
  });
  made({})();
  const { quantMax, zeroPoint } = cell.parts.forget_gate!;
  const steps = Math.max(quantMax - zeroPoint, zeroPoint);
  assertThrows(
    made(at("forget_gate", 1e38)),
    RangeError,
    `LSTM.cells[0][0].parts.forget_gate: expected a scale of which float32 holds ${steps} steps`,
  );
  assertThrows(
    made({ ...at("forget_gate", 2 ** 10), ...at("fgate_cx", 2 ** -127) }),
    RangeError,
    "LSTM.cells[0][0].parts.fgate_cx: expected scales of forget_gate and c whose product over",
  );
  const floats = [null, null, null, null];
  assertThrows(
    made({ hgates: floats }, {
      weightHh: { ...cell.weightHh, scales: cell.weightHh.scales.map(() => 2 ** 117) },
    }),
    RangeError,
    "LSTM.cells[0][0].weightHh.scales[0]: expected sums that are float32 values",
  );
  assertThrows(
    made({ igates: floats }, {
      weightIh: { ...cell.weightIh, scales: cell.weightIh.scales.map(() => 2 ** 127) },
    }),
    RangeError,
    "LSTM.cells[0][0].weightIh.scales[0]: expected weights that are float32 values",
  );
  const biasIh = cell.biasIh!.map(() => 1e38);
  assertThrows(
    made({}, { biasIh }),
    RangeError,
    "LSTM.cells[0][0].weightIh's bias[0]: expected float32 to hold it in steps of",
  );
  assertThrows(
    () =>
      new QuantizedEmbedding({
        weight: new Uint8Array(2),
        numEmbeddings: 2,
        embeddingDim: 1,
        scales: Float32Array.of(1, 2e36),
        biases: Float32Array.of(0, 0),
      }),
    RangeError,
    "Embedding.scales[1]: expected a row of float32 values",
  );
});

Deno.test("linearDynamicInt8() overflows to infinities, never to NaN", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom("fbgemm", "qnnpack") as fc.Arbitrary<"fbgemm" | "qnnpack">,
      fc.boolean(),
      (seed, engine, relu) => {
        const random = generator(seed);
        const x = Float32Array.from({ length: 6 }, () => ladder(random));
        const data = Int8Array.from({ length: 6 }, () => Math.floor(random(-128, 128)));
        if (random(0, 1) < 0.5) data.fill(0);
        const weight = {
          data,
          outFeatures: 2,
          inFeatures: 3,
          perChannel: false,
          scales: Float32Array.of(hugeScale(random)),
          zeroPoints: Int32Array.of(0),
        };
        const bias = Float32Array.of(ladder(random), ladder(random));
        const out = new Float32Array(4);
        linearDynamicInt8(engine, x, { weight, bias, relu }, out, { reduceRange: true });
        assert(out.every((y) => y === y), `[${out}]`);
        if (data.every((w) => w === 0)) {
          assertEquals(
            [...out],
            [0, 1, 0, 1].map((i) => relu ? Math.max(bias[i]!, 0) : 0 + bias[i]!),
          );
        }
      },
    ),
    { numRuns: 2000 },
  );
});
