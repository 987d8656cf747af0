/**
 * Random numbers from a seed: test cases stay small values that can be shrunk.
 *
 * @module
 */

/** Creates a generator of uniform numbers from a seed. */
export function generator(seed: number): (lo: number, hi: number) => number {
  let state = seed >>> 0;
  return (lo, hi) => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return lo + ((t ^ (t >>> 14)) >>> 0) / 4294967296 * (hi - lo);
  };
}

/** A tensor of random floats. */
export function floatsOf(
  seed: number,
  shape: readonly number[],
  range: number,
): { data: Float32Array; shape: readonly number[] } {
  const random = generator(seed);
  const length = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length }, () => random(-range, range)), shape };
}
