import { dynamicLinear, dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import type { Program } from "../../src/runtime/program.ts";
import { loadProgram } from "../../src/runtime/with_state.ts";
import type { Session } from "../../src/runtime/session.ts";
import { anyModel, type ModelCase, modelCases } from "../runtime/forms.ts";
import { bytesOf, inputFor, outputFor } from "../../src/testing/values.ts";
import { generator } from "../../src/testing/random.ts";
import { readTree, writeTree } from "../io/tree.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

const streaming = modelCases.map((c) => ({ ...c, lstm: { ...c.lstm, bidirectional: false } }));

/** The model with some of its LSTM's options changed. */
function withLSTM(model: QuantizedModel, options: object): QuantizedModel {
  return new QuantizedModel(
    new Map(
      [...model.modules].map(([name, module]) => [
        name,
        module.kind === "LSTM"
          ? new QuantizedLSTM({ ...module as QuantizedLSTM, ...options })
          : module,
      ]),
    ),
  );
}

/** The file with other spaces and fields in another order in its header, which says the same. */
function respaced(bytes: Uint8Array): Uint8Array {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + size));
  const fields = Object.entries(JSON.parse(text)).reverse();
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(fields), null, 3));
  const start = 8 + Math.ceil(header.length / 8) * 8;
  const out = new Uint8Array(start + bytes.length - 8 - size).fill(32);
  new DataView(out.buffer).setUint32(0, start - 8, true);
  out.fill(0, 4, 8);
  out.set(header, 8);
  out.set(bytes.subarray(8 + size), start);
  return out;
}

Deno.test("a state moves between all models that compute the same, whatever they were made from", () => {
  let ran = 0;
  fc.assert(
    fc.property(streaming, (c: ModelCase) => {
      const model = anyModel(c);
      if (model === null) return;
      const file = saveModel(model);
      const renamed = new Map([...model.modules].map(([name, module]) => [`${name}.x`, module]));
      const same: (QuantizedModel | Program<Session>)[] = [
        loadModel(file),
        loadModel(respaced(file)),
        loadModel(Buffer.from(file)),
        new QuantizedModel(renamed),
        withLSTM(model, { splitGates: true }),
        withLSTM(model, { splitGates: false }),
        withLSTM(model, { batchFirst: !c.lstm.batchFirst }),
        loadModel(saveModel(withLSTM(model, { splitGates: true }))),
      ];
      const parts = c.dynamic ||
        model.lower().data.nodes.some(({ program }) => program.byParts !== undefined);
      if (!parts) {
        same.push(loadProgram(compileModel(model)));
        same.push(loadProgram(compileModel(loadModel(file), { foldEmbedding: false })));
      }
      const session = model.createSession();
      session.step(inputFor(model, c.lstm.seed, 1), outputFor(model, 1));
      const state = session.state();
      for (const other of same) {
        if (other instanceof QuantizedModel) assertEquals(other.fingerprint, model.fingerprint);
        const session = other.createSession();
        session.restore(state);
        assertEquals(session.state(), state);
      }
      ran++;
    }),
    { numRuns: 60 },
  );
  assert(ran > 40, `${ran}`);
});

/** Every array of a module. */
function arraysOf(module: QuantizedModule): (Int8Array | Float32Array | Int32Array)[] {
  const found = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) found.add(value);
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(visit);
  };
  visit(module);
  return [...found] as Int8Array[];
}

Deno.test("a model is another one when one bit of one array differs, or one parameter", () => {
  let bits = 0;
  let parameters = 0;
  fc.assert(
    fc.property(modelCases, fc.nat(), (c, seed) => {
      const model = anyModel(c);
      if (model === null) return;
      const random = generator(seed);
      const file = saveModel(model);
      // Any bit of any array, the top ones of words too.
      const { tensors, tree } = readTree(file.slice());
      const entries = [...tensors];
      const [name, { data }] = entries[Math.floor(random(0, entries.length))]!;
      const bytes = bytesOf(data);
      const at = Math.floor(random(0, bytes.length));
      // Of float32 values the lowest bits: they stay legal.
      const legal = data instanceof Float32Array || data instanceof Int32Array
        ? at % 4 === 0 ? 1 : 0
        : 1 << Math.floor(random(0, 8));
      if (legal !== 0) {
        bytes[at]! ^= legal;
        try {
          const changed = loadModel(writeTree(tensors, tree));
          assertNotEquals(changed.fingerprint, model.fingerprint, name);
          bits++;
        } catch (error) {
          assert(error instanceof RangeError, `${error}`);
        }
      }
      const json = tree;
      const places = json.qparams.flatMap((q: unknown, i: number) => q === null ? [] : [i]);
      if (places.length === 0) return;
      const q = json.qparams[places[Math.floor(random(0, places.length))]];
      if (random(0, 1) < 0.5) q[1] = Math.fround(q[1] * 1.5);
      else q[2] += q[2] > 64 ? -1 : 1;
      try {
        const changed = loadModel(writeTree(readTree(file).tensors, json));
        assertNotEquals(changed.fingerprint, model.fingerprint);
        parameters++;
      } catch (error) {
        assert(error instanceof RangeError, `${error}`);
      }
    }),
    { numRuns: 150 },
  );
  assert(bits > 50 && parameters > 40, `${bits}, ${parameters}`);
});

Deno.test("a model is another one when an option that changes results differs", () => {
  const model = modelOf(plainCase, "8", true);
  const out = model.modules.get("out") as QuantizedLinear;
  const lstm = model.modules.get("lstm") as QuantizedLSTM;
  const [[cell]] = lstm.cells as [[QuantizedLSTM["cells"][0][0]]];
  const replaced = (name: string, module: QuantizedModule) =>
    new QuantizedModel(new Map([...model.modules, [name, module]]));
  const others = [
    model,
    withLSTM(model, { torchInitialState: false }),
    withLSTM(model, { engine: "qnnpack" }),
    withLSTM(model, { input: null }),
    withLSTM(model, { cells: [[{ ...cell, biasIh: null }]] }),
    withLSTM(model, { cells: [[{ ...cell, biasIh: null, biasHh: null }]] }),
    withLSTM(model, { cells: [[{ ...cell, biasIh: cell.biasHh, biasHh: cell.biasIh }]] }),
    withLSTM(model, {
      cells: [[{ ...cell, parts: { ...cell.parts, inputs: { tanh_cy: [cell.parts.tanh_cy] } } }]],
    }),
    replaced("out", new QuantizedLinear({ ...out, engine: "qnnpack" })),
    replaced("out", new QuantizedLinear({ ...out, output: lstm.input })),
    replaced("out", new QuantizedLinear({ ...out, bias: null })),
    replaced("out", new QuantizedLinear({ ...out, weight: { ...out.weight, perChannel: false } })),
    replaced("out", new QuantizedLinear({ ...out, input: null, output: null, dynamic: true })),
    replaced("out", new QuantizedLinear({ ...out, input: null, output: null })),
    new QuantizedModel(new Map([...model.modules].slice(0, 2))),
    new QuantizedModel(new Map([...model.modules].slice(1))),
  ];
  assertEquals(new Set(others.map(({ fingerprint }) => fingerprint.join())).size, others.length);
  // What a getter gives is the caller's.
  model.fingerprint.fill(0);
  assertNotEquals(model.fingerprint, new Uint8Array(8));
});

Deno.test("states do not move between rows that are rounded and rows that are not, but from a model to its program", () => {
  const model = modelOf({ ...plainCase, input: 8 }, "float", false);
  const program = loadProgram(compileModel(model, { foldEmbedding: "float32" }));
  const float = model.createSession({ foldEmbedding: "float32" });
  const whole = model.createSession({ foldEmbedding: true });
  float.step(Int32Array.of(1), new Float32Array(5));
  program.createSession().restore(float.state());
  model.createSession({ foldEmbedding: false }).restore(whole.state());
  assertThrows(() => whole.restore(float.state()), RangeError, "a state of this model");
  assertThrows(() => float.restore(whole.state()), RangeError, "a state of this model");
});

/** All that a model gives after its source has been overwritten. */
function outcome(
  model: QuantizedModel | Program<Session>,
  session: Session,
  seed: number,
): unknown {
  const x = inputFor(model, seed, 4);
  const y = outputFor(model, 4);
  session.run(x, y);
  const later = model.createSession({ maxSteps: 4 });
  const z = outputFor(model, 4);
  later.run(x, z);
  const states = model.looksAhead ? [] : [session.state(), later.state()];
  const file = model instanceof QuantizedModel ? saveModel(model) : null;
  return [bytesOf(y).slice(), bytesOf(z).slice(), states, file];
}

Deno.test("what a model or a program is made from may be overwritten or handed away", () => {
  fc.assert(
    fc.property(modelCases, fc.constantFrom("fill", "transfer", "shared"), (c, how) => {
      const model = anyModel(c);
      if (model === null) return;
      const sources: [Uint8Array, (bytes: Uint8Array) => QuantizedModel | Program<Session>][] = [
        [saveModel(model), loadModel],
      ];
      try {
        const kinds = [dynamicLinear, dynamicLSTM];
        sources.push([compileModel(model), (bytes) => loadProgram(bytes, { kinds })]);
      } catch (error) {
        assert(error instanceof RangeError, `${error}`);
      }
      for (const [file, load] of sources) {
        const results = [null, how].map((how) => {
          const given = how === "shared"
            ? new Uint8Array(new SharedArrayBuffer(file.length))
            : new Uint8Array(file.length);
          given.set(file);
          const made = load(given);
          const session = made.createSession({ maxSteps: 4 });
          if (how === "transfer") {
            structuredClone(given, { transfer: [given.buffer as ArrayBuffer] });
          } else if (how !== null) given.fill(255);
          return outcome(made, session, c.lstm.seed);
        });
        assertEquals(results[1], results[0]);
      }
    }),
    { numRuns: 40 },
  );
});

Deno.test("modules keep no array that they were made from", () => {
  const model = modelOf({ ...plainCase, projSize: 2 }, "8", true);
  const data = (name: string) => {
    const { ...all } = model.modules.get(name)!;
    return structuredClone({ ...all, fallback: undefined });
  };
  const given = {
    embedding: data("embedding"),
    lstm: data("lstm"),
    out: data("out"),
  } as Record<string, QuantizedModule>;
  const made = new QuantizedModel(
    new Map<string, QuantizedModule>([
      ["embedding", new QuantizedEmbedding(given.embedding as never)],
      ["lstm", new QuantizedLSTM(given.lstm as never)],
      ["out", new QuantizedLinear(given.out as never)],
    ]),
  );
  const arrays = Object.values(given).flatMap(arraysOf);
  assert(arrays.length >= 3 + 3 * 3 + 2 + 4, `${arrays.length}`);
  for (const array of arrays) array.fill(77);
  assertEquals(made.fingerprint, model.fingerprint);
  assertEquals(saveModel(made), saveModel(model));
  const [y, z] = [new Float32Array(3), new Float32Array(3)];
  made.createSession().step(Int32Array.of(1), y);
  model.createSession().step(Int32Array.of(1), z);
  assertEquals(y, z);
});
