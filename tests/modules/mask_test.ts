// Masks of models: the rows before the first used step, and the files that store them.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  compileModel,
  Concat,
  convert,
  Embedding,
  Graph,
  GRU,
  LayerNorm,
  Linear,
  loadFloatModel,
  loadModel,
  LSTM,
  MeanOverTime,
  prepare,
  saveFloatModel,
  saveModel,
  Sequential,
  Tanh,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { loadProgram } from "@splitgate/splitgate/runtime";
import { flatten } from "../../src/modules/graph.ts";
import { RUNNING_KINDS } from "../../src/modules/kinds.ts";
import { maskOf, withMaskValue } from "../../src/modules/mask.ts";
import { readTree, writeTree } from "../io/tree.ts";

const STEPS = 4;

/** A tower on token ids: rows that repeat, rows that do not, and one row for the sequence. */
function model(seed: number, hiddenSize: number, maskValue: number): Graph {
  const sizes = { inputSize: 2, hiddenSize, batchFirst: true, seed };
  return new Graph({
    table: { module: new Embedding({ numEmbeddings: 6, embeddingDim: 2, seed }) },
    lstm: { module: new LSTM({ ...sizes, bidirectional: seed % 2 === 0 }) },
    gru: { module: new GRU({ ...sizes, inputSize: seed % 2 === 0 ? 2 * hiddenSize : hiddenSize }) },
    norm: { module: new LayerNorm({ normalizedShape: hiddenSize }) },
    tanh: { module: new Tanh() },
    rows: { module: new Linear({ inFeatures: hiddenSize, outFeatures: 3, seed }) },
    beside: { module: new Concat(), inputs: ["gru", "table"] },
    both: { module: new Tanh(), inputs: "lstm" },
    mean: { module: new MeanOverTime({ batchFirst: true }), inputs: "rows" },
  }, { outputs: ["rows", "beside", "both", "mean", "gru"], maskValue });
}

const cases = fc.record({
  seed: fc.integer({ min: 1, max: 1000 }),
  hiddenSize: fc.integer({ min: 2, max: 9 }),
  maskValue: fc.integer({ min: 0, max: 5 }),
});

Deno.test("maskOf() gives the row that a float model gives behind a sequence's end, where it is repeated", () => {
  let both = 0;
  fc.assert(
    fc.property(cases, ({ seed, hiddenSize, maskValue }) => {
      const graph = model(seed, hiddenSize, maskValue);
      const { value, before } = maskOf(flatten(graph))!;
      assertEquals(value, maskValue);
      const x = tokens([1, 2, 3, 4], [1, STEPS]);
      const given = graph.run(x, { lengths: [1] });
      const last = (name: string) => {
        const { data } = given.get(name)!;
        return data.slice(data.length * (STEPS - 1) / STEPS);
      };
      const twoWay = seed % 2 === 0;
      if (twoWay) both++;
      assertEquals(before, [
        last("rows"),
        null,
        twoWay ? null : last("both"),
        null,
        last("gru"),
      ]);
    }),
    { numRuns: 60 },
  );
  assert(both > 10 && both < 50);
});

Deno.test("float files, int8 files and programs carry a model's mask, bit for bit", () => {
  fc.assert(
    fc.property(cases, ({ seed, hiddenSize, maskValue }) => {
      const graph = model(seed, hiddenSize, maskValue);
      const mask = maskOf(flatten(graph))!;
      const float = loadFloatModel(saveFloatModel(graph));
      assertEquals(maskOf(flatten(float)), mask);
      assertEquals(saveFloatModel(float), saveFloatModel(graph));
      const observed = prepare(float);
      observed.run(tokens([1, 2, 3, 4, 5, 0], [1, 6]));
      const quantized = convert(observed);
      assertEquals(quantized.mask, mask);
      const bytes = saveModel(quantized);
      const loaded = loadModel(bytes);
      assertEquals(loaded.mask, mask);
      assertEquals(saveModel(loaded), bytes);
      const program = loadProgram(compileModel(loaded), { kinds: RUNNING_KINDS });
      assertEquals(program.data.mask, mask);
      // Sessions run the steps that they are given: states move between masked and unmasked models.
      const unmasked = prepare(withMaskValue(graph, null));
      unmasked.run(tokens([1, 2, 3, 4, 5, 0], [1, 6]));
      assertEquals(convert(unmasked).fingerprint, quantized.fingerprint);
      assertEquals(convert(unmasked).mask, null);
    }),
    { numRuns: 20 },
  );
});

Deno.test("withMaskValue() keeps names, edges and outputs, whatever they are called", () => {
  const linear = () => new Linear({ inFeatures: 2, outFeatures: 2, seed: 1 });
  const graph = new Graph({
    b: { module: linear(), inputs: "input" },
    1: { module: linear(), inputs: "b" },
    0: { module: linear(), inputs: "1" },
  }, { outputs: ["0", "b"] });
  const masked = withMaskValue(graph, -1);
  assertEquals(masked.maskValue, -1);
  assertEquals(masked.topology, graph.topology);
  const x = tensor([1, 2], [1, 1, 2]);
  assertEquals(masked.run(x), graph.run(x));
  assertEquals(withMaskValue(masked, null).maskValue, null);
});

Deno.test("a mask that is no number, of an inner model, or of other outputs is refused by its name", () => {
  const tanh = new Sequential({
    linear: new Linear({ inFeatures: 2, outFeatures: 2 }),
    tanh: new Tanh(),
  });
  const masked = (value: unknown) =>
    new Graph({ a: { module: tanh } }, { maskValue: value as number });
  assertThrows(() => masked("0"), TypeError, "options.maskValue: expected a number");
  assertThrows(() => masked(1e39), RangeError, "options.maskValue: expected a finite float32");
  assertThrows(
    () => new Graph({ outer: { module: masked(0) } }),
    RangeError,
    "children.outer.maskValue: expected none",
  );
  const observed = prepare(
    new Graph({
      lstm: { module: new LSTM({ inputSize: 2, hiddenSize: 3 }) },
    }, { maskValue: 0 }),
  );
  observed.forward(tensor([1, 2], [1, 1, 2]));
  const { tensors, tree } = readTree(saveModel(convert(observed)));
  const refused = (mask: unknown, kind: typeof TypeError | typeof RangeError, message: string) =>
    assertThrows(() => loadModel(writeTree(tensors, { ...tree, mask })), kind, message);
  assertEquals(tree.mask, { value: 0, before: [[0, 0, 0]] });
  refused(3, RangeError, "mask: expected an object");
  refused({ ...tree.mask, value: "0" }, TypeError, "mask.value: expected a number");
  refused({ ...tree.mask, more: 1 }, RangeError, "mask.more: expected no such field");
  refused({ value: 0, before: 1 }, TypeError, "mask.before: expected an array");
  refused({ value: 0, before: [] }, RangeError, "mask.before");
  refused({ value: 0, before: [[0, 0]] }, RangeError, "mask.before[0]");
  refused({ value: 0, before: [[0, null, 0]] }, TypeError, "mask.before[0][1]: expected a number");
  refused({ value: 0, before: [[0, 1e39, 0]] }, RangeError, "mask.before[0][1]: expected a finite");
});
