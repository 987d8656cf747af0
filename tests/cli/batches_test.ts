// Sequences side by side give what they give one by one, and masked steps change nothing.
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Conv1d,
  Embedding,
  Generator,
  Graph,
  GRU,
  LastStep,
  Linear,
  LSTM,
  quantize,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import { importKeras, skipMasked } from "@splitgate/splitgate/import/keras";
import { batchFirstOf, flatten } from "../../src/modules/graph.ts";
import { batchesOf } from "../../src/cli/batches.ts";
import type { Sequence } from "../../src/cli/data.ts";
import { floatRunnable, runAll } from "../../src/cli/models.ts";
import { CommandError } from "../../src/cli/error.ts";
import { usedData, usedSequences, withoutMasked } from "../../src/cli/skip.ts";

const CASES = 40;
const MAX_SEQUENCES = 70;
const MAX_STEPS = 9;

const below = (seed: Generator, count: number) => seed.next() % count;

/** Values of which none is below `low`. */
function uniform(seed: Generator, count: number, low: number): Float32Array {
  const out = new Float32Array(count);
  seed.uniform(out, low, 2);
  return out;
}

function models(seed: Generator): Sequential[] {
  return [true, false].flatMap((batchFirst) => [
    new Sequential({
      lstm: new LSTM({ inputSize: 2, hiddenSize: 3, bidirectional: true, batchFirst, seed }),
      out: new Linear({ inFeatures: 6, outFeatures: 2, seed }),
    }),
    new Sequential({
      table: new Embedding({ numEmbeddings: 5, embeddingDim: 2, seed }),
      gru: new GRU({ inputSize: 2, hiddenSize: 3, batchFirst, seed }),
      last: new LastStep({ batchFirst }),
    }),
    new Sequential({
      conv: new Conv1d({
        inChannels: 2,
        outChannels: 3,
        kernelSize: 2,
        stride: 2,
        padding: 1,
        batchFirst,
        seed,
      }),
      lstm: new LSTM({ inputSize: 3, hiddenSize: 3, batchFirst, seed }),
    }),
  ]);
}

const file = { path: "model", format: "float", bytes: new Uint8Array() } as const;

Deno.test("batches hold every sequence once, and each row gives what its sequence gives alone", () => {
  const seed = new Generator(7);
  let filledUp = 0;
  for (let i = 0; i < CASES; i++) {
    const all = models(seed);
    const model = all[i % all.length]!;
    const float = floatRunnable(file, { model, notes: [] });
    const { input, outputs } = float;
    const sequences = Array.from({ length: 1 + below(seed, MAX_SEQUENCES) }, (): Sequence => {
      const values = (1 + below(seed, MAX_STEPS)) * input.size;
      if (input.vocabulary === 0) return uniform(seed, values, -1);
      return Int32Array.from({ length: values }, () => below(seed, input.vocabulary));
    });
    const batches = batchesOf(sequences, model, input);
    const shortFirst = [...sequences].sort((a, b) => a.length - b.length);
    const expected = shortFirst.map((each) => float.run(each).get(outputs[0]!.name)!);
    const batchFirst = batchFirstOf(flatten(model).modules);
    let at = 0;
    for (const { x, lengths } of batches) {
      if (lengths !== undefined) filledUp++;
      const y = model.forward(x, lengths === undefined ? {} : { lengths });
      const batch = x.shape[batchFirst ? 0 : 1]!;
      const { size } = outputs[0]!;
      for (let b = 0; b < batch; b++, at++) {
        const steps = expected[at]!.length / size;
        const row = new Float32Array(steps * size);
        for (let t = 0; t < steps; t++) {
          const inTime = y.shape.length === 3;
          const from = !inTime ? b : batchFirst ? b * y.shape[1]! + t : t * batch + b;
          row.set(y.data.subarray(from * size, (from + 1) * size), t * size);
        }
        assertEquals(row, expected[at], `case ${i}, sequence ${at}`);
      }
    }
    assertEquals(at, sequences.length);
  }
  assert(filledUp > CASES / 4, `${filledUp}`);
});

Deno.test("calibrating in batches sees the values of all sequences and none of the padding", async () => {
  const seed = new Generator(8);
  for (const model of models(seed)) {
    const { input } = floatRunnable(file, { model, notes: [] });
    const sequences = Array.from({ length: MAX_SEQUENCES }, (): Sequence => {
      const values = (1 + below(seed, MAX_STEPS)) * input.size;
      if (input.vocabulary === 0) return uniform(seed, values, 1);
      return Int32Array.from({ length: values }, () => 1 + below(seed, input.vocabulary - 1));
    });
    // Histograms depend on how values are dealt out to calls; a minimum does not.
    const ranges = async (data: Parameters<typeof quantize>[1]) => {
      const { observed } = await quantize(model, data);
      const { count, min, max } = observed.inputStatistics;
      return { count, min, max };
    };
    const one = await ranges(sequences);
    assert(one.min >= 1);
    assertEquals(await ranges(batchesOf(sequences, model, input)), one);
  }
});

Deno.test("masked steps are left out, and get the output before them, as Keras does it", () => {
  const bytes = Deno.readFileSync("tests/models/keras-made/masked.keras");
  const { model, notes } = importKeras(bytes, { masking: "lengths" });
  // Rows of its first layer, since the last gives one a sequence.
  const lstm = [...model.children.values()].find((each) => each instanceof LSTM)!;
  const rows = new Graph({
    lstm: { module: lstm },
    out: { module: new Linear({ inFeatures: lstm.hiddenSize, outFeatures: 2, seed: 1 }) },
  }, { maskValue: model.maskValue! });
  const seed = new Generator(9);
  let [cases, leading, all] = [0, 0, 0];
  for (const each of [model, rows]) {
    const float = floatRunnable(file, { model: each, notes });
    const { size } = float.input;
    for (let i = 0; i < CASES; i++) {
      const steps = 2 + below(seed, MAX_STEPS);
      const sequence = uniform(seed, steps * size, -1);
      for (let t = 0; t < steps; t++) {
        if (below(seed, 2) === 1) sequence.fill(0, t * size, (t + 1) * size);
      }
      const { x, lengths, restore } = skipMasked(tensor(sequence, [1, steps, size]));
      const nothing = sequence.every((value) => value === 0);
      if (nothing && each === model) continue;
      const expected = restore(each.forward(x, { lengths })).data;
      const results = runAll(float, [sequence], () => {});
      assertEquals([...results.values()][0]!.rows, [expected]);
      if (lengths[0]! < steps) cases++;
      if (sequence[0] === 0) leading++;
      if (nothing) all++;
    }
  }
  assert(cases > CASES && leading > CASES / 2 && all > 0, `${cases}, ${leading}, ${all}`);
});

Deno.test("withoutMasked() says where steps went, and usedSequences() leaves out what has none left", () => {
  const input = { size: 2, vocabulary: 0 };
  const sequence = Float32Array.of(0, 0, 0, 1, 0, 0, 2, 0);
  assertEquals(withoutMasked(sequence, input, { value: 0 }), {
    sequence: Float32Array.of(0, 1, 2, 0),
    used: Int32Array.of(-1, 0, 0, 1),
  });
  assertEquals(withoutMasked(sequence, input, null), { sequence, used: null });
  assertEquals(withoutMasked(sequence, input, { value: 3 }), { sequence, used: null });
  const nothing = new Float32Array(4);
  assertEquals(usedSequences([nothing, sequence, nothing], input, { value: 0 }).length, 1);
  const labels = [[5, 6], [1, 2, 3, 4]];
  const tested = { input, mask: { value: 0 }, time: true };
  assertEquals(usedData([nothing, sequence], labels, tested), {
    sequences: [Float32Array.of(0, 1, 2, 0)],
    labels: [[2, 4]],
  });
  assertThrows(() => usedSequences([nothing], input, { value: 0 }), CommandError, "is masked");
});
