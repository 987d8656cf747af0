import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  convert,
  Embedding,
  getPreset,
  Linear,
  loadModel,
  LSTM,
  prepare,
  type QConfig,
  saveModel,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";
import { accurateQConfig, int8x16QConfig } from "../../src/qconfig/presets.ts";
import type { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import { CellStatistics, type InputStatistics } from "../../src/modules/rounding/statistics.ts";
import { lstmCell } from "../../src/cells/lstm_parts.ts";
import type { ObservedLSTM } from "../../src/modules/lstm/observed.ts";
import { generator } from "../../src/testing/random.ts";

/** The gram matrices of a cell's input. */
function gramOf(input: InputStatistics): Float64Array {
  if (input.kind !== "gram") throw new Error(`expected a gram, got ${input.kind}`);
  return input.gram;
}

const HIDDEN = 3;
const INPUT = 2;
const ROWS = 4 * HIDDEN;

/** What the statistics of one direction should be, from the float outputs alone, in doubles. */
function expected(lstm: LSTM, d: number, x: Float32Array, y: Float32Array, steps: number) {
  const { weightIh, weightHh, biasIh, biasHh } = lstm.cells[0]![d]!;
  const hidden = new Float64Array(ROWS * HIDDEN ** 2);
  const input = new Float64Array(ROWS * INPUT ** 2);
  for (let t = 0; t < steps; t++) {
    const before = d === 0 ? t - 1 : t + 1;
    const h = Array.from({ length: HIDDEN }, (_, j) => y[(before * 2 + d) * HIDDEN + j] ?? 0);
    if (before < 0 || before >= steps) h.fill(0);
    for (let row = 0; row < ROWS; row++) {
      let sum = biasIh![row]! + biasHh![row]!;
      for (let k = 0; k < INPUT; k++) sum += weightIh[row * INPUT + k]! * x[t * INPUT + k]!;
      for (let k = 0; k < HIDDEN; k++) sum += weightHh[row * HIDDEN + k]! * h[k]!;
      const s = 1 / (1 + Math.exp(-sum));
      const slope = Math.floor(row / HIDDEN) === 2 ? 1 - Math.tanh(sum) ** 2 : s * (1 - s);
      for (let i = 0; i < HIDDEN; i++) {
        for (let j = 0; j <= i; j++) {
          hidden[(row * HIDDEN + i) * HIDDEN + j]! += slope ** 2 * h[i]! * h[j]!;
        }
      }
      for (let i = 0; i < INPUT; i++) {
        for (let j = 0; j <= i; j++) {
          input[(row * INPUT + i) * INPUT + j]! += slope ** 2 * x[t * INPUT + i]! *
            x[t * INPUT + j]!;
        }
      }
    }
  }
  return { hidden, input };
}

function assertClose(actual: Float64Array, wanted: Float64Array): void {
  assertEquals(actual.length, wanted.length);
  actual.forEach((value, i) => assertAlmostEquals(value, wanted[i], 1e-5));
}

Deno.test("CellStatistics sums slope² x xᵀ and slope² h hᵀ of each row, both directions, fused and split", () => {
  const lstm = new LSTM({ inputSize: INPUT, hiddenSize: HIDDEN, bidirectional: true, seed: 3 });
  const steps = 7;
  const random = generator(1);
  const x = Float32Array.from({ length: steps * INPUT }, () => random(-2, 2));
  const y = lstm.forward(tensor(x, [steps, 1, INPUT]))[0].data;
  for (const splitGates of [false, true]) {
    const observed = prepare(lstm, accurateQConfig, { splitGates });
    observed.forward(tensor(x, [steps, 1, INPUT]));
    const { cells } = observed.modules.get("lstm") as ObservedLSTM;
    for (const d of [0, 1]) {
      const { hidden, input } = cells[0]![d]!.statistics!;
      const wanted = expected(lstm, d, x, y, steps);
      assertClose(hidden, wanted.hidden);
      assertClose(gramOf(input), wanted.input);
    }
  }
});

Deno.test("CellStatistics of a batch of different lengths are those of its rows, one after the other", () => {
  const lstm = new LSTM({
    inputSize: INPUT,
    hiddenSize: HIDDEN,
    bidirectional: true,
    batchFirst: true,
    seed: 3,
  });
  const random = generator(2);
  const lengths = [2, 5, 3];
  const steps = 5;
  const x = Float32Array.from({ length: lengths.length * steps * INPUT }, () => random(-2, 2));
  const together = prepare(lstm, accurateQConfig);
  const apart = prepare(lstm, accurateQConfig);
  together.forward(tensor(x, [lengths.length, steps, INPUT]), { lengths });
  lengths.forEach((length, b) => {
    const from = b * steps * INPUT;
    apart.forward(tensor(x.slice(from, from + length * INPUT), [1, length, INPUT]));
  });
  for (const d of [0, 1]) {
    const [a, b] = [together, apart].map((model) =>
      (model.modules.get("lstm") as ObservedLSTM).cells[0]![d]!.statistics!
    );
    assertClose(a!.hidden, b!.hidden);
    assertClose(gramOf(a!.input), gramOf(b!.input));
  }
});

/** A small segmenter, weights and rows of several sizes as those of trained models are. */
function segmenter(seed: number): Sequential {
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings: 12, embeddingDim: 8, seed }),
    lstm: new LSTM({ inputSize: 8, hiddenSize: 6, bidirectional: true, seed: seed + 1 }),
    out: new Linear({ inFeatures: 12, outFeatures: 3, seed: seed + 2 }),
  });
  const state = new Map([...model.stateDict()].map(([name, value]) => {
    const data = value.data as Float32Array;
    return [name, {
      ...value,
      data: data.map((w, i) => w * (1 + (i * 7 % 5)) * (name === "embedding.weight" ? 2 : 1)),
    }];
  }));
  model.loadStateDict(state);
  return model;
}

function ids(seed: number, steps: number) {
  const random = generator(seed);
  return tokens(Int32Array.from({ length: steps }, () => Math.floor(random(0, 11))), [steps, 1]);
}

Deno.test("CellStatistics of tokens count how often each came, and how much each row mattered then", () => {
  const model = segmenter(1);
  const sequence = ids(4, 40);
  const observed = prepare(model, accurateQConfig);
  observed.forward(sequence);
  const { cells } = observed.modules.get("lstm") as ObservedLSTM;
  // Left float32, the embedding's rows are an LSTM's input like any other: with a gram matrix.
  const rows = (model.children.get("embedding") as Embedding).forward(sequence);
  const plain = prepare(model.children.get("lstm") as LSTM, accurateQConfig);
  plain.forward(rows);
  const counts = new Float64Array(12);
  for (const token of sequence.data) counts[token]!++;
  for (const d of [0, 1]) {
    const { input, hidden } = cells[0]![d]!.statistics!;
    const other = (plain.modules.get("lstm") as ObservedLSTM).cells[0]![d]!.statistics!;
    if (input.kind !== "tokens") throw new Error("expected tokens");
    assertEquals(input.counts, counts);
    assertEquals(hidden, other.hidden);
    const { weight } = model.children.get("embedding") as Embedding;
    const gram = new Float64Array(24 * 64);
    for (let token = 0; token < 12; token++) {
      for (let row = 0; row < 24; row++) {
        for (let i = 0; i < 8; i++) {
          for (let j = 0; j <= i; j++) {
            gram[row * 64 + i * 8 + j]! += input.weights[token * 24 + row]! *
              weight[token * 8 + i]! *
              weight[token * 8 + j]!;
          }
        }
      }
    }
    assertClose(gramOf(other.input), gram);
  }
});

Deno.test("CellStatistics are kept only where the QConfig asks for them", () => {
  const observed = prepare(segmenter(1), getPreset("fbgemm"));
  const { cells } = observed.modules.get("lstm") as ObservedLSTM;
  assertEquals(cells[0]!.map(({ statistics }) => statistics), [null, null]);
  assertEquals(new CellStatistics(lstmCell(false), 3, 3, 2, 5).input.kind, "tokens");
});

/** Squared error of a quantized model's outputs, over some sequences. */
function outputError(model: Sequential, qconfig: QConfig, splitGates = false): number {
  const observed = prepare(model, qconfig, { splitGates });
  const sequences = [5, 6, 7].map((seed) => ids(seed, 60));
  for (const sequence of sequences) observed.forward(sequence);
  const session = convert(observed).createSession({ maxSteps: 60 });
  let error = 0;
  for (const sequence of sequences) {
    const output = new Float32Array(180);
    const wanted = model.forward(sequence).data;
    session.run(sequence.data, output);
    output.forEach((value, i) => error += (value - wanted[i]!) ** 2);
  }
  return error;
}

Deno.test("convert() with calibrated rounding comes closer to the float model than with nearest, and with 16 bits of all but weights closer still", () => {
  const sums = [0, 0, 0];
  for (let seed = 0; seed < 6; seed++) {
    const model = segmenter(10 * seed + 1);
    [{ ...accurateQConfig, weightRounding: "nearest" as const }, accurateQConfig, int8x16QConfig]
      .forEach(
        (qconfig, i) => {
          sums[i]! += outputError(model, qconfig);
        },
      );
    assertEquals(outputError(model, accurateQConfig, true), outputError(model, accurateQConfig));
  }
  assert(sums[1]! < sums[0]!, `calibrated ${sums[1]}, nearest ${sums[0]}`);
  assert(sums[2]! < sums[1]!, `16 bits ${sums[2]}, 8 bits ${sums[1]}`);
});

Deno.test("convert() changes only integers and scales of weights when they are rounded against calibration data", () => {
  const model = segmenter(1);
  const convertWith = (qconfig: QConfig) => {
    const observed = prepare(model, qconfig);
    observed.forward(ids(4, 40));
    return convert(observed);
  };
  const nearest = convertWith({ ...accurateQConfig, weightRounding: "nearest" });
  const calibrated = convertWith(accurateQConfig);
  assertEquals(saveModel(calibrated), saveModel(convertWith(accurateQConfig)));
  assertEquals(saveModel(calibrated).length, saveModel(nearest).length);
  const [a, b] = [nearest, calibrated].map(({ modules }) =>
    modules.get("embedding") as QuantizedEmbedding
  );
  assertEquals([b!.scales, b!.biases], [a!.scales, a!.biases]);
  assert(a!.weight.some((q, i) => q !== b!.weight[i]));
});

Deno.test("loadModel() reads 16-bit embedding rows back, and the bytes are the same", () => {
  const observed = prepare(segmenter(1), { ...int8x16QConfig, embeddingBits: 16 });
  const sequence = ids(4, 40);
  observed.forward(sequence);
  const converted = convert(observed);
  const bytes = saveModel(converted);
  const loaded = loadModel(bytes);
  assert((converted.modules.get("embedding") as QuantizedEmbedding).weight instanceof Uint16Array);
  assertEquals(saveModel(loaded), bytes);
  const outputs = [converted, loaded].map((model) => {
    const output = new Float32Array(120);
    model.createSession({ maxSteps: 40 }).run(sequence.data, output);
    return output;
  });
  assertEquals(outputs[0], outputs[1]);
});

Deno.test("prepare() refuses a rounding and a number of bits that there are not", () => {
  const model = segmenter(1);
  const with_ = (change: object) => ({ ...accurateQConfig, ...change }) as QConfig;
  assertThrows(
    () => prepare(model, with_({ weightRounding: "best" })),
    RangeError,
    'qconfig.weightRounding: expected nearest or calibrated, got "best"',
  );
  assertThrows(
    () => prepare(model, with_({ embeddingBits: 12 })),
    RangeError,
    "qconfig.embeddingBits: expected 8 or 16, got 12",
  );
});
