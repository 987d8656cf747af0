import { assertEquals, assertThrows } from "@std/assert";
import { convert, Linear, LogSoftmax, prepare, Sequential, tensor } from "@splitgate/splitgate";
import { PlaceholderObserver } from "@splitgate/splitgate/qconfig";
import { convertToReference } from "@splitgate/splitgate/reference";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { logSoftmaxFloat32 } from "../../../kernels/ops/softmax.ts";
import { afterLinear, holdActivation } from "../activations.ts";

holdActivation({
  kind: "LogSoftmax",
  make: () => new LogSoftmax(),
  float: () => (row) => {
    const out = new Float32Array(row.length);
    logSoftmaxFloat32(row, out, row.length);
    return out;
  },
});

Deno.test("LogSoftmax stays float32 behind what is quantized, whatever the QConfig", () => {
  const { own, model } = afterLinear(new LogSoftmax({ dim: -1 }), fbgemmQConfig);
  assertEquals([own.input, own.output, model.output], [null, null, null]);
  const out = new Float32Array(3);
  model.createSession().step(Float32Array.of(0.5, -2), out);
  assertEquals(Math.abs(out.reduce((sum, x) => sum + Math.exp(x), 0) - 1) < 1e-6, true);
});

Deno.test("a logarithm that float32 cannot hold is the same error from all that run it", () => {
  const linear = new Linear({ inFeatures: 1, outFeatures: 2, bias: false });
  const model = new Sequential({ linear, log: new LogSoftmax() });
  linear.weight.set([2e38, -2e38]);
  const activation = PlaceholderObserver.withArgs({});
  const quantized = convert(prepare(model, { ...fbgemmQConfig, activation }));
  const x = tensor([1], [1, 1]);
  assertThrows(() => model.forward(x), RangeError, "y[1]: expected a finite number");
  const run = "output: expected finite results, got -Infinity";
  const session = quantized.createSession();
  assertThrows(() => session.step(x.data, new Float32Array(2)), RangeError, run);
  assertThrows(() => convertToReference(quantized).run(x), RangeError, run);
});

Deno.test("new LogSoftmax() refuses another dimension", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new LogSoftmax({ dim: 0 } as any), RangeError, "dim: expected -1");
});
