import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { avgPool1dFloat32, avgPool1dInt8, windowSteps } from "@splitgate/splitgate/kernels";
import { type KernelProperty, property } from "../property.ts";

// Averages of windows against sums that are written out, over every padding and stride.

const MIN = 0;
const MAX = 255;

const cases = fc.record({
  kernelSize: fc.integer({ min: 1, max: 5 }),
  stride: fc.integer({ min: 1, max: 3 }),
  padding: fc.nat(2),
  ceilMode: fc.boolean(),
  countIncludePad: fc.boolean(),
  channels: fc.integer({ min: 1, max: 4 }),
  steps: fc.integer({ min: 1, max: 9 }),
  zeroPoint: fc.integer({ min: MIN, max: MAX }),
  seed: fc.array(fc.integer({ min: MIN, max: MAX }), { minLength: 36, maxLength: 36 }),
}).filter(({ kernelSize, padding }) => 2 * padding <= kernelSize);

/** Values of a window of one channel that are in the sequence, and what their sum is divided by. */
function windowOf(
  c: typeof cases extends fc.Arbitrary<infer C> ? C : never,
  position: number,
  channel: number,
): { values: number[]; divisor: number } {
  const { kernelSize, stride, padding, steps, channels, countIncludePad, seed } = c;
  const values: number[] = [];
  let padded = 0;
  for (let tap = 0; tap < kernelSize; tap++) {
    const t = position * stride - padding + tap;
    if (t >= 0 && t < steps) values.push(seed[t * channels + channel]!);
    else if (t < steps + padding) padded++;
  }
  return { values, divisor: values.length + (countIncludePad ? padded : 0) };
}

export const POOLING: readonly KernelProperty[] = [
  property(
    "avgPool1dFloat32() and avgPool1dInt8() divide the sum of each window once",
    500,
    (met) =>
      fc.property(cases, (c) => {
        const { kernelSize, stride, padding, ceilMode, countIncludePad, channels, steps } = c;
        const window = { kernelSize, stride, dilation: 1, left: padding, right: padding, ceilMode };
        const count = windowSteps(window, steps);
        if (count < 1) return;
        const length = steps * channels;
        const pool = { window, countIncludePad };
        const real = new Float32Array(count * channels);
        avgPool1dFloat32(Float32Array.from(c.seed.slice(0, length)), channels, pool, real);
        const integers = new Uint8Array(count * channels);
        const qparams = {
          dtype: "quint8",
          scale: 1,
          zeroPoint: c.zeroPoint,
          quantMin: MIN,
          quantMax: MAX,
        };
        const data = Uint8Array.from(c.seed.slice(0, length));
        avgPool1dInt8("fbgemm", { data, qparams }, channels, pool, integers);
        for (let i = 0; i < real.length; i++) {
          const { values, divisor } = windowOf(c, Math.floor(i / channels), i % channels);
          const sum = values.reduce((a, b) => a + b, 0);
          assertEquals(real[i], Math.fround(sum / divisor));
          const centered = values.reduce((a, b) => a + b - c.zeroPoint, 0);
          const y = Math.fround(centered * Math.fround(1 / divisor));
          const low = Math.floor(y);
          const half = y - low === 0.5 ? low + Math.abs(low % 2) : Math.round(y);
          assertEquals(integers[i], Math.min(Math.max(half + c.zeroPoint, MIN), MAX));
          met("windows");
        }
      }),
    { windows: 1000 },
  ),
];
