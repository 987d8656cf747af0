import { assert, assertEquals, assertThrows } from "@std/assert";
import { linearDynamicInt8 } from "../../kernels/linear_dynamic.ts";
import {
  convert,
  DynamicLinear,
  DynamicLSTM,
  dynamicQConfig,
  Embedding,
  fbgemmQConfig,
  Linear,
  LSTM,
  perChannelDynamicQConfig,
  prepare,
  QConfigMapping,
  quantizeDynamic,
  Sequential,
  tensor,
  tokens,
} from "../../mod.ts";

const wave = (length: number, step = 0.7) => Float32Array.from({ length }, (_, i) => Math.sin(1 + i * step));

Deno.test("quantizeDynamic() gives a Linear whose output is the dynamic operator's", () => {
  for (const bias of [true, false]) {
    for (const engine of ["fbgemm", "qnnpack"] as const) {
      const linear = new Linear({ inFeatures: 7, outFeatures: 3, bias });
      const made = quantizeDynamic(linear, { ...perChannelDynamicQConfig, engine });
      const { weight, bias: own } = made.modules.get("linear") as DynamicLinear;
      assertEquals([weight.perChannel, weight.scales.length, own], [true, 3, linear.bias]);
      const x = tensor(wave(28), [2, 2, 7]), out = new Float32Array(12);
      linearDynamicInt8(engine, x.data, weight, own, out, false, true);
      assertEquals(made.forward(x), { data: out, shape: [2, 2, 3] });
    }
  }
});

Deno.test("quantizeDynamic() gives an LSTM that goes on from its state as one call per step does", () => {
  // Every step's input has the same range, so that one scale serves the whole and each step.
  const lstm = new LSTM({ inputSize: 3, hiddenSize: 5, numLayers: 1 }), batch = 2, steps = 4;
  const x = new Float32Array(steps * batch * 3);
  for (let t = 0; t < steps; t++) {
    x.set(wave(6, 0.3 + t).map((v) => v * 0.9), t * 6);
    x[t * 6] = -1;
    x[t * 6 + 5] = 1;
  }
  const made = quantizeDynamic(lstm).modules.get("lstm") as DynamicLSTM;
  const [y, [h, c]] = made.forward(tensor(x, [steps, batch, 3]));
  let state: Parameters<DynamicLSTM["forward"]>[1];
  for (let t = 0; t < steps; t++) {
    const [step, next] = made.forward(tensor(x.subarray(t * 6, t * 6 + 6), [1, batch, 3]), state);
    assertEquals(step.data, y.data.subarray(t * 10, t * 10 + 10));
    state = next;
  }
  assertEquals(state, [h, c]);
});

Deno.test("quantizeDynamic() gives the same for both layouts and close to the float LSTM's output", () => {
  for (const bidirectional of [false, true]) {
    const sizes = { inputSize: 3, hiddenSize: 7, numLayers: 2, bidirectional };
    const lstm = new LSTM(sizes), swapped = new LSTM({ ...sizes, batchFirst: true });
    const x = tensor(wave(5 * 2 * 3), [5, 2, 3]), xSwapped = new Float32Array(30);
    for (let t = 0; t < 5; t++) {
      for (let b = 0; b < 2; b++) xSwapped.set(x.data.subarray((t * 2 + b) * 3, (t * 2 + b + 1) * 3), (b * 5 + t) * 3);
    }
    const y = quantizeDynamic(lstm).forward(x);
    const ySwapped = quantizeDynamic(swapped).forward(tensor(xSwapped, [2, 5, 3]));
    const width = y.shape[2];
    assertEquals(ySwapped.shape, [2, 5, width]);
    for (let t = 0; t < 5; t++) {
      for (let b = 0; b < 2; b++) {
        assertEquals(
          ySwapped.data.subarray((b * 5 + t) * width, (b * 5 + t + 1) * width),
          y.data.subarray((t * 2 + b) * width, (t * 2 + b + 1) * width),
        );
      }
    }
    const [float] = lstm.forward(x);
    float.data.forEach((v, i) => assert(Math.abs(v - y.data[i]) < 0.02, `${v} ${y.data[i]}`));
  }
});

Deno.test("quantizeDynamic() leaves embeddings, and what its mapping says, float; and copies", () => {
  const model = new Sequential({
    embedding: new Embedding({ numEmbeddings: 5, embeddingDim: 3 }),
    lstm: new LSTM({ inputSize: 3, hiddenSize: 4 }),
    out: new Linear({ inFeatures: 4, outFeatures: 2 }),
  });
  const all = quantizeDynamic(model), x = tokens([1, 2, 3], [3, 1]);
  const kinds = [...all.modules.values()].map((module) => module.constructor);
  assertEquals(kinds, [Embedding, DynamicLSTM, DynamicLinear]);
  const y = all.forward(x);
  const mapping = new QConfigMapping().setGlobal(dynamicQConfig).setObjectType("LSTM", null);
  const partly = [...quantizeDynamic(model, mapping).modules.values()].map((module) => module.constructor);
  assertEquals(partly, [Embedding, LSTM, DynamicLinear]);
  const none = quantizeDynamic(model, new QConfigMapping().setGlobal(null));
  assertEquals(none.forward(x), model.forward(x));
  for (const { data } of model.stateDict().values()) data.fill(0);
  assertEquals(all.forward(x), y);
});

Deno.test("quantizeDynamic() refuses what it cannot quantize", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
  assertThrows(
    () => quantizeDynamic({} as never),
    TypeError,
    "model: expected a Linear, Embedding, LSTM or Sequential",
  );
  assertThrows(() => quantizeDynamic(lstm, fbgemmQConfig), RangeError, "qconfig of lstm: expected a dynamic QConfig");
  assertThrows(() => prepare(lstm, dynamicQConfig), RangeError, "qconfig of lstm: expected a static QConfig");
  assertThrows(() => convert(quantizeDynamic(lstm) as never), TypeError, "observed");
  const projected = new LSTM({ inputSize: 2, hiddenSize: 3, projSize: 2 });
  assertThrows(() => quantizeDynamic(projected), RangeError, "lstm.projSize: expected 0");
});

Deno.test("dynamic modules refuse input that does not fit", () => {
  const linear = quantizeDynamic(new Linear({ inFeatures: 2, outFeatures: 1 }));
  assertThrows(() => linear.forward(tensor([1, 2, 3], [1, 3])), RangeError, "x.shape: expected [..., 2]");
  assertThrows(() => linear.forward(tensor([1, NaN], [1, 2])), RangeError, "x");
  assertThrows(() => linear.forward([1, 2] as never), TypeError, "x");
  const lstm = quantizeDynamic(new LSTM({ inputSize: 2, hiddenSize: 3 })).modules.get("lstm") as DynamicLSTM;
  assertThrows(() => lstm.forward(tensor([1, 2, 3], [1, 1, 3])), RangeError, "x.shape");
  const x = tensor([1, 2], [1, 1, 2]), h = tensor([1, 2, 3], [1, 1, 3]);
  assertThrows(() => lstm.forward(x, [h, tensor([1, 2], [1, 1, 2])]), RangeError, "state[1]");
});
