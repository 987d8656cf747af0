import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LSTM } from "../../src/modules/lstm/float.ts";
import { quantizeDynamic } from "../../src/authoring/quantize_dynamic.ts";
import type { Session } from "../../src/runtime/session.ts";
import { generator } from "../../src/testing/random.ts";
import { anyModel, formsOf, modelCases } from "./forms.ts";
import { bytesOf, inputFor, outputFor } from "../../src/testing/values.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

const streaming = modelCases.map((c) => ({ ...c, lstm: { ...c.lstm, bidirectional: false } }));

/** Number of float32 values of -0 in a state, at multiples of four after `from`. */
function minusZeros(state: Uint8Array, from: number): number {
  let count = 0;
  const view = new DataView(state.buffer);
  for (let at = from; at + 4 <= state.length; at += 4) {
    if (view.getUint32(at, true) === 0x80000000) count++;
  }
  return count;
}

Deno.test("a restored session gives the bytes that it was given, and goes on as the other, in every form", () => {
  let ran = 0;
  let withMinusZero = 0;
  fc.assert(
    fc.property(
      streaming,
      fc.constantFrom(1, 3),
      fc.nat(9),
      // Gates that are closed to the last bit give -0 where a state is float32.
      fc.constantFrom(2, 1e3),
      fc.nat(),
      (c, batch, steps, range, which) => {
        const model = anyModel(c);
        if (model === null) return;
        const forms = formsOf(model);
        const [name, made, options] = forms[which % forms.length]!;
        const session = made.createSession({ batch, ...options });
        const next = inputFor(model, c.lstm.seed + 99, batch, { range });
        for (let t = 0; t < steps; t++) {
          const x = inputFor(model, c.lstm.seed + t, batch, { range });
          session.step(x, outputFor(model, batch));
        }
        if (c.dynamic) {
          // Its states are float32, in which -0 is seldom drawn.
          const h = session.getState("lstm.h");
          h.data[0] = -0;
          session.setState("lstm.h", h);
        }
        const state = session.state();
        const y = outputFor(model, batch);
        session.step(next, y);
        for (const [other, made, options] of forms) {
          // A dynamic model runs by its own backend whatever is asked for.
          const session = made.createSession({ batch, ...options });
          session.restore(state);
          assertEquals(session.state(), state, `${name} to ${other}`);
          const z = outputFor(model, batch);
          session.step(next, z);
          assertEquals(bytesOf(z), bytesOf(y), `${name} to ${other}`);
        }
        if (c.dynamic && batch === 1 && minusZeros(state, 21) > 0) withMinusZero++;
        ran++;
      },
    ),
    { numRuns: 120 },
  );
  assert(ran > 90 && withMinusZero > 3, `${ran}, ${withMinusZero}`);
});

Deno.test("Session.state() keeps -0 of float32 states", () => {
  const lstm = new LSTM({ inputSize: 1, hiddenSize: 1, bias: false });
  lstm.stateDict().get("weight_ih_l0")!.data.set([1, 1, -1, -1]); // h = 0 * tanh(c), c < 0
  const model = quantizeDynamic(lstm);
  const session = model.createSession();
  session.step(Float32Array.of(200), new Float32Array(1));
  const state = session.state();
  assertEquals(state.subarray(21, 25), Uint8Array.of(0, 0, 0, 128));
  const other = model.createSession();
  other.restore(state);
  assertEquals(other.state(), state);
});

Deno.test("Session.restore() refuses changed bytes and keeps its state, or all forms go on from them alike", () => {
  const seen = { refused: 0, taken: 0, fresh: 0 };
  fc.assert(
    fc.property(
      streaming,
      fc.constantFrom(1, 2),
      fc.constantFrom(0, 1, 3),
      fc.nat(),
      (c, batch, steps, seed) => {
        const model = anyModel(c);
        if (model === null) return;
        const random = generator(seed);
        const source = model.createSession({ batch });
        for (let t = 0; t < steps; t++) {
          source.step(inputFor(model, seed + t, batch), outputFor(model, batch));
        }
        const state = source.state();
        const size = (state.length - 20) / (c.lstm.numLayers * batch);
        const rowStart = 20 + Math.floor(random(0, c.lstm.numLayers * batch)) * size;
        // Now and then the mark of a row's first step, else any byte.
        const at = random(0, 1) < 0.4 ? rowStart : Math.floor(random(20, state.length));
        const changed = state.slice();
        changed[at]! ^= random(0, 1) < 0.5 ? 1 : Math.floor(random(1, 256));
        const next = inputFor(model, seed + 9, batch);
        const results = formsOf(model).map(([name, made, options]) => {
          const session = made.createSession({ batch, ...options });
          session.restore(state);
          try {
            session.restore(changed);
          } catch (error) {
            assert(error instanceof RangeError, `${error}`);
            assertEquals(session.state(), state, name);
            return "refused";
          }
          assertEquals(session.state(), changed, name);
          return outcome(session, next, outputFor(model, batch));
        });
        for (const result of results) assertEquals(result, results[0]);
        if (results[0] === "refused") seen.refused++;
        else seen.taken++;
        // One row's mark in one layer: only where it has one layer, no other disagrees.
        if ((at - 20) % size === 0) {
          seen.fresh++;
          // A step may leave a row at zero.
          const zero = model.createSession({ batch }).state().slice(at, at + size);
          const same = changed.slice(at, at + size).join() === zero.join();
          const allowed = c.lstm.numLayers === 1 && (changed[at] === 0 || same);
          assertEquals(results[0] !== "refused", allowed, `mark ${state[at]} to ${changed[at]}`);
        }
      },
    ),
    { numRuns: 150 },
  );
  for (const [what, count] of Object.entries(seen)) assert(count > 15, `${what}: ${count}`);
});

/** What a step gives, or how it fails. */
function outcome(
  session: Session,
  x: ReturnType<typeof inputFor>,
  y: ReturnType<typeof outputFor>,
) {
  try {
    session.step(x, y);
  } catch (error) {
    return (error as Error).name;
  }
  return [...bytesOf(y)];
}

Deno.test("Session.restore() names what no run gives", () => {
  const session = modelOf({ ...plainCase, numLayers: 2 }, "none", false).createSession();
  const first = session.state();
  session.step(new Float32Array(4).fill(1), new Float32Array(5));
  const later = session.state();
  const refused = (state: Uint8Array, at: number, value: number, message: string): void => {
    const changed = state.with(at, value) as Uint8Array;
    assertThrows(() => session.restore(changed), RangeError, message);
    assertEquals(session.state(), later);
  };
  refused(later, 20, 2, "state[20]: expected at most 1, got 2");
  refused(later, 20, 1, "since the row has made no step, got");
  refused(later, 31, 1, "state[31]: expected 0, as the row's first mark, got 1");
  refused(first, 31, 0, "state[31]: expected 1, as the row's first mark, got 0");
  refused(first, 21, first[21]! ^ 1, `state[21]: expected ${first[21]}, since the row has made no`);
  refused(first, 41, first[41]! ^ 1, `state[41]: expected ${first[41]}, since the row has made no`);
  const float = quantizeDynamic(new LSTM({ inputSize: 1, hiddenSize: 1 })).createSession();
  const zero = float.state();
  const floats = (at: number, value: number, fresh = 0): Uint8Array => {
    const changed = zero.slice();
    changed[20] = fresh;
    new DataView(changed.buffer).setFloat32(at, value, true);
    return changed;
  };
  for (const value of [NaN, Infinity, -Infinity]) {
    assertThrows(() => float.restore(floats(25, value)), RangeError, "state[25]: expected at most");
  }
  assertThrows(() => float.restore(floats(21, -0, 1)), RangeError, "expected 0, since the row");
  assertEquals(float.state(), zero);
});

Deno.test("Session.restore() takes a state from shared memory and from an unaligned view", () => {
  const model = modelOf(plainCase, "none", false);
  const session = model.createSession();
  session.step(new Float32Array(4).fill(1), new Float32Array(5));
  const state = session.state();
  const shared = new Uint8Array(new SharedArrayBuffer(state.length + 3), 3);
  shared.set(state);
  session.reset();
  session.restore(shared);
  assertEquals(session.state(), state);
});
