import { gru } from "../../runtime_gru.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { loadProgram } from "../../src/runtime/with_state.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { loadModel } from "../../src/io/model_file.ts";
import { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";
import { portable } from "./portable.ts";
import type { Program } from "../../src/runtime/program.ts";
import type { SessionOptions } from "../../src/runtime/basic_session.ts";
import type { Session } from "../../src/runtime/session.ts";
import { backends } from "../simd/backends.ts";
import { type Bits, type LSTMCase, lstmCases } from "../../src/testing/quantized_lstms.ts";
import { floatsOf } from "../../src/testing/random.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

const STEPS = 5;
const BATCH = 2;

/** All that a session gives over two calls: outputs and, where there is one, the state. */
function outputs(
  model: QuantizedModel | Program<Session>,
  seed: number,
  options: object,
): Uint8Array {
  const session = model.createSession({ ...options, batch: BATCH, maxSteps: STEPS });
  const size = STEPS * BATCH * model.inputSize;
  const x = model.vocabulary > 0
    ? Int32Array.from({ length: size }, (_, i) => (i * 7 + seed) % model.vocabulary)
    : floatsOf(seed, [size], 2).data;
  const y = new Float32Array(2 * STEPS * BATCH * model.outputSize);
  const half = y.length / 2;
  session.run(x, y.subarray(0, half));
  session.run(x, y.subarray(half), [STEPS, 2]);
  const state = model.looksAhead ? new Uint8Array(0) : session.state();
  return Uint8Array.of(...new Uint8Array(y.buffer), ...state);
}

Deno.test("loadProgram() gives what computes the same as the model that was compiled, states included", () => {
  const seen = { tokens: 0, folded: 0, float: 0, projected: 0, both: 0, images: 0 };
  const embeddings = fc.constantFrom(
    "none" as const,
    "8" as const,
    "16" as const,
    "float" as const,
  );
  fc.assert(
    fc.property(
      lstmCases(fc.constantFrom<Bits>(8, 16), fc.constantFrom<Bits>(0, 8)),
      embeddings,
      fc.boolean(),
      fc.constantFrom(false, true, "float32" as const, undefined),
      (c, embedding, linear, fold) => {
        const model = modelOf(c, embedding, linear);
        const tokens = embedding !== "none";
        const given =
          fold === undefined || !tokens && fold !== false || fold === "float32" && c.input === 0
            ? {}
            : { foldEmbedding: fold };
        let file: Uint8Array<ArrayBuffer>;
        let want: Uint8Array;
        try {
          file = compileModel(model, given);
          want = outputs(model, c.seed, given);
        } catch (error) {
          // qnnpack's addition does not take every scale.
          assert(error instanceof RangeError && c.engine === "qnnpack", `${error}`);
          assertThrows(() => outputs(model, c.seed, given), RangeError);
          return;
        }
        assertEquals(compileModel(model, given), file);
        const program = loadProgram(file);
        const ends = (
          { inputSize, outputSize, input, output, vocabulary, looksAhead }:
            | QuantizedModel
            | Program<Session>,
        ) => [
          ...[inputSize, outputSize, input, output, vocabulary, looksAhead],
        ];
        assertEquals(ends(program), ends(model));
        for (
          const options of [{ splitGates: false }, { splitGates: true }, {
            kernels: backends[2]![1],
          }]
        ) {
          assertEquals(outputs(program, c.seed, options), want);
          assertEquals(outputs(model, c.seed, { ...given, ...options }), want);
        }
        // For some kernels, and run by these and by others.
        const own = compileModel(model, { ...given, kernels: backends[c.seed % 3]![1] });
        if (own.length > file.length) seen.images++;
        for (const kernels of [undefined, ...backends.map(([, kernels]) => kernels)]) {
          assertEquals(outputs(loadProgram(own), c.seed, { kernels }), want);
        }
        if (!program.looksAhead) {
          const state = program.createSession().state();
          model.createSession(given).restore(state);
          assertEquals(model.createSession(given).state(), state);
        }
        if (tokens) seen.tokens++;
        if (tokens && program.data.nodes.length === (linear ? 2 : 1)) seen.folded++;
        if (c.input === 0) seen.float++;
        if (c.projSize > 0) seen.projected++;
        if (c.bidirectional) seen.both++;
      },
    ),
    { numRuns: 150 },
  );
  for (const [what, count] of Object.entries(seen)) assert(count >= 20, `${what}: ${count}`);
});

Deno.test("Kernels take what they made of a model from its program, and no other kernels do", () => {
  const conventions = { resetAfter: false, complementedUpdate: true };
  const models = [plainCase, { ...plainCase, gru: conventions }].map((c) => modelOf(c, "8", true));
  for (
    const [model, [made, kernels]] of models.flatMap((m) => backends.map((b) => [m, b] as const))
  ) {
    const want = outputs(model, 3, {});
    const program = loadProgram(compileModel(model, { kernels }), { kinds: [gru] });
    const [{ program: recurrent } = { program: null }] = program.data.nodes;
    const { image } = recurrent as unknown as { image: { kernels: string; memory: Uint8Array } };
    assertEquals(image.kernels, `simd 3, ${made}`);
    image.memory.fill(0);
    for (const [name, kernels] of backends) {
      const same = outputs(program, 3, { kernels }).every((byte, i) => byte === want[i]);
      assertEquals(same, name !== made, `${made} run by ${name}`);
    }
  }
});

Deno.test("loadProgram() takes bytes from anywhere in a buffer", () => {
  const model = modelOf(plainCase, "8", true);
  const file = compileModel(model);
  const want = outputs(model, 3, {});
  for (const offset of [1, 2, 4, 8, 13]) {
    const bytes = new Uint8Array(file.length + 32).subarray(offset, offset + file.length);
    bytes.set(file);
    assertEquals(outputs(loadProgram(bytes), 3, {}), want);
    // A Buffer's slice is no copy.
    const buffer = Buffer.alloc(file.length + 32).subarray(offset, offset + file.length);
    buffer.set(file);
    assertEquals(outputs(loadProgram(buffer), 3, {}), want);
  }
});

Deno.test("loadProgram() refuses what is cut off, of another version, or no program", () => {
  const model = modelOf(plainCase, "none", true);
  const file = compileModel(model);
  for (let length = 0; length < file.length; length += length < 64 ? 1 : 97) {
    assertThrows(() => loadProgram(file.subarray(0, length)), RangeError, "bytes: expected ");
  }
  assertThrows(
    () => loadProgram(Uint8Array.of(...file, 0)),
    RangeError,
    `bytes: expected ${file.length} bytes`,
  );
  assertThrows(
    () => loadProgram(saveModel(model)),
    RangeError,
    "bytes: expected a program that compileModel gave",
  );
  const other = file.with(4, 10) as Uint8Array;
  assertThrows(() => loadProgram(other), RangeError, "bytes: expected version 9, got 10");
  for (const wrong of [null, undefined, new Blob([file]), [...file], "file"]) {
    assertThrows(() => loadProgram(wrong as never), TypeError, "bytes: expected bytes, as an");
  }
});

Deno.test("loadProgram() gives a RangeError or a program when bytes of its header or text are changed", () => {
  const file = compileModel(modelOf({ ...plainCase, hiddenSize: 2 }, "none", true));
  const start = new DataView(file.buffer).getInt32(12, true);
  const places = [...Array(16).keys(), ...Array.from(file.keys()).slice(start)];
  fc.assert(
    fc.property(fc.constantFrom(...places), fc.nat(255), (at, value) => {
      try {
        loadProgram(file.with(at, value) as Uint8Array, { verify: false });
      } catch (error) {
        assert(
          error instanceof RangeError && /^(bytes|node .*): expected /.test(error.message),
          `${error}`,
        );
      }
    }),
    { numRuns: 1000 },
  );
});

Deno.test("compileModel() folds an Embedding where its rows are few, or as it is told", () => {
  const c: LSTMCase = { ...plainCase, hiddenSize: 33 };
  const model = modelOf(c, "8", false);
  const stages = (options?: object) =>
    loadProgram(compileModel(model, options)).data.nodes.map(({ program }) => program.kind);
  assertEquals(stages(), ["LSTM"]);
  assertEquals(stages({ foldEmbedding: true }), ["LSTM"]);
  assertEquals(stages({ foldEmbedding: "float32" }), ["LSTM"]);
  assertEquals(stages({ foldEmbedding: false }), ["Embedding", "LSTM"]);
  // 16 MB and a little more.
  const [, lstm] = model.modules;
  const numEmbeddings = 2 ** 24 / (33 * 16) + 1 | 0;
  const rows = new Float32Array(numEmbeddings);
  const embedding = {
    weight: new Uint8Array(numEmbeddings * 4),
    numEmbeddings,
    embeddingDim: 4,
    scales: rows,
    biases: rows,
  };
  const large = new QuantizedModel(
    new Map([["embedding", new QuantizedEmbedding(embedding)], lstm!]),
  );
  assertEquals(loadProgram(compileModel(large)).data.nodes.length, 2);
  assertEquals(loadProgram(compileModel(large, { foldEmbedding: true })).data.nodes.length, 1);
});

Deno.test("compileModel() folds an Embedding into a file no larger for it: its rows are projected as they are met", () => {
  const model = modelOf({ ...plainCase, hiddenSize: 33 }, "8", false);
  const [folded, whole] = [true, false].map((foldEmbedding) =>
    compileModel(model, { foldEmbedding }).length
  );
  assert(folded! <= whole!, `${folded} bytes, and ${whole} where nothing is folded`);
});

Deno.test("compileModel() refuses what a program cannot be, and options that there are not", () => {
  const parts = modelOf(
    { ...plainCase, bits: plainCase.bits.map((b, i) => i === 5 ? 0 : b) },
    "none",
    false,
  );
  assertThrows(
    () => compileModel(parts),
    RangeError,
    'modules.lstm: expected parts that the fast step runs, got "cells[0][0].',
  );
  loadModel(saveModel(parts)).createSession().step(new Float32Array(4), new Uint8Array(5));
  const model = modelOf(plainCase, "none", false);
  const options = (value: unknown) => () => compileModel(model, value as never);
  assertThrows(() => compileModel({} as never), TypeError, "model: expected a QuantizedModel");
  assertThrows(options(null), TypeError, "options: expected an object");
  assertThrows(options({ fold: true }), TypeError, "options.fold: expected no such option");
  assertThrows(options({ kernels: portable }), TypeError, "kernels: expected simdKernels()");
  assertThrows(options({ kernels: null }), TypeError, "kernels: expected simdKernels()");
  assertThrows(options({ foldEmbedding: 1 }), TypeError, "foldEmbedding: expected a boolean");
  assertThrows(
    options({ foldEmbedding: true }),
    RangeError,
    "foldEmbedding: expected false, since no Embedding",
  );
});

Deno.test("Program.createSession() refuses options that there are not", () => {
  const program = loadProgram(compileModel(modelOf(plainCase, "8", false)));
  const create = (options: object) => () => program.createSession(options as SessionOptions);
  assertThrows(
    create({ foldEmbedding: false }),
    TypeError,
    "options.foldEmbedding: expected no such option",
  );
  assertThrows(create({ batch: 0 }), RangeError, "batch: expected an integer");
  assertThrows(create({ kernels: {} }), TypeError, "kernels: expected a backend");
});
