import { assertEquals, assertThrows } from "@std/assert";
import {
  Concat,
  convert,
  Embedding,
  getPreset,
  Graph,
  Linear,
  LSTM,
  prepare,
  QConfigMapping,
  tensor,
} from "@splitgate/splitgate";
import {
  FakeQuantize,
  fbgemmBackendConfig,
  FixedQParamsObserver,
  MinMaxObserver,
} from "@splitgate/splitgate/qconfig";
import type { JoinModule } from "../../../src/modules/join.ts";
import { Generator } from "../../../src/core/generator.ts";
import { random } from "../../../src/testing/float_lstms.ts";

const linear = (outFeatures: number, seed: number) =>
  new Linear({ inFeatures: 2, outFeatures, seed });

/** Two Linears, and the model's input, side by side. */
function joined(): Graph {
  return new Graph({
    a: { module: linear(3, 1), inputs: "input" },
    b: { module: linear(2, 2), inputs: "input" },
    joined: { module: new Concat(), inputs: ["a", "input", "b", "a"] },
  });
}

Deno.test("Concat of integers has an observer of its own, through which floats come in too", () => {
  const model = joined();
  const x = random(new Generator(1), [4, 2]);
  const observed = prepare(model, getPreset("fbgemm"));
  const y = model.forward(x);
  assertEquals(observed.forward(x), y);
  assertEquals(y.shape, [4, 10]);
  const observer = observed.modules.get("joined")!.output as MinMaxObserver;
  assertEquals([observer.minVal, observer.maxVal], [Math.min(...y.data), Math.max(...y.data)]);
  const quantized = convert(observed);
  const { qparams } = quantized.outputs[0]!;
  assertEquals(qparams, observer.calculateQParams());
  const [a, b] = ["a", "b"].map((name) => observed.modules.get(name)!.output!.calculateQParams());
  const { inputs } = quantized.modules.get("joined") as JoinModule;
  assertEquals(inputs.map((input) => input.qparams), [a, qparams, b, a]);
});

Deno.test("Concat without a QConfig, or one of integers, stays float32 and takes integers dequantized", () => {
  const qconfig = new QConfigMapping().setGlobal(getPreset("fbgemm")).setModuleName("joined", null);
  const model = joined();
  const x = random(new Generator(1), [4, 2]);
  const observed = prepare(model, qconfig);
  observed.forward(x);
  const quantized = convert(observed);
  assertEquals(quantized.outputs[0]!.qparams, null);
  const output = new Float32Array(40);
  quantized.createSession({ batch: 4 }).step(x.data, output);
  // The input comes through as it is.
  for (let row = 0; row < 4; row++) {
    assertEquals(output.slice(row * 10 + 3, row * 10 + 5), x.data.slice(row * 2, row * 2 + 2));
  }
});

Deno.test("Concat's fake-quantizer rounds what the observed model passes on", () => {
  const activation = FakeQuantize.withArgs({
    observer: FixedQParamsObserver.withArgs({ scale: 0.5, zeroPoint: 100 }),
  });
  const observed = prepare(joined(), { ...getPreset("fbgemm"), activation });
  const { data } = observed.forward(random(new Generator(1), [4, 2]));
  assertEquals([...data].every((value) => value % 0.5 === 0), true);
});

Deno.test("Concat is held to a target, which is asked with the dtypes of all inputs", () => {
  const wide = MinMaxObserver.withArgs({ dtype: "qint32", quantMin: -32768, quantMax: 32767 });
  const qconfig = new QConfigMapping().setGlobal(getPreset("fbgemm"))
    .setModuleName("joined", { ...getPreset("fbgemm"), activation: wide });
  const backendConfig = fbgemmBackendConfig;
  assertThrows(
    () => prepare(joined(), qconfig, { backendConfig }),
    RangeError,
    "joined: expected what fbgemm runs",
  );
  const observed = prepare(joined(), qconfig, { backendConfig, onUnsupported: "float" });
  assertEquals(observed.unsupported.map(({ name, op }) => [name, op]), [["joined", "concat"]]);
  assertEquals(observed.modules.get("joined")!.output, null);
  assertEquals(prepare(joined(), getPreset("fbgemm"), { backendConfig }).unsupported, []);
});

Deno.test("Concat refuses what it cannot join, and names it", () => {
  const concat = new Concat();
  const x = tensor([1, 2], [1, 2]);
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => concat.forward(x as any), TypeError, "inputs: expected an array of tensors");
  assertThrows(
    () => concat.forward([x]),
    RangeError,
    "inputs: expected two tensors or more, got 1",
  );
  assertThrows(
    () => concat.forward([x, tensor([1, 2], [2, 1])]),
    RangeError,
    "inputs[1].shape: expected [1, features], got [2, 1]",
  );
  assertThrows(() => concat.forward([x, tensor([NaN], [1, 1])]), RangeError, "inputs[1].data[0]");
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new Concat({ dim: 0 } as any), TypeError, 'got "dim"');
  assertThrows(
    () =>
      new Graph({
        lstm: { module: new LSTM({ inputSize: 2, hiddenSize: 2 }) },
        c: { module: concat },
      }),
    RangeError,
    "children.c: expected two inputs or more, got 1",
  );
  const embedding = new Embedding({ numEmbeddings: 3, embeddingDim: 2 });
  assertThrows(
    () => new Graph({ e: { module: embedding }, c: { module: concat, inputs: ["e", "input"] } }),
    RangeError,
    'children.c: expected inputs of values, got "token ids"',
  );
});
