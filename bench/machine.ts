/**
 * The machine's scalar multiply-add peak in this engine: what the portable dot products are measured against.
 *
 * @module
 */

// deno-fmt-ignore
type Tuple = [
  number, number, number, number, number, number, number, number, number, number, number, number, number, number,
];

/** Multiply-adds of one {@linkcode multiplyAdds}. */
export const PEAK_OPERATIONS = 12 * 4096;

/**
 * Twelve chains of double multiply-adds that depend on nothing but themselves: enough to fill two units six cycles
 * deep, few enough to stay in registers.
 *
 * @param values [14]: twelve starts, a factor and a term; the twelve results stand there afterwards.
 */
export function multiplyAdds(values: Float64Array): void {
  const start = [...values] as Tuple, m = start[12], n = start[13];
  let [a, b, c, d, e, f, g, h, i, j, k, l] = start;
  for (let step = 0; step < 4096; step++) {
    a = a * m + n;
    b = b * m + n;
    c = c * m + n;
    d = d * m + n;
    e = e * m + n;
    f = f * m + n;
    g = g * m + n;
    h = h * m + n;
    i = i * m + n;
    j = j * m + n;
    k = k * m + n;
    l = l * m + n;
  }
  values.set([a, b, c, d, e, f, g, h, i, j, k, l]);
}

/** A task of the bench: the peak, on values of its own. */
export function peakTask(): () => void {
  const values = Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0.999, 0.001);
  return () => multiplyAdds(values);
}
