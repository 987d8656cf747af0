import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { newQArray } from "../../src/core/dtype.ts";
import type { OutputArray, SessionInput } from "../../src/runtime/basic_session.ts";
import { generator } from "../../src/testing/random.ts";
import { anyModel, formsOf, modelCases, pickRows } from "./forms.ts";
import { bytesOf, inputFor, outputFor } from "../../src/testing/values.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

const timeFirst = modelCases.map((c) => ({ ...c, lstm: { ...c.lstm, batchFirst: false } }));

/** Some batch rows of [steps, batch, width]. */
function rowsOf<T extends SessionInput | OutputArray>(
  x: T,
  steps: number,
  batch: number,
  rows: readonly number[],
): number[] {
  const width = x.length / (steps * batch);
  return Array.from(
    { length: steps },
    (_, t) =>
      rows.map((b) => [...x.subarray((t * batch + b) * width, (t * batch + b + 1) * width)]),
  )
    .flat(2);
}

Deno.test("a row of length 0 gives 0 and keeps its state, and is nothing to the others, in every form", () => {
  const seen: Record<string, number> = { none: 0, all: 0 };
  fc.assert(
    fc.property(
      timeFirst,
      fc.constantFrom(1, 2, 3, 9),
      fc.array(fc.constantFrom(0, 0, 1, 2, 9), { minLength: 1, maxLength: 5 }),
      fc.constantFrom(1, 4, 9),
      fc.boolean(),
      (c, steps, given, chunk, integers) => {
        const model = anyModel(c);
        if (model === null) return;
        const lengths = given.map((n) => Math.min(n, steps));
        const batch = lengths.length;
        const { seed, numLayers, bidirectional } = c.lstm;
        const x = inputFor(model, seed, steps * batch, { integers });
        const before = inputFor(model, seed + 1, batch);
        const kept = lengths.flatMap((n, b) => n > 0 ? [b] : []);
        const still = lengths.flatMap((n, b) => n > 0 ? [] : [b]);
        if (kept.length === 0) seen.none!++;
        if (still.length === 0) seen.all!++;
        for (const [name, made, options] of formsOf(model)) {
          seen[name] = (seen[name] ?? 0) + 1;
          const maxSteps = bidirectional ? steps : chunk;
          const session = made.createSession({ batch, maxSteps, ...options });
          if (!bidirectional) session.step(before, outputFor(model, batch));
          const state = bidirectional ? null : session.state();
          const y = outputFor(model, steps * batch, integers);
          y.fill(9);
          session.run(x, y, lengths);
          const zero = y instanceof Float32Array ? 0 : model.output!.zeroPoint;
          for (const value of rowsOf(y, steps, batch, still)) assertEquals(value, zero, name);
          const after = state && session.state();
          const rows = (state: Uint8Array, which: readonly number[]) =>
            pickRows(state, numLayers, batch, which);
          if (state) assertEquals(rows(after!, still), rows(state, still), name);
          if (kept.length === 0) continue;
          const alone = made.createSession({ batch: kept.length, maxSteps, ...options });
          if (state) alone.restore(rows(state, kept));
          const part = new (x.constructor as Float32ArrayConstructor)(
            rowsOf(x, steps, batch, kept),
          ) as SessionInput;
          const z = outputFor(model, steps * kept.length, integers);
          alone.run(part, z, kept.map((b) => lengths[b]!));
          assertEquals([...z], rowsOf(y, steps, batch, kept), name);
          if (state) assertEquals(alone.state(), rows(after!, kept), name);
        }
      },
    ),
    { numRuns: 100 },
  );
  assertEquals(Object.keys(seen).length, 13);
  for (const [what, count] of Object.entries(seen)) assert(count > 5, `${what}: ${count}`);
});

Deno.test("Session.reset(row) resets that row of a batch and no other, in every form", () => {
  fc.assert(
    fc.property(
      timeFirst.map((c) => ({ ...c, lstm: { ...c.lstm, bidirectional: false } })),
      fc.constantFrom(1, 2, 3),
      fc.nat(2),
      (c, batch, row) => {
        const model = anyModel(c);
        if (model === null) return;
        row %= batch;
        const others = Array.from({ length: batch }, (_, b) => b).filter((b) => b !== row);
        const { seed, numLayers } = c.lstm;
        const rows = (state: Uint8Array, which: readonly number[]) =>
          pickRows(state, numLayers, batch, which);
        const x = inputFor(model, seed, batch * 3);
        const next = inputFor(model, seed + 1, batch);
        for (const [name, made, options] of formsOf(model)) {
          const session = made.createSession({ batch, ...options });
          const first = session.state();
          session.run(x, outputFor(model, batch * 3));
          const state = session.state();
          session.reset(row);
          const after = session.state();
          assertEquals(rows(after, [row]), rows(first, [row]), name);
          assertEquals(rows(after, others), rows(state, others), name);
          // It continues like a session that was given this state.
          const other = made.createSession({ batch, ...options });
          other.restore(after);
          const [y, z] = [outputFor(model, batch), outputFor(model, batch)];
          session.step(next, y);
          other.step(next, z);
          assertEquals(bytesOf(y), bytesOf(z), name);
          session.reset();
          assertEquals(session.state(), first, name);
        }
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("Session.reset() refuses rows that there are not", () => {
  const session = modelOf(plainCase, "none", false).createSession({ batch: 2 });
  session.step(new Float32Array(8).fill(1), new Float32Array(10));
  const state = session.state();
  for (const row of [-1, 2, 0.5, NaN, Infinity]) {
    assertThrows(() => session.reset(row), RangeError, "row: expected an integer in 0..1, got");
  }
  for (const row of [null, "1", true]) {
    assertThrows(() => session.reset(row as never), TypeError, "row: expected an integer in 0..1");
  }
  assertEquals(session.state(), state);
});

Deno.test("an output that overlaps its input is refused, but of one row, and one beside it is not, in every form", () => {
  const seen = { refused: 0, oneRow: 0, beside: 0 };
  fc.assert(
    fc.property(
      modelCases,
      fc.constantFrom(1, 1, 3),
      fc.constantFrom(1, 1, 2),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.constantFrom(false, false, false, true),
      fc.nat(),
      (c, steps, batch, integers, integersOut, shared, separate, seed) => {
        const model = anyModel(c);
        if (model === null) return;
        const random = generator(seed);
        const rows = steps * batch;
        const given = inputFor(model, seed, rows, { integers });
        const expected = outputFor(model, rows, integersOut);
        const memory = () => {
          const size = 2 * (given.byteLength + expected.byteLength + 8);
          return shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
        };
        const buffer = memory();
        const other = separate ? memory() : buffer;
        const randomOffset = (end: number, { BYTES_PER_ELEMENT: each }: SessionInput) =>
          each * Math.floor(random(0, end / each + 1));
        // The first half takes either array; often one is directly beside the other.
        const at = randomOffset(given.byteLength + 4, given);
        const outAt = random(0, 1) < 0.5
          ? randomOffset(at + given.byteLength + 8, expected)
          : Math.ceil((at + given.byteLength) / 4) * 4;
        const view = <T extends SessionInput | OutputArray>(
          kind: T,
          within: ArrayBufferLike,
          from: number,
        ): T => new (kind.constructor as new (...args: unknown[]) => T)(within, from, kind.length);
        const x = view(given, buffer, at);
        const y = view(expected, other, outAt);
        const overlap = !separate && at < outAt + y.byteLength && outAt < at + x.byteLength;
        const refused = overlap && rows > 1;
        seen[refused ? "refused" : overlap ? "oneRow" : "beside"]++;
        for (const [name, made, options] of formsOf(model)) {
          const maxSteps = model.looksAhead ? steps : 2;
          const session = made.createSession({ batch, maxSteps, ...options });
          x.set(given);
          if (refused) {
            const before = new Uint8Array(buffer).slice();
            const state = model.looksAhead ? null : session.state();
            const call = () => session.run(x, y);
            const message = "output: expected memory apart from that of ";
            assertThrows(call, RangeError, `${message}sequence`, name);
            if (steps === 1 && state !== null) {
              assertThrows(() => session.step(x, y), RangeError, `${message}input`, name);
            }
            assertEquals(new Uint8Array(buffer), before, name);
            if (state !== null) assertEquals(session.state(), state, name);
            continue;
          }
          session.run(x, y);
          made.createSession({ batch, maxSteps, ...options }).run(given, expected);
          assertEquals(y, expected, name);
          if (!overlap) assertEquals(x, given, name);
        }
      },
    ),
    { numRuns: 200 },
  );
  for (const [what, count] of Object.entries(seen)) assert(count > 3, `${what}: ${count}`);
});

Deno.test("Session.run() reads each length once, before it runs, in every form", () => {
  fc.assert(
    fc.property(modelCases, fc.constantFrom(1, 4), (c, chunk) => {
      const model = anyModel(c);
      if (model === null) return;
      const steps = 7;
      const batch = 3;
      const maxSteps = model.looksAhead ? steps : chunk;
      const x = inputFor(model, c.lstm.seed, steps * batch);
      for (const [name, made, options] of formsOf(model)) {
        const lengths = [3, 7, 0];
        const reads = [0, 0, 0];
        // Each read of a length is of another number.
        const changing = new Proxy(lengths, {
          get: (target, key) =>
            key === "length"
              ? batch
              : (target[+(key as string)]! + 3 * reads[+(key as string)]!++) % 8,
        });
        const [want, got] = [outputFor(model, steps * batch), outputFor(model, steps * batch)];
        made.createSession({ batch, maxSteps, ...options }).run(x, want, lengths.slice());
        made.createSession({ batch, maxSteps, ...options }).run(x, got, changing);
        assertEquals(reads, [1, 1, 1], name);
        assertEquals(bytesOf(got), bytesOf(want), name);
        // Lengths in what the output overwrites.
        const shared = new Int32Array(new SharedArrayBuffer(got.byteLength));
        const out = new Float32Array(shared.buffer);
        shared.set(lengths);
        made.createSession({ batch, maxSteps, ...options }).run(x, out, shared.subarray(0, batch));
        assertEquals(out, want, name);
      }
    }),
    { numRuns: 40 },
  );
});

Deno.test("Session.run() refuses lengths whose reading runs the session", () => {
  const session = modelOf(plainCase, "none", false).createSession({ batch: 2 });
  const x = new Float32Array(16).fill(1);
  const y = newQArray("quint8", 20);
  const lengths = Object.defineProperty([2, 2], 1, {
    get: () => (session.run(x, y, [1, 1]), 2),
  });
  assertThrows(() => session.run(x, y, lengths), RangeError, "lengths: expected numbers");
  session.run(x, y, [2, 2]);
});
