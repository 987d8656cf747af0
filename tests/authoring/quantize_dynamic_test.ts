import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  convert,
  Embedding,
  Linear,
  LSTM,
  prepare,
  QConfigMapping,
  quantizeDynamic,
  saveModel,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import { dynamicQConfig } from "@splitgate/splitgate/qconfig";
import { fbgemmQConfig } from "../../src/qconfig/qconfig.ts";
import type { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import type { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";

const wave = (length: number, step = 0.7) =>
  Float32Array.from({ length }, (_, i) => Math.sin(1 + i * step));

Deno.test("quantizeDynamic() equals convert(prepare()) and leaves an Embedding float; and copies", () => {
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings: 5, embeddingDim: 3 }),
    lstm: new LSTM({ inputSize: 3, hiddenSize: 4 }),
    out: new Linear({ inFeatures: 4, outFeatures: 2 }),
  });
  const made = quantizeDynamic(model);
  const file = saveModel(made);
  assertEquals(saveModel(convert(prepare(model, dynamicQConfig))), file);
  const embedding = made.modules.get("embedding");
  assert((embedding as QuantizedEmbedding).weight instanceof Float32Array);
  for (const { data } of model.stateDict().values()) data.fill(0);
  assertEquals(saveModel(made), file);
  const mapping = new QConfigMapping().setGlobal(dynamicQConfig).setObjectType(
    "Embedding",
    fbgemmQConfig,
  );
  const rows = quantizeDynamic(model, mapping).modules.get("embedding");
  assert((rows as QuantizedEmbedding).weight instanceof Uint8Array);
});

Deno.test("quantizeDynamic() gives the same for both layouts and close to the float LSTM's output", () => {
  for (const bidirectional of [false, true]) {
    const sizes = { inputSize: 3, hiddenSize: 7, numLayers: 2, bidirectional };
    const lstm = new LSTM(sizes);
    const swapped = new LSTM({ ...sizes, batchFirst: true });
    swapped.loadStateDict(lstm.stateDict());
    const x = tensor(wave(5 * 2 * 3), [5, 2, 3]);
    const xSwapped = new Float32Array(30);
    for (let t = 0; t < 5; t++) {
      for (let b = 0; b < 2; b++) {
        xSwapped.set(x.data.subarray((t * 2 + b) * 3, (t * 2 + b + 1) * 3), (b * 5 + t) * 3);
      }
    }
    const [y, ySwapped] = ([[lstm, x], [swapped, tensor(xSwapped, [2, 5, 3])]] as const).map((
      [model, x],
    ) => (quantizeDynamic(model).modules.get("lstm") as QuantizedLSTM).forward(x)[0]);
    const width = y!.shape[2]!;
    assertEquals(ySwapped!.shape, [2, 5, width]);
    for (let t = 0; t < 5; t++) {
      for (let b = 0; b < 2; b++) {
        assertEquals(
          ySwapped!.data.subarray((b * 5 + t) * width, (b * 5 + t + 1) * width),
          y!.data.subarray((t * 2 + b) * width, (t * 2 + b + 1) * width),
        );
      }
    }
    const [float] = lstm.forward(x);
    float.data.forEach((v, i) => assert(Math.abs(v - y!.data[i]!) < 0.02, `${v} ${y!.data[i]}`));
  }
});

Deno.test("quantizeDynamic() refuses what it cannot quantize", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
  assertThrows(
    () => quantizeDynamic({} as never),
    TypeError,
    "model: expected a module: Graph, Sequential, ",
  );
  assertThrows(
    () => quantizeDynamic(lstm, fbgemmQConfig),
    RangeError,
    "qconfig of lstm: expected a dynamic QConfig",
  );
  const projected = new LSTM({ inputSize: 2, hiddenSize: 3, projSize: 2 });
  assertThrows(() => quantizeDynamic(projected), RangeError, "lstm.projSize: expected 0");
});

Deno.test("a dynamic Linear refuses results that are not finite", () => {
  const linear = new Linear({ inFeatures: 2, outFeatures: 1, bias: false });
  linear.loadStateDict(new Map([["weight", tensor([1e6, 1e6], [1, 2])]]));
  const session = quantizeDynamic(linear).createSession();
  assertThrows(
    () => session.step(Float32Array.of(3e38, 3e38), new Float32Array(1)),
    RangeError,
    "finite",
  );
});
