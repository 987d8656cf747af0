/**
 * How many multiply-adds a second an engine reaches at best, scalar and SIMD: nothing but the
 * instruction, in a loop over accumulators that stay in registers. What the portable and the SIMD
 * kernels are measured against.
 *
 * @module
 */

/** A function whose call makes `macs` multiply-adds. */
export interface PeakTask {
  readonly macs: number;
  readonly run: () => void;
}

/** Opcodes after 0xfd, as LEB128. */
const SIMD = {
  LOAD: [0x00, 4, 0],
  ADD: [0xae, 0x01],
  DOT: [0xba, 0x01],
  RELAXED_ADD: [0x93, 0x02],
};
const ACCUMULATORS = 8;

/**
 * A module with `run(n)`: n turns of the loop. Null where the engine does not know the instruction.
 */
function compile(relaxed: boolean): WebAssembly.Module | null {
  const op = (bytes: number[]) => [0xfd, ...bytes];
  const get = (local: number) => [0x20, local];
  const set = (local: number) => [0x21, local];
  const first = 1;
  const w = first + ACCUMULATORS;
  const x = w + 1;
  const body: number[] = [1, ACCUMULATORS + 2, 0x7b]; // one group of v128 locals
  for (const [local, address] of [[w, 0], [x, 16]]) {
    body.push(0x41, address!, ...op(SIMD.LOAD), ...set(local!));
  }
  body.push(0x03, 0x40); // loop
  for (let a = first; a < w; a++) {
    // Each product depends on its accumulator, so that none is another one's.
    if (relaxed) body.push(...get(w), ...get(x), ...get(a), ...op(SIMD.RELAXED_ADD), ...set(a));
    else body.push(...get(w), ...get(a), ...get(x), ...op(SIMD.DOT), ...op(SIMD.ADD), ...set(a));
  }
  body.push(...get(0), 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b); // br_if (n = n - 1)
  for (let a = first; a < w; a++) body.push(...get(a));
  for (let a = first + 1; a < w; a++) body.push(...op(SIMD.ADD));
  body.push(0xfd, 0x1b, 0, 0x0b); // i32x4.extract_lane 0
  const section = (id: number, content: number[]) => [id, ...leb(content.length), ...content];
  const bytes = Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, 0x7f, 1, 0x7f]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [1, 3, 0x72, 0x75, 0x6e, 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
  return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : null;
}

function leb(n: number): number[] {
  return n < 128 ? [n] : [n & 127 | 128, ...leb(n >> 7)];
}

/**
 * The peak of SIMD dot products, in eight accumulators; null where the engine has no such
 * instruction.
 */
export function peakTask(relaxed: boolean): PeakTask | null {
  const module = compile(relaxed);
  if (module === null) return null;
  const run = new WebAssembly.Instance(module).exports.run as (n: number) => number;
  const turns = 20000;
  return { macs: turns * ACCUMULATORS * (relaxed ? 16 : 8), run: () => void run(turns) };
}

// deno-fmt-ignore
type Tuple = [
  number, number, number, number, number, number, number, number, number, number, number, number, number, number,
];

/**
 * Twelve chains of double multiply-adds that depend on nothing but themselves: enough to fill two
 * units six cycles deep, few enough to stay in registers.
 *
 * @param values [14]: twelve starts, a factor and a term; the twelve results stand there
 * afterwards.
 */
function multiplyAdds(values: Float64Array): void {
  const start = [...values] as Tuple;
  const m = start[12];
  const n = start[13];
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

/** The scalar peak: a function whose call makes `macs` multiply-adds of doubles. */
export function scalarPeakTask(): PeakTask {
  const values = Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0.999, 0.001);
  return { macs: 12 * 4096, run: () => multiplyAdds(values) };
}
