import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  fakeQuantizePerChannel,
  fakeQuantizePerTensor,
} from "../../../kernels/ops/fake_quantize.ts";
import {
  type Affine,
  dequantizePerTensor,
  quantizePerTensor,
} from "../../../kernels/numeric/quantize.ts";
import {
  anyFloat32,
  anyParameters,
  ladderInteger,
  NARROW,
  nudge,
  RANGES,
} from "../../../src/testing/numbers.ts";
import { exact, mul, nearestEven, toFloat32, toFloat64 } from "../../../src/testing/exact.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { channelled } from "../channels.ts";
import { type KernelProperty, property } from "../property.ts";

const f = Math.fround;

/** Values on ties, next to them, and any. */
function values({ scale, zeroPoint, quantMin, quantMax }: Affine): fc.Arbitrary<number[]> {
  const tie = ladderInteger(quantMin, quantMax).map((q) => f(scale * (q - zeroPoint + 0.5)))
    .filter((x) => Number.isFinite(x));
  const near = fc.tuple(tie.filter((x) => x !== 0), fc.integer({ min: -2, max: 2 })).map(([x, k]) =>
    nudge(x, k)
  )
    .filter((x) => Number.isFinite(x));
  return fc.array(fc.oneof(tie, near, anyFloat32), { maxLength: 13 });
}

export const FAKE_QUANTIZE: readonly KernelProperty[] = [
  property(
    "fakeQuantizePerTensor() follows torch's rule for finite values in any range",
    2000,
    () =>
      fc.property(
        anyParameters(RANGES).chain((q) => fc.tuple(fc.constant(q), values(q))),
        ([q, list]) => {
          const x = Float32Array.from(list);
          const before = x.slice();
          const y = fakeQuantizePerTensor(x, q);
          assertEquals([...y].map((v) => v + 0), [...x].map((v) => oracle.fakeQuantize(v, q)));
          assertEquals(x, before);
          assertEquals(fakeQuantizePerTensor(x, q, x), y);
          assertEquals(x, y);
        },
      ),
  ),
  property(
    "fakeQuantizePerTensor() is quantizing and dequantizing when the range has 16 bits at most",
    1000,
    () =>
      fc.property(
        anyParameters(NARROW).chain((q) => fc.tuple(fc.constant(q), values(q))),
        ([q, list]) => {
          const x = Float32Array.from(list);
          const ints = q.range.make(new Uint8Array(x.length));
          const y = new Float32Array(x.length);
          quantizePerTensor(x, ints, q);
          dequantizePerTensor(ints, y, q.scale, q.zeroPoint);
          assertEquals(fakeQuantizePerTensor(x, q), y);
          // Twice is once, where scale * inverse does not leave a tie.
          const again = fakeQuantizePerTensor(y, q);
          assertEquals(again, y);
        },
      ),
  ),
  property(
    "fakeQuantizePerChannel() is fakeQuantizePerTensor() channel by channel",
    300,
    () =>
      fc.property(channelled, ({ range, channels, inner, scales, zeroPoints, ratios }) => {
        const channel = (i: number) => Math.floor(i / inner) % channels;
        const x = Float32Array.from(
          ratios,
          (r, i) => i % 7 === 3 ? NaN : (i % 2 ? Math.floor(r) + 0.5 : r) * scales[channel(i)]!,
        );
        const { quantMin, quantMax } = range;
        const to = { scales, zeroPoints, quantMin, quantMax };
        const y = fakeQuantizePerChannel(x, to, inner);
        for (let i = 0; i < x.length; i++) {
          const c = channel(i);
          const own = { scale: scales[c]!, zeroPoint: zeroPoints[c]!, quantMin, quantMax };
          const [want] = fakeQuantizePerTensor(x.slice(i, i + 1), own);
          assertEquals(y[i], want);
        }
        assertEquals(fakeQuantizePerChannel(x, to, inner, x), y);
        assertEquals(x, y);
      }),
  ),
  property(
    "fakeQuantizePerChannel() adds float zero points before it rounds",
    300,
    (met) =>
      fc.property(channelled, ({ range, channels, inner, scales, floats, ratios }) => {
        const channel = (i: number) => Math.floor(i / inner) % channels;
        const x = Float32Array.from(
          ratios,
          (r, i) => (Math.floor(r) + 0.5 - floats[channel(i)]!) * scales[channel(i)]!,
        );
        const { quantMin, quantMax } = range;
        const y = fakeQuantizePerChannel(
          x,
          { scales, zeroPoints: floats, quantMin, quantMax },
          inner,
        );
        for (let i = 0; i < x.length; i++) {
          const scale = scales[channel(i)];
          const zeroPoint = floats[channel(i)];
          const r = oracle.add32(zeroPoint!, oracle.mul32(x[i]!, oracle.inverse(scale!)));
          if (Math.abs(r) % 1 === 0.5) met("ties");
          const q = Math.min(Math.max(Number(nearestEven(exact(r))), quantMin), quantMax);
          assertEquals(
            y[i]! + 0,
            toFloat32(exact(toFloat64(mul(exact(q - zeroPoint!), exact(scale!))))),
          );
        }
      }),
    { ties: 100 },
  ),
];
