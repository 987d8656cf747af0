// Session.getState() and setState(): states as real numbers in torch's shapes.
import {
  convert,
  getPreset,
  Graph,
  Linear,
  LSTM,
  prepare,
  type QTensor,
  quantizeDynamic,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { dequantizeValue } from "../../kernels/numeric/requantize.ts";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import type { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import type { Session } from "../../src/runtime/session.ts";
import { type Bits, lstmCases, lstmOf } from "../../src/testing/quantized_lstms.ts";
import { floatsOf } from "../../src/testing/random.ts";
import { anyModel, formsOf, modelCases } from "./forms.ts";
import { bytesOf, inputFor, outputFor } from "../../src/testing/values.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

const streaming = modelCases.map((c) => ({ ...c, lstm: { ...c.lstm, bidirectional: false } }));

/** Real numbers of a tensor. */
function reals(x: Tensor | QTensor): Tensor {
  const { qparams, data, shape } = x as QTensor;
  if (qparams === undefined) return x as Tensor;
  const { scale, zeroPoint } = qparams as { scale: number; zeroPoint: number };
  return tensor(Float32Array.from(data, (q) => dequantizeValue(q, scale, zeroPoint)), [...shape]);
}

/** Both states of a session's LSTM. */
function stateOf(session: Session, name = "lstm"): [Tensor, Tensor] {
  return [session.getState(`${name}.h`), session.getState(`${name}.c`)];
}

function setBoth(session: Session, [h, c]: readonly [Tensor, Tensor], name = "lstm"): void {
  session.setState(`${name}.h`, h);
  session.setState(`${name}.c`, c);
}

Deno.test("a decoder that is given an encoder's end goes on as torch's LSTM with an initial state, in every form", () => {
  const bits = fc.oneof(
    fc.constantFrom<Bits>(7, 8),
    fc.constantFrom<Bits>(7, 8, 16),
    fc.constantFrom<Bits>(0, 8),
  );
  const cases = lstmCases(bits, fc.constantFrom<Bits>(0, 7, 8)).map((c) => ({
    ...c,
    bidirectional: false,
    engine: "fbgemm" as const,
  }));
  const seen = { ran: 0, simd: 0, programs: 0, layers: 0, projected: 0 };
  fc.assert(
    fc.property(cases, fc.nat(), (c, seed) => {
      const { batch, steps, batchFirst } = c;
      const encoder = new QuantizedModel(new Map<string, QuantizedModule>([["lstm", lstmOf(c)]]));
      const lstm = lstmOf({ ...c, seed, torchInitialState: false });
      const decoder = new QuantizedModel(new Map<string, QuantizedModule>([["lstm", lstm]]));
      const shape = [...batchFirst ? [batch, steps] : [steps, batch], c.inputSize];
      const x = floatsOf(c.seed + 3, shape, 2);
      const y = floatsOf(c.seed + 4, shape, 2);
      const source = encoder.createSession({ batch });
      source.run(x.data, outputFor(encoder, steps * batch));
      // What torch's forward gives beside the output.
      const ends = (encoder.modules.get("lstm") as QuantizedLSTM).forward(x)[1].map(reals);
      const end = stateOf(source);
      if (!c.torchInitialState) assertEquals(end, ends);
      const [output, last] = lstm.forward(y, end);
      const expected = reals(output).data;
      for (const [name, made, options] of formsOf(decoder)) {
        const session = made.createSession({ batch, ...options });
        setBoth(session, end);
        const out = outputFor(decoder, steps * batch) as Float32Array;
        session.run(y.data, out);
        assertEquals(bytesOf(out), bytesOf(expected), name);
        assertEquals(stateOf(session), last.map(reals), name);
        // And once more, after steps that it must forget.
        setBoth(session, end);
        session.run(y.data, out);
        assertEquals(bytesOf(out), bytesOf(expected), name);
        if (name.startsWith("program")) seen.programs++;
        if (name.startsWith("simd")) seen.simd++;
      }
      seen.ran++;
      if (c.numLayers > 1) seen.layers++;
      if (c.projSize > 0) seen.projected++;
    }),
    { numRuns: 80 },
  );
  for (const [what, count] of Object.entries(seen)) assert(count > 5, `${what}: ${count}`);
});

Deno.test("a state that is set is what is read back, rounded to its own parameters, and moves as bytes", () => {
  let ran = 0;
  fc.assert(
    fc.property(streaming, fc.constantFrom(1, 3), fc.nat(3), fc.nat(), (c, batch, steps, seed) => {
      const model = anyModel(c);
      if (model === null) return;
      const forms = formsOf(model);
      const results = forms.map(([name, made, options]) => {
        const session = made.createSession({ batch, ...options });
        for (let t = 0; t < steps; t++) {
          session.step(inputFor(model, seed + t, batch), outputFor(model, batch));
        }
        const { shape } = session.getState("lstm.h");
        assertEquals(shape.slice(0, 2), [c.lstm.numLayers, batch]);
        // Only one of the two: the other one stays as it was.
        const before = session.getState("lstm.c");
        session.setState("lstm.h", tensor(floatsOf(seed, shape, 1.5).data, [...shape]));
        assertEquals(session.getState("lstm.c"), before);
        const h = session.getState("lstm.h");
        const state = session.state();
        session.setState("lstm.h", h);
        assertEquals(session.state(), state, name);
        const other = made.createSession({ batch, ...options });
        other.restore(state);
        assertEquals(other.state(), state, name);
        assertEquals(other.getState("lstm.h"), h);
        const x = inputFor(model, seed + 77, batch);
        const [y, z] = [outputFor(model, batch), outputFor(model, batch)];
        session.step(x, y);
        other.step(x, z);
        assertEquals(bytesOf(z), bytesOf(y));
        return [state, h, [...bytesOf(y)]];
      });
      for (const result of results) assertEquals(result, results[0]);
      ran++;
    }),
    { numRuns: 60 },
  );
  assert(ran > 40, `${ran}`);
});

/** Two LSTMs that read the input, and a Linear. */
function twoReaders(dynamic: boolean): QuantizedModel {
  const model = new Graph({
    first: { module: new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 }), inputs: "input" },
    second: {
      module: new LSTM({ inputSize: 2, hiddenSize: 4, numLayers: 2, seed: 2 }),
      inputs: "input",
    },
    out: { module: new Linear({ inFeatures: 3, outFeatures: 2, seed: 3 }), inputs: "first" },
  }, { outputs: ["out", "second"] });
  if (dynamic) return quantizeDynamic(model);
  const observed = prepare(model, getPreset("fbgemm"));
  observed.run(tensor(floatsOf(5, [20], 2).data, [5, 2, 2]));
  return convert(observed);
}

Deno.test("a state that was set in one module of several, before any step, is a state that restore() takes", () => {
  for (const dynamic of [false, true]) {
    const model = twoReaders(dynamic);
    for (const [name, made, options] of formsOf(model)) {
      const session = made.createSession({ batch: 2, ...options });
      session.setState("second.h", tensor(new Float32Array(16).fill(0.25), [2, 2, 4]));
      const state = session.state();
      assertNotEquals(state, made.createSession({ batch: 2 }).state());
      const other = made.createSession({ batch: 2, ...options });
      other.restore(state);
      assertEquals(other.state(), state, name);
      const x = Float32Array.of(0.5, -1, 1, 0.25);
      const [a, b] = [session, other].map((session) => {
        const arrays = { out: new Float32Array(4), second: new Float32Array(8) };
        session.step(x, arrays);
        return arrays;
      });
      assertEquals(b, a);
      // A row of one module that has made no step is still held to its beginning.
      const changed = state.slice();
      changed[21]! ^= 1;
      assertThrows(() => other.restore(changed), RangeError, "since the row has made no step");
    }
  }
});

Deno.test("getState() and setState() name the states that there are, and what is wrong; a failed call changes nothing", () => {
  const model = twoReaders(false);
  for (const [, made, options] of formsOf(model)) {
    const session = made.createSession({ batch: 2, ...options });
    session.step(
      Float32Array.of(0.5, -1, 1, 0.25),
      { out: new Float32Array(4), second: new Float32Array(8) },
    );
    const state = session.state();
    const h = session.getState("second.h");
    const named = "name: expected one of first.h, first.c, second.h, second.c, got ";
    for (
      const name of ["h", "third.h", "out.h", "first.x", "first.fresh", "first", "", "first.h.h"]
    ) {
      assertThrows(() => session.getState(name), RangeError, `${named}"${name}"`);
      assertThrows(() => session.setState(name, h), RangeError, `${named}"${name}"`);
    }
    const refused = (
      value: unknown,
      kind: typeof TypeError | typeof RangeError,
      message: string,
    ) => {
      assertThrows(() => session.setState("second.h", value as Tensor), kind, message);
      assertEquals(session.state(), state);
    };
    refused(null, TypeError, "value.data: expected a Float32Array, got undefined");
    refused(
      { data: [...h.data], shape: h.shape },
      TypeError,
      "value.data: expected a Float32Array",
    );
    const doubles = Float64Array.from(h.data);
    refused({ data: doubles, shape: h.shape }, TypeError, "value.data: expected a Float32Array");
    refused({ data: h.data }, RangeError, "value.shape: expected [2, 2, 4], got undefined");
    refused(
      { data: h.data, shape: [2, 8] },
      RangeError,
      "value.shape: expected [2, 2, 4], got [2, 8]",
    );
    refused({ data: h.data, shape: [1, 2, 8] }, RangeError, "value.shape: expected [2, 2, 4]");
    refused(
      { data: h.data.slice(1), shape: h.shape },
      RangeError,
      "value.data: expected 16 elements, got 15",
    );
    for (const bad of [NaN, Infinity, -Infinity]) {
      const data = h.data.slice();
      data[15] = bad;
      refused({ data, shape: h.shape }, RangeError, "value.data[15]: expected a finite number");
    }
    // What was read is the caller's.
    h.data.fill(7);
    assertEquals(session.state(), state);
  }
  const none = modelOf(plainCase, "none", true);
  const linear = new QuantizedModel(new Map([["out", none.modules.get("out")!]])).createSession();
  assertThrows(() => linear.getState("out.h"), RangeError, 'name: expected no state, got "out.h"');
});

Deno.test("a model that looks ahead has no state to get or set", () => {
  const session = modelOf({ ...plainCase, bidirectional: true }, "none", false).createSession();
  const value = tensor(new Float32Array(10), [2, 1, 5]);
  assertThrows(
    () => session.getState("lstm.h"),
    TypeError,
    "getState: expected run, since the model",
  );
  assertThrows(() => session.setState("lstm.h", value), TypeError, "setState: expected run, since");
});

Deno.test("reset() of a row takes back what was set in it, and in no other", () => {
  const model = twoReaders(false);
  for (const [, made, options] of formsOf(model)) {
    const session = made.createSession({ batch: 2, ...options });
    const fresh = session.getState("second.h");
    session.setState("second.h", tensor(new Float32Array(16).fill(0.25), [2, 2, 4]));
    const set = session.getState("second.h");
    session.reset(1);
    const expected = set.data.slice();
    for (const at of [4, 12]) expected.set(fresh.data.subarray(at, at + 4), at);
    assertEquals(session.getState("second.h").data, expected);
    session.reset();
    assertEquals(session.getState("second.h"), fresh);
  }
});
