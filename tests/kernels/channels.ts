/** Tensors of several channels, for kernels that give each channel parameters of its own. */
import fc from "fast-check";
import { anyScale, integersOf, RANGES, uniformFloat32 } from "../../src/testing/numbers.ts";

/**
 * A tensor [outer, channels, inner], as multiples of its channels' scales, and parameters of
 * these: integer zero points, and float ones.
 */
export const channelled = fc.tuple(
  fc.constantFrom(...RANGES),
  fc.constantFrom(1, 2, 3),
  fc.constantFrom(1, 3, 7),
  fc.constantFrom(1, 2, 13),
).chain(([range, outer, channels, inner]) => {
  const each = { minLength: channels, maxLength: channels };
  const size = outer * channels * inner;
  return fc.record({
    range: fc.constant(range),
    channels: fc.constant(channels),
    inner: fc.constant(inner),
    scales: fc.array(anyScale, each).map((s) => Float32Array.from(s)),
    zeroPoints: integersOf(range, channels).map((z) => Int32Array.from(z)),
    floats: fc.array(uniformFloat32(-300, 300), each).map((z) => Float32Array.from(z)),
    ratios: fc.array(uniformFloat32(-300, 300), { minLength: size, maxLength: size }),
  });
});
