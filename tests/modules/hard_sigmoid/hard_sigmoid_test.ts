import { assertEquals, assertThrows } from "@std/assert";
import { HardSigmoid, tensor } from "@splitgate/splitgate";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { hardSigmoidFloat32, hardSigmoidOf } from "../../../kernels/numeric/float_functions.ts";
import { afterLinear, holdActivation } from "../activations.ts";

holdActivation({
  kind: "HardSigmoid",
  make: (random) =>
    random(0, 1) < 0.5
      ? new HardSigmoid()
      : new HardSigmoid({ slope: random(-0.5, 1), offset: random(-0.5, 1) }),
  float(module) {
    const { activation, slope, offset } = module as HardSigmoid;
    return (row) =>
      row.map((x) =>
        activation === "hardSigmoid" ? hardSigmoidFloat32(x) : hardSigmoidOf(x, slope, offset)
      );
  },
});

Deno.test("HardSigmoid is PyTorch's by default, and Keras's and ONNX's with their slopes", () => {
  const x = tensor([-3, -2.5, 0, 1, 2.5, 3], [1, 6]);
  const f = Math.fround;
  const of = (
    options: ConstructorParameters<typeof HardSigmoid>[0],
  ) => [...new HardSigmoid(options).forward(x).data];
  assertEquals(of({}), [0, f(0.5 / 6), 0.5, f(4 / 6), f(5.5 / 6), 1]);
  // Keras 2, ONNX: 0.2 x + 0.5.
  assertEquals(of({ slope: 0.2 }), [0, 0, 0.5, f(f(0.2) + 0.5), 1, 1]);
  // Keras 3: x / 6 + 0.5, in steps of its own.
  assertEquals(of({ offset: 0.5 })[3], f(f(1 / 6) + 0.5));
});

Deno.test("HardSigmoid's output has torch's fixed parameters", () => {
  const { output } = afterLinear(new HardSigmoid({ slope: 0.2 }), fbgemmQConfig).own;
  assertEquals([output!.scale, output!.zeroPoint], [1 / 256, 0]);
});

Deno.test("new HardSigmoid() refuses what is no finite float32 number", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new HardSigmoid(options);
  assertThrows(bad({ slope: null }), TypeError, "slope: expected a number, got null");
  assertThrows(bad({ offset: Infinity }), RangeError, "offset: expected a finite float32 number");
  assertThrows(bad({ alpha: 0.2 }), TypeError, "alpha");
});
