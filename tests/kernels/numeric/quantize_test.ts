import { assert, assertEquals } from "@std/assert";
import { requantize } from "../../../kernels/numeric/quantize.ts";
import { edgeLadder, RANGES } from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { testProperties } from "../property.ts";
import { QUANTIZE, zeroPoints } from "./quantize.ts";

testProperties(QUANTIZE);

Deno.test("requantize() is exact between every pair of dtypes and ranges, zero points at their ends", () => {
  // Scale ratios that make ties, that spread, and that saturate.
  const scales: [number, number][] = [[0.5, 1], [0.75, 0.5], [0.1, 0.3], [2 ** -11, 2 ** -4], [
    1,
    2 ** -9,
  ], [3, 2]];
  let ties = 0;
  let low = 0;
  let high = 0;
  let count = 0;
  for (const from of RANGES) {
    const ints = edgeLadder(from.quantMin, from.quantMax);
    const x = from.make(ints);
    for (const to of RANGES) {
      scales.forEach(([fromScale, toScale], i) => {
        for (const zeroFrom of zeroPoints(from.quantMin, from.quantMax)) {
          const zeros = zeroPoints(to.quantMin, to.quantMax);
          const zeroPoint = zeros[i % zeros.length]!;
          const source = { scale: Math.fround(fromScale), zeroPoint: zeroFrom };
          const target = { ...to, scale: Math.fround(toScale), zeroPoint };
          // Differences beyond int32 are outside the domain.
          const keep = ints.map((q) => Math.abs(q - zeroFrom) < 2 ** 31);
          const out = to.make(new Array(x.length).fill(to.quantMin));
          requantize(x, source, out, target);
          ints.forEach((q, k) => {
            if (!keep[k]) return;
            const want = oracle.requantize(q, source, target, out instanceof Int32Array);
            assertEquals(out[k], want, `${from.name} ${q} ${zeroFrom} -> ${to.name} ${zeroPoint}`);
            count++;
            const steps = oracle.mul32(oracle.dequantize(q, source), oracle.inverse(target.scale));
            if (Math.abs(steps) % 1 === 0.5) ties++;
            if (want === to.quantMin) low++;
            if (want === to.quantMax) high++;
          });
        }
      });
    }
  }
  assert(
    count > 50000 && ties > 1000 && low > 1000 && high > 1000,
    `${count}, ${ties} ties, ${low}, ${high}`,
  );
});
