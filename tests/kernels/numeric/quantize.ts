import { assertEquals } from "@std/assert";
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
  integersOf,
  RANGES,
  uniformFloat32,
} from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { channelled } from "../channels.ts";
import { type KernelProperty, property } from "../property.ts";

/** torch adds qint32's zero point in float32. */
const isWide = ({ range }: Drawn) => range.make([]) instanceof Int32Array;

/** Zero point at each end, at 0 and in the middle. */
export function zeroPoints(quantMin: number, quantMax: number): number[] {
  return [quantMin, 0, Math.floor((quantMin + quantMax) / 2), quantMax].filter((z) =>
    z >= quantMin && z <= quantMax
  );
}

export const QUANTIZE: readonly KernelProperty[] = [
  property("requantize() is exact when scales and integers are any", 2000, () => {
    const pair = fc.tuple(anyParameters(RANGES), anyParameters(RANGES))
      .chain(([from, to]) => fc.tuple(fc.constant(from), fc.constant(to), integersOf(from)));
    return fc.property(pair, ([from, to, ints]) => {
      const kept = ints.filter((q) => Math.abs(q - from.zeroPoint) < 2 ** 31);
      const out = to.range.make(kept);
      requantize(from.range.make(kept), from, out, to);
      assertEquals([...out], kept.map((q) => oracle.requantize(q, from, to, isWide(to))));
    });
  }),
  property(
    "requantize() leaves integers as they are when the parameters are the same and float32 holds them",
    100,
    () => {
      const same = anyParameters(RANGES).chain((q) => fc.tuple(fc.constant(q), integersOf(q, 13)));
      return fc.property(same, ([q, ints]) => {
        // scale * inv(scale) may be 1 - 2^-24 or 1 + 2^-23: below 2^21 that is less than half a step.
        const kept = ints.filter((n) =>
          Math.abs(n - q.zeroPoint) < 2 ** 21 && Math.abs(n) < 2 ** 24
        );
        const x = q.range.make(kept);
        const out = q.range.make(new Array(kept.length).fill(0));
        requantize(x, q, out, q);
        assertEquals(out, x);
      });
    },
  ),
  property(
    "quantizePerTensor() and dequantizePerTensor() follow the rules element by element",
    1000,
    () => {
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
      return fc.property(drawn, ([q, values]) => {
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
      });
    },
  ),
  property(
    "quantizePerChannel() and dequantizePerChannel() give each channel its own parameters",
    500,
    () =>
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
  ),
  property("quantizePerChannel() adds float zero points before it rounds", 500, () =>
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
    )),
];
