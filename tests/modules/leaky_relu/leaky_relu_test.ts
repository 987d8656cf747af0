import { assertEquals, assertThrows } from "@std/assert";
import {
  compileModel,
  convert,
  LeakyReLU,
  Linear,
  LSTM,
  prepare,
  QConfigMapping,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import { PlaceholderObserver } from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { leakyReluFloat32 } from "../../../kernels/numeric/float_functions.ts";
import { afterLinear, holdActivation } from "../activations.ts";

holdActivation({
  kind: "LeakyReLU",
  make: (random) => new LeakyReLU({ negativeSlope: random(-0.5, 1.5) }),
  float: (module) => (row) =>
    row.map((x) => leakyReluFloat32(x, (module as LeakyReLU).negativeSlope)),
});

Deno.test("LeakyReLU has PyTorch's slope by default, and parameters that its own observer finds", () => {
  assertEquals(new LeakyReLU().negativeSlope, Math.fround(0.01));
  const { input, own } = afterLinear(new LeakyReLU(), fbgemmQConfig);
  assertEquals(own.output!.dtype, "quint8");
  // Negative values are a hundredth: the range is nearly halved.
  assertEquals(own.output!.scale < input!.scale, true);
});

Deno.test("an overflow of a LeakyReLU is the same error from all that run it, and none in padding", () => {
  const model = new Sequential({
    lstm: new LSTM({ inputSize: 1, hiddenSize: 1 }),
    linear: new Linear({ inFeatures: 1, outFeatures: 1, bias: false }),
    leaky: new LeakyReLU({ negativeSlope: 3e38 }),
  });
  const [lstm, linear] = [...model.children.values()] as [LSTM, Linear];
  lstm.cells[0]![0]!.weightIh.fill(1);
  linear.weight.fill(-1000);
  const activation = PlaceholderObserver.withArgs({});
  const mapping = new QConfigMapping().setGlobal(fbgemmQConfig)
    .setModuleName("linear", { ...fbgemmQConfig, activation });
  const observed = prepare(model, mapping);
  observed.forward(tensor([-1, -2], [2, 1, 1]));
  const quantized = convert(observed);
  const x = Float32Array.of(-1, 2);
  assertThrows(() => model.forward(tensor(x, [2, 1, 1])), RangeError, "expected a finite number");
  const run = "output: expected finite results, got -Infinity";
  assertThrows(() => convertToReference(quantized).run(tensor(x, [2, 1, 1])), RangeError, run);
  for (const form of [quantized, loadProgram(compileModel(quantized))]) {
    const session = form.createSession();
    const before = session.state();
    assertThrows(() => session.run(x, new Float32Array(2)), RangeError, run);
    assertEquals(session.state(), before);
    session.run(x, new Float32Array(2), [1]);
  }
});

Deno.test("new LeakyReLU() refuses slopes that are no finite float32 numbers", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new LeakyReLU(options);
  assertThrows(bad({ negativeSlope: "0.1" }), TypeError, "negativeSlope: expected a number");
  assertThrows(
    bad({ negativeSlope: 1e39 }),
    RangeError,
    "negativeSlope: expected a finite float32",
  );
  assertThrows(bad({ negativeSlope: NaN }), RangeError, "negativeSlope");
  assertThrows(bad({ negative_slope: 0.1 }), TypeError, "negative_slope");
});
