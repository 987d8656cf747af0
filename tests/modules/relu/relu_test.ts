import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  convert,
  Dropout,
  Graph,
  Linear,
  LinearReLU,
  perTensorAffine,
  prepare,
  qtensor,
  ReLU,
  Sequential,
  Sigmoid,
  tensor,
} from "@splitgate/splitgate";
import { MinMaxObserver } from "@splitgate/splitgate/qconfig";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import { reluInt8 } from "../../../kernels/numeric/activation.ts";
import { reluFloat32 } from "../../../kernels/numeric/float_functions.ts";
import { holdActivation } from "../activations.ts";

holdActivation({
  kind: "ReLU",
  make: () => new ReLU(),
  float: () => (row) => row.map(reluFloat32),
  integers(x, y) {
    reluInt8(x.data, x.qparams.zeroPoint, y);
    return true;
  },
});

const linear = () => new Linear({ inFeatures: 2, outFeatures: 3, seed: 1 });
const x = tensor([0.5, -2, 1, 3], [2, 2]);

Deno.test("a ReLU that alone reads a Linear becomes part of it, by way of a Dropout too", () => {
  const one = linear();
  const model = new Sequential({ linear: one, dropout: new Dropout(), relu: new ReLU() });
  const observed = prepare(model, fbgemmQConfig);
  assertEquals([...observed.modules.keys()], ["linear"]);
  assertEquals(observed.forward(x), model.forward(x));
  const quantized = convert(observed).modules.get("linear");
  assert(quantized instanceof QuantizedLinear && quantized.relu);
  // The same as torch's LinearReLU, made by hand.
  const fused = new LinearReLU({ inFeatures: 2, outFeatures: 3 });
  fused.loadStateDict(one.stateDict());
  const byHand = prepare(fused, fbgemmQConfig);
  byHand.forward(x);
  assertEquals(convert(byHand).modules.get("linear"), quantized);
});

Deno.test("a ReLU stays where others read its Linear, it is an output, or has a ReLU already", () => {
  const relu = { module: new ReLU(), inputs: "linear" };
  const kept = (children: ConstructorParameters<typeof Graph>[0], outputs: string[]) => {
    const observed = prepare(new Graph(children, { outputs }), fbgemmQConfig);
    observed.run(x);
    const model = convert(observed);
    assertEquals(model.modules.get("relu")?.kind, "ReLU");
    assertEquals((model.modules.get("linear") as QuantizedLinear).relu, false);
    assertEquals(model.outputs.map(({ name }) => name), outputs);
  };
  const two = { linear: { module: linear() }, relu };
  kept({ ...two, sigmoid: { module: new Sigmoid(), inputs: "linear" } }, ["relu", "sigmoid"]);
  kept(two, ["linear", "relu"]);
  const again = new Sequential({ linear: linear(), relu: new ReLU(), second: new ReLU() });
  assertEquals([...prepare(again, fbgemmQConfig).modules.keys()], ["linear", "second"]);
});

Deno.test("a ReLU gives the parameters that it takes, and observes nothing", () => {
  const leaky = new Sequential({ linear: linear(), sigmoid: new Sigmoid(), relu: new ReLU() });
  const observed = prepare(leaky, fbgemmQConfig);
  observed.forward(x);
  const [, sigmoid, relu] = [...observed.modules.values()];
  assert(relu!.output === sigmoid!.output);
  const model = convert(observed);
  assertEquals(model.output, perTensorAffine({ dtype: "quint8", scale: 1 / 256, zeroPoint: 0 }));
});

Deno.test("a quantized ReLU takes what is quantized otherwise with its own parameters", () => {
  const other = perTensorAffine({ dtype: "qint8", scale: 0.5, zeroPoint: -3 });
  const qconfig = { ...fbgemmQConfig, activation: MinMaxObserver.withArgs({}) };
  const model = new Sequential({ linear: linear(), sigmoid: new Sigmoid(), relu: new ReLU() });
  const observed = prepare(model, qconfig);
  observed.forward(x);
  // deno-lint-ignore no-explicit-any -- forward is all that is of interest here
  const relu = convert(observed).modules.get("relu") as any;
  const y = relu.forward(qtensor(Int8Array.of(-128, -3, 100), [3], other));
  assertEquals([...y.data], [-3, -3, 100]);
  assertEquals(y.qparams, other);
  assertThrows(() => relu.forward(tensor([1, 2], [2])), RangeError, "x.shape: expected [..., 3]");
  assertThrows(() => relu.forward([1, 2, 3]), TypeError, "x: expected a Tensor or a QTensor");
});

Deno.test("an activation that reads the input learns its width from what reads it; alone it is refused", () => {
  const model = new Sequential({ relu: new ReLU(), dropout: new Dropout(), linear: linear() });
  const observed = prepare(model, fbgemmQConfig);
  observed.forward(x);
  const quantized = convert(observed);
  assertEquals([quantized.inputSize, quantized.input], [2, null]);
  const out = new Float32Array(3);
  quantized.createSession().step(Float32Array.of(-5, 1), out);
  const same = new Float32Array(3);
  quantized.createSession().step(Float32Array.of(0, 1), same);
  assertEquals(out, same);
  assertThrows(
    () => prepare(new ReLU(), fbgemmQConfig),
    RangeError,
    "children: expected a module that says how wide the model's input is",
  );
  const block = new Sequential({ relu: new ReLU(), sigmoid: new Sigmoid() });
  assertThrows(
    () => prepare(block, fbgemmQConfig),
    RangeError,
    "children: expected a module that says how wide",
  );
  // In a model that declares it, a module of such modules is like any other.
  const whole = new Sequential({ block, linear: linear() });
  const parts = linear().forward(block.forward(x));
  assertEquals(whole.forward(x), parts);
  assertEquals(prepare(whole, fbgemmQConfig).forward(x), parts);
});

Deno.test("new ReLU() refuses options; forward() refuses what is no finite float32 tensor", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new ReLU({ inplace: true } as any), TypeError, "inplace");
  assertThrows(() => new ReLU().forward(tensor([], [0])), RangeError, "x.shape");
  assertThrows(() => new ReLU().forward(tensor([NaN], [1])), RangeError, "x.data[0]");
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new ReLU().forward(Float32Array.of(1) as any), TypeError, "x");
});
