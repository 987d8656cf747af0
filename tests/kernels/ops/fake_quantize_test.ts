import { assertEquals } from "@std/assert";
import { fakeQuantizePerTensor } from "../../../kernels/ops/fake_quantize.ts";
import { NARROW } from "../../../src/testing/numbers.ts";
import { testProperties } from "../property.ts";
import { FAKE_QUANTIZE } from "./fake_quantize.ts";

testProperties(FAKE_QUANTIZE);

Deno.test("fakeQuantizePerTensor() saturates infinite values at the end of their sign and takes NaN to quantMin", () => {
  for (const { quantMin, quantMax } of NARROW) {
    const zeroPoint = quantMin + 1;
    const ends = [quantMin, quantMax].map((q) => (q - zeroPoint) * 0.5);
    const x = Float32Array.of(-Infinity, Infinity, -3e38, 3e38, NaN);
    const y = fakeQuantizePerTensor(x, { scale: 0.5, zeroPoint, quantMin, quantMax });
    assertEquals([...y], [ends[0], ends[1], ends[0], ends[1], ends[0]]);
  }
});
