// Ends of time and joins, in graphs: sessions in every form and any chunks give what each row gives
// alone, computed slowly.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { newQArray } from "../../src/core/dtype.ts";
import type { QuantizedModel } from "../../src/authoring/model.ts";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { ReferenceModel } from "../../src/reference/reference.ts";
import type { OutputArray } from "../../src/runtime/basic_session.ts";
import type { Session } from "../../src/runtime/session.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";
import * as rules from "../../src/testing/rules.ts";
import { formsOf } from "./forms.ts";
import { type GraphCase, graphCases, graphOf } from "./graph_models.ts";
import { oracleOf, type RowsValue } from "./row_oracle.ts";

/** The model of a case; null where qnnpack cannot add with its scales. */
function modelOf(c: GraphCase): QuantizedModel | null {
  const model = graphOf(c);
  try {
    model.createSession();
  } catch (error) {
    if (error instanceof RangeError && error.message.includes("qnnpack's addition")) return null;
    throw error;
  }
  return model;
}

/** Steps of each batch row that a session has been given. */
type Given = number[][][];

/** Compares what a call gave with what each row gives alone. */
function compare(
  model: QuantizedModel,
  arrays: Readonly<Record<string, OutputArray>>,
  given: Given,
  before: readonly number[],
  steps: number,
): void {
  const batch = given.length;
  given.forEach((x, b) => {
    const alone = oracleOf(model, x);
    for (const { name, size, qparams, time } of model.outputs) {
      const { rows } = alone.get(name) as RowsValue;
      const array = arrays[name]!;
      const count = time ? steps : 1;
      for (let t = 0; t < count; t++) {
        const at = (time && !model.batchFirst ? t * batch + b : b * count + t) * size;
        const got = [...array.subarray(at, at + size)];
        const want = rows[time ? before[b]! + t : 0] ?? Array(size).fill(qparams?.zeroPoint ?? 0);
        const reals = array instanceof Float32Array && qparams !== null;
        assertEquals(got, reals ? want.map((q) => rules.dequantize(q, qparams)) : want, name);
      }
    }
  });
}

function outputsFor(
  model: QuantizedModel,
  random: (lo: number, hi: number) => number,
  batch: number,
  steps: number,
): Record<string, OutputArray> {
  return Object.fromEntries(model.outputs.map(({ name, size, qparams, time }) => {
    const length = (time ? steps : 1) * batch * size;
    const reals = qparams === null || random(0, 1) < 0.5;
    return [name, reals ? new Float32Array(length).fill(7) : newQArray(qparams.dtype, length)];
  }));
}

Deno.test("sessions of graphs with ends and joins give each row what it gives alone, in every form, in any chunks", () => {
  const ran: Record<string, number> = {};
  fc.assert(
    fc.property(graphCases, fc.nat(), (c, seed) => {
      const model = modelOf(c);
      if (model === null) return;
      const random = generator(seed);
      const pick = (n: number) => Math.floor(random(0, n));
      const { batch } = c.lstm;
      const forms = formsOf(model);
      const maxSteps = model.looksAhead ? 6 : 1 + pick(4);
      const session = (): Session => {
        const [name, form, options] = forms[pick(forms.length)]!;
        ran[name] = (ran[name] ?? 0) + 1;
        return form.createSession({ ...options, batch, maxSteps });
      };
      let running = session();
      let given: Given = Array.from({ length: batch }, () => []);
      for (let call = 0; call < 4; call++) {
        const one = !model.looksAhead && random(0, 1) < 0.3;
        const steps = one ? 1 : 1 + pick(6);
        const full = one || random(0, 1) < 0.4;
        const lengths = given.map(() => full ? steps : pick(steps + 1));
        const x = floatsOf(pick(1e6), [steps * batch, model.inputSize], 2).data;
        if (model.looksAhead) given = given.map(() => []);
        const before = given.map((rows) => rows.length);
        lengths.forEach((length, b) => {
          for (let t = 0; t < length; t++) {
            const at = (model.batchFirst ? b * steps + t : t * batch + b) * model.inputSize;
            given[b]!.push([...x.subarray(at, at + model.inputSize)]);
          }
        });
        const arrays = outputsFor(model, random, batch, steps);
        const several = model.outputs.length > 1;
        const output = several ? arrays : arrays[model.outputs[0]!.name]!;
        if (one) running.step(x, output);
        else running.run(x, output, full ? undefined : lengths);
        compare(model, arrays, given, before, steps);
        if (model.looksAhead) continue;
        const then = random(0, 1);
        if (then < 0.4) {
          const bytes = running.state();
          running = session();
          running.restore(bytes);
          assertEquals(running.state(), bytes);
        } else if (then < 0.6) {
          const row = pick(batch);
          running.reset(row);
          given[row] = [];
        }
      }
    }),
    { numRuns: 150 },
  );
  assert(Object.keys(ran).length >= 8, JSON.stringify(ran));
});

Deno.test("graphs with ends and joins are the same from a file: the same bytes, fingerprint and results", () => {
  fc.assert(
    fc.property(graphCases, (c) => {
      const model = modelOf(c);
      if (model === null) return;
      const bytes = saveModel(model);
      const read = loadModel(bytes);
      assertEquals(saveModel(read), bytes);
      assertEquals(read.fingerprint, model.fingerprint);
      const { batch, steps } = c.lstm;
      const x = floatsOf(c.lstm.seed, [steps * batch, model.inputSize], 2).data;
      const results = [model, read].map((each) => {
        const arrays = outputsFor(each, () => 1, batch, steps);
        const several = each.outputs.length > 1;
        each.createSession({ batch }).run(x, several ? arrays : Object.values(arrays)[0]!);
        return arrays;
      });
      assertEquals(results[0], results[1]);
    }),
    { numRuns: 60 },
  );
});

Deno.test("ends and joins of the reference graph give what the integers give, means and qnnpack's sums one step apart at most", () => {
  let values = 0;
  let apart = 0;
  fc.assert(
    fc.property(graphCases, (c) => {
      // Recurrences drift apart; here each module is compared for what it reads.
      const narrow = (bits: GraphCase["before"]) => bits === 32 ? 16 : bits;
      const model = modelOf({
        ...c,
        before: narrow(c.before),
        behind: narrow(c.behind),
        shown: -1,
      });
      if (model === null) return;
      const { batch, steps, batchFirst, seed } = c.lstm;
      const shape = [...batchFirst ? [batch, steps] : [steps, batch], model.inputSize];
      const x = floatsOf(seed, shape, 2);
      const random = generator(seed);
      const lengths = Array.from({ length: batch }, () => 1 + Math.floor(random(0, steps)));
      const { outputs } = new ReferenceModel(model).run(x, { lengths });
      for (let b = 0; b < batch; b++) {
        const rowsOf = (data: ArrayLike<number>, size: number): number[][] =>
          Array.from({ length: lengths[b]! }, (_, t) => {
            const at = (batchFirst ? b * steps + t : t * batch + b) * size;
            return Array.from(data).slice(at, at + size);
          });
        const known = new Map(model.outputs.map(({ name, size, qparams, time }) => {
          const { output, quantized } = outputs.get(name)!;
          assertEquals(output.shape, time ? [...shape.slice(0, 2), size] : [batch, size]);
          assertEquals(quantized?.qparams ?? null, qparams);
          const { data } = quantized ?? output;
          const rows = time
            ? rowsOf(data, size)
            : [Array.from(data).slice(b * size, (b + 1) * size)];
          return [name, { rows, size, qparams }] as const;
        }));
        assertEquals(known.size, model.modules.size);
        for (const [name, { rows }] of oracleOf(model, rowsOf(x.data, model.inputSize), known)) {
          const module = model.modules.get(name);
          if (module === undefined || module.kind === "LSTM" || module.kind === "Linear") continue;
          const { rows: got, qparams } = known.get(name)!;
          const rounds = qparams !== null && (module.kind === "MeanOverTime" ||
            module.kind === "Add" && c.lstm.engine === "qnnpack");
          if (!rounds) assertEquals(got, rows, name);
          else {
            rows.forEach((row, r) =>
              row.forEach((want, k) => {
                const error = Math.abs(got[r]![k]! - want);
                values++;
                if (error > 0) apart++;
                assert(error <= 1, `${name}: ${got[r]![k]} for ${want}`);
              })
            );
          }
        }
      }
    }),
    { numRuns: 150 },
  );
  assert(values > 500 && apart < values / 4, `${apart} of ${values}`);
});

Deno.test("getState() and setState() of ends take up where another session stood", () => {
  const lstm = { bidirectional: false, batch: 2, steps: 3 } as const;
  const [sample] = fc.sample(graphCases, { numRuns: 1, seed: 5 });
  const ends = ["LastStep", "FirstStep", "MeanOverTime", "MaxOverTime", "FinalHidden"].map((
    kind,
  ) => ({
    kind,
    direct: true,
  }));
  const bits = Array(13).fill(8);
  const c = {
    ...sample!,
    lstm: {
      ...sample!.lstm,
      ...lstm,
      engine: "fbgemm",
      bits,
      input: 8,
      batchFirst: false,
    } as const,
    ends,
    residual: false,
    skip: false,
    behind: 8 as const,
    head: true,
    shown: 0,
  };
  const model = graphOf(c);
  const slots = [
    "lstm.h",
    "lstm.c",
    "end0.last",
    "end1.first",
    "end2.count",
    "end2.sum",
    "end3.max",
    "end4.hidden",
  ];
  const from = model.createSession({ batch: 2 });
  const to = model.createSession({ batch: 2 });
  const x = (seed: number) => floatsOf(seed, [3 * 2, model.inputSize], 2).data;
  const outputs = () => outputsFor(model, () => 1, 2, 3);
  from.run(x(1), outputs());
  for (const name of slots) to.setState(name, from.getState(name));
  assertEquals(to.state(), from.state());
  assertEquals(from.getState("end2.count").data, Float32Array.of(3, 3));
  const here = outputs();
  const there = outputs();
  from.run(x(2), here, [3, 0]);
  to.run(x(2), there, [3, 0]);
  assertEquals(there, here);
  assertEquals(from.getState("end2.count").data, Float32Array.of(6, 3));
  const bytes = from.state();
  const view = new DataView(bytes.buffer);
  // The first sum's count, a double, is no whole number; an integer's sum is none.
  let refused = 0;
  for (let at = 20; at + 8 <= bytes.length; at++) {
    if (view.getFloat64(at, true) !== 6) continue;
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 60]) {
      view.setFloat64(at, bad, true);
      assertThrows(() => to.restore(bytes), RangeError, `state[${at}]`);
      refused++;
    }
    break;
  }
  assertEquals(refused, 5);
});
