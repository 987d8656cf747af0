import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { readTree, writeTree } from "../io/tree.ts";
import { loadProgram } from "../../src/runtime/with_state.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { LSTM } from "../../src/modules/lstm/float.ts";
import { Sequential } from "../../src/modules/graph.ts";
import { getPreset } from "../../src/qconfig/presets.ts";
import { convert } from "../../src/authoring/convert.ts";
import { prepare } from "../../src/authoring/prepare.ts";
import { quantizeDynamic } from "../../src/authoring/quantize_dynamic.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";
import { tensor } from "../../src/core/tensor.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";
import { lstmOf } from "../../src/testing/quantized_lstms.ts";
import { anyModel, formsOf, modelCases } from "./forms.ts";
import { bytesOf, inputFor, outputFor, swapped } from "../../src/testing/values.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

Deno.test("a batchFirst model's sessions take and give [batch, steps, ...], in every form", () => {
  const ran: Record<string, number> = {};
  fc.assert(
    fc.property(
      modelCases,
      fc.constantFrom(1, 2, 3, 5),
      fc.constantFrom(1, 2, 7, 8, 9, 17),
      fc.constantFrom(1, 2, 8, 17),
      fc.boolean(),
      fc.boolean(),
      (c, batch, steps, chunk, integers, padded) => {
        const timeFirst = anyModel({ ...c, lstm: { ...c.lstm, batchFirst: false } });
        const batchFirst = anyModel({ ...c, lstm: { ...c.lstm, batchFirst: true } });
        if (timeFirst === null || batchFirst === null) return;
        assertEquals([timeFirst.batchFirst, batchFirst.batchFirst], [false, true]);
        const random = generator(c.lstm.seed);
        const x = inputFor(timeFirst, c.lstm.seed, steps * batch, { integers });
        const lengths = padded
          ? Array.from({ length: batch }, () => Math.floor(random(0, steps + 1)))
          : undefined;
        const forms = formsOf(batchFirst);
        formsOf(timeFirst).forEach(([name, model, options], i) => {
          const maxSteps = model.looksAhead ? steps : chunk;
          const want = outputFor(model, steps * batch, integers);
          const got = outputFor(model, steps * batch, integers);
          const session = model.createSession({ batch, maxSteps, ...options });
          const other = forms[i]![1].createSession({ batch, maxSteps, ...options });
          session.run(x, want, lengths);
          other.run(swapped(x, steps, batch), got, lengths);
          assertEquals(bytesOf(swapped(got, batch, steps)), bytesOf(want), name);
          ran[name] = (ran[name] ?? 0) + 1;
          if (model.looksAhead) return;
          // One step is [batch, ...] in both.
          const step = x.slice(0, batch * model.inputSize);
          const [y, z] = [outputFor(model, batch), outputFor(model, batch)];
          session.step(step, y);
          other.step(step, z);
          assertEquals(bytesOf(z), bytesOf(y), name);
          assertEquals(other.state().slice(20), session.state().slice(20), name);
        });
      },
    ),
    { numRuns: 80 },
  );
  assertEquals(Object.keys(ran).length, 11);
  for (const [name, count] of Object.entries(ran)) assert(count > 15, `${name}: ${count}`);
});

Deno.test("a batchFirst model's session gives what its LSTM's forward gives", () => {
  const lstm = lstmOf({ ...plainCase, batchFirst: true, numLayers: 2, bidirectional: true });
  const model = new QuantizedModel(new Map([["lstm", lstm]]));
  const x = floatsOf(4, [3, 7, 4], 2);
  const y = new Uint8Array(3 * 7 * 10);
  for (const lengths of [undefined, [7, 1, 4]]) {
    model.createSession({ batch: 3 }).run(x.data, y, lengths);
    assertEquals(y, lstm.forward(x, undefined, lengths && { lengths })[0].data as Uint8Array);
  }
});

Deno.test("batchFirst is kept by files and programs", () => {
  for (const batchFirst of [false, true]) {
    const model = modelOf({ ...plainCase, batchFirst }, "8", true);
    assertEquals(loadModel(saveModel(model)).batchFirst, batchFirst);
    assertEquals(model.lower().batchFirst, batchFirst);
    assertEquals(loadProgram(compileModel(model)).batchFirst, batchFirst);
  }
});

Deno.test("models whose LSTMs differ in batchFirst are refused, and say which", () => {
  const mixed = new Sequential({
    a: new LSTM({ inputSize: 2, hiddenSize: 2, batchFirst: true }),
    b: new LSTM({ inputSize: 2, hiddenSize: 2 }),
  });
  // torch runs this, taking steps for rows in the second; no session could.
  mixed.forward(tensor([1, 2, 3, 4], [2, 1, 2]));
  const message = "b.batchFirst: expected true, as that of a, got false";
  assertThrows(() => prepare(mixed, getPreset("fbgemm")), RangeError, message);
  assertThrows(() => quantizeDynamic(mixed), RangeError, message);
  const observed = (batchFirst: boolean) => {
    const made = prepare(
      new Sequential({
        a: new LSTM({ inputSize: 2, hiddenSize: 2, batchFirst: true }),
        b: new LSTM({ inputSize: 2, hiddenSize: 2, batchFirst }),
      }),
      getPreset("fbgemm"),
    );
    made.forward(tensor([1, 2, 3, 4], [2, 1, 2]));
    return made;
  };
  const model = convert(observed(true));
  const { modules } = model;
  const b = lstmOf({ ...plainCase, inputSize: 2, hiddenSize: 2 });
  assertThrows(
    () => new QuantizedModel(new Map([...modules, ["b", b]])),
    RangeError,
    "modules.b.batchFirst: expected true, as that of modules.a, got false",
  );
  const { tensors, tree } = readTree(saveModel(model));
  tree.modules[1].batchFirst = false;
  assertThrows(
    () => loadModel(writeTree(tensors, tree)),
    RangeError,
    "modules.b.batchFirst: expected true, as that of modules.a, got false",
  );
});
