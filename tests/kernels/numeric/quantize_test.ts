import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  dequantizePerChannel,
  dequantizePerTensor,
  quantizePerChannel,
  quantizePerTensor,
  requantize,
} from "../../../kernels/numeric/quantize.ts";
import { exact, nearestEven } from "../../../src/testing/exact.ts";
import {
  anyFloat32,
  anyParameters,
  type Drawn,
  edgeLadder,
  integersOf,
  RANGES,
  uniformFloat32,
} from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { channelled } from "../channels.ts";

/** torch adds qint32's zero point in float32. */
const isWide = ({ range }: Drawn) => range.make([]) instanceof Int32Array;

/** Zero point at each end, at 0 and in the middle. */
function zeroPoints(quantMin: number, quantMax: number): number[] {
  return [quantMin, 0, Math.floor((quantMin + quantMax) / 2), quantMax].filter((z) =>
    z >= quantMin && z <= quantMax
  );
}

Deno.test("requantize() is exact between every pair of dtypes and ranges, zero points at their ends", () => {
  // Scale ratios that make ties, that spread, and that saturate.
  const scales: [number, number][] = [[0.5, 1], [0.75, 0.5], [0.1, 0.3], [2 ** -11, 2 ** -4], [
    1,
    2 ** -9,
  ], [3, 2]];
  let ties = 0, low = 0, high = 0, count = 0;
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

Deno.test("requantize() is exact when scales and integers are any", () => {
  const pair = fc.tuple(anyParameters(RANGES), anyParameters(RANGES))
    .chain(([from, to]) => fc.tuple(fc.constant(from), fc.constant(to), integersOf(from)));
  fc.assert(
    fc.property(pair, ([from, to, ints]) => {
      const kept = ints.filter((q) => Math.abs(q - from.zeroPoint) < 2 ** 31);
      const out = to.range.make(kept);
      requantize(from.range.make(kept), from, out, to);
      assertEquals([...out], kept.map((q) => oracle.requantize(q, from, to, isWide(to))));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("requantize() leaves integers as they are when the parameters are the same and float32 holds them", () => {
  const same = anyParameters(RANGES).chain((q) => fc.tuple(fc.constant(q), integersOf(q, 13)));
  fc.assert(fc.property(same, ([q, ints]) => {
    // scale * inv(scale) may be 1 - 2^-24 or 1 + 2^-23: below 2^21 that is less than half a step.
    const kept = ints.filter((n) => Math.abs(n - q.zeroPoint) < 2 ** 21 && Math.abs(n) < 2 ** 24);
    const x = q.range.make(kept);
    const out = q.range.make(new Array(kept.length).fill(0));
    requantize(x, q, out, q);
    assertEquals(out, x);
  }));
});

Deno.test("quantizePerTensor() and dequantizePerTensor() follow the rules element by element", () => {
  const drawn = anyParameters(RANGES).chain((q) =>
    fc.tuple(
      fc.constant(q),
      fc.array(
        fc.oneof(
          anyFloat32,
          integersOf(q, 1).map(([n]) => Math.fround((n! - q.zeroPoint + 0.5) * q.scale)),
        ),
        {
          maxLength: 13,
        },
      ),
    )
  );
  fc.assert(
    fc.property(drawn, ([q, values]) => {
      const x = Float32Array.from(values).filter(Number.isFinite);
      const out = q.range.make(new Uint8Array(x.length));
      quantizePerTensor(x, out, q);
      assertEquals([...out], [...x].map((v) => oracle.quantize(v, q, isWide(q))));
      const real = new Float32Array(out.length);
      dequantizePerTensor(out, real, q.scale, q.zeroPoint);
      for (let i = 0; i < out.length; i++) {
        if (Math.abs(out[i]! - q.zeroPoint) < 2 ** 31) {
          assertEquals(real[i]! + 0, oracle.dequantize(out[i]!, q));
        }
      }
    }),
    { numRuns: 1000 },
  );
});

Deno.test("quantizePerChannel() and dequantizePerChannel() give each channel its own parameters", () => {
  fc.assert(
    fc.property(channelled, ({ range, inner, scales, zeroPoints, ratios }) => {
      const channel = (i: number) => Math.floor(i / inner) % scales.length;
      // Half the values half-way between two steps.
      const x = Float32Array.from(
        ratios,
        (r, i) => (i % 2 ? Math.floor(r) + 0.5 : r) * scales[channel(i)]!,
      );
      const out = range.make(new Uint8Array(x.length));
      const real = new Float32Array(x.length);
      quantizePerChannel(x, out, { ...range, scales, zeroPoints }, inner);
      dequantizePerChannel(out, real, scales, zeroPoints, inner);
      for (let i = 0; i < x.length; i++) {
        const q = { ...range, scale: scales[channel(i)]!, zeroPoint: zeroPoints[channel(i)]! };
        assertEquals(out[i], oracle.quantize(x[i]!, q, true));
        if (Math.abs(out[i]! - q.zeroPoint) < 2 ** 31) {
          assertEquals(real[i]! + 0, oracle.dequantize(out[i]!, q));
        }
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("quantizePerChannel() adds float zero points before it rounds", () => {
  fc.assert(
    fc.property(
      channelled,
      fc.array(uniformFloat32(-300, 300), { minLength: 7, maxLength: 7 }),
      ({ range, inner, scales, ratios }, points) => {
        const zeroPoints = Float32Array.from!(scales, (_, i) => points[i]!);
        const channel = (i: number) => Math.floor(i / inner) % scales.length;
        const x = Float32Array.from(
          ratios,
          (r, i) => (Math.floor(r) + 0.5 - points[channel(i)]!) * scales[channel(i)]!,
        );
        const out = range.make(new Uint8Array(x.length));
        quantizePerChannel(x, out, { ...range, scales, zeroPoints }, inner);
        for (let i = 0; i < x.length; i++) {
          const steps = oracle.mul32(x[i]!, oracle.inverse(scales[channel(i)]!));
          const q = Number(nearestEven(exact(oracle.add32(steps, zeroPoints[channel(i)]!))));
          assertEquals(out[i], Math.min(Math.max(q, range.quantMin), range.quantMax));
        }
      },
    ),
    { numRuns: 500 },
  );
});
