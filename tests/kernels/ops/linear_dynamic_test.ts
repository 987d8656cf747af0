import { assert, assertEquals } from "@std/assert";
import { chooseQParamsDynamic, linearDynamicInt8 } from "../../../kernels/ops/linear_dynamic.ts";
import { testProperties } from "../property.ts";
import { ENGINES, f, LINEAR_DYNAMIC } from "./linear_dynamic.ts";

testProperties(LINEAR_DYNAMIC);

Deno.test("chooseQParamsDynamic() stretches a range whose scale is too small, and takes 0.1 where there is none", () => {
  const threshold = f(6.1e-5);
  const choose = (min: number, max: number) =>
    chooseQParamsDynamic(f(min), f(max), false, "fbgemm");
  assertEquals(choose(0, 0), { scale: f(0.1), zeroPoint: 0 });
  assertEquals(choose(0, 2 ** -140), { scale: f(0.1), zeroPoint: 0 });
  assertEquals(choose(0, 0.001), { scale: threshold, zeroPoint: 0 });
  assertEquals(choose(-0.001, 0), { scale: threshold, zeroPoint: 255 });
  // One part below 0 to three above: the zero point is a quarter of the way whatever the scale.
  assertEquals(choose(-0.001, 0.003), { scale: threshold, zeroPoint: 64 });
  assertEquals(choose(-0.1, 0.3).zeroPoint, 64);
  // The widest range of all.
  const widest = choose(-3.4028234663852886e38, 3.4028234663852886e38);
  assertEquals(widest.zeroPoint, 128);
  assertEquals(widest.scale, f(2 * 3.4028234663852886e38 / 255));
});

Deno.test("linearDynamicInt8() never gives -0", () => {
  // A product too small for float32, and a negative one under relu.
  const weight = {
    data: Int8Array.of(-1),
    outFeatures: 1,
    inFeatures: 1,
    perChannel: false,
    scales: Float32Array.of(2 ** -126),
    zeroPoints: Int32Array.of(0),
  };
  for (const engine of ENGINES) {
    for (const relu of [false, true]) {
      const out = Float32Array.of(5);
      linearDynamicInt8(engine, Float32Array.of(f(6.2e-5)), { weight, bias: null, relu }, out);
      assertEquals(Object.is(out[0], -0), false);
      assert(out[0]! <= 0);
    }
  }
});
