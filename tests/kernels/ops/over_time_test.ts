import { assert, assertEquals } from "@std/assert";
import { meanInt8 } from "../../../kernels/ops/over_time.ts";
import { testProperties } from "../property.ts";
import { OVER_TIME } from "./over_time.ts";

testProperties(OVER_TIME);

Deno.test("meanInt8() rounds halves to even, zero point included", () => {
  let halves = 0;
  for (let a = 0; a <= 255; a++) {
    for (let b = 0; b <= 255; b++) {
      const sum = a + b;
      const low = Math.floor(sum / 2);
      const want = sum % 2 === 0 || low % 2 === 0 ? low : low + 1;
      if (sum % 2 === 1) halves++;
      if (meanInt8(sum, 2, 0, 255) !== want) assertEquals([a, b], []);
    }
  }
  assert(halves > 30000);
});

Deno.test("meanInt8() stays in range where float32 rounds a sum of 32-bit integers up", () => {
  const max = 2 ** 31 - 1;
  assertEquals(meanInt8(3 * max, 3, -(2 ** 31), max), max);
  assertEquals(meanInt8(-3 * 2 ** 31, 3, -(2 ** 31), max), -(2 ** 31));
});
