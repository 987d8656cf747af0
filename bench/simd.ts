/**
 * Portable kernels against SIMD, in one run: microseconds a step, the ratio, and what share of the engine's peak the
 * SIMD dot products reach. Run it with Deno (`deno task bench:simd`), Bun (`bun bench/simd.ts`), or Node (bundle it
 * with esbuild first: Node 20 reads no TypeScript).
 *
 * @module
 */
import { convert, getPreset, LSTM, prepare, type QuantizedModel, tensor } from "../mod.ts";
import { simdKernels } from "../simd.ts";
import type { SimdKernels } from "../src/simd/backend.ts";
import { PLAIN } from "../src/simd/embedded.ts";

const SIZES = [32, 64, 128, 256], STEPS = 100, ROUNDS = 40;

/** An LSTM of one layer with random weights, quantized by a preset. */
function modelOf(size: number, engine: "fbgemm" | "qnnpack"): QuantizedModel {
  const lstm = new LSTM({ inputSize: size, hiddenSize: size });
  const observed = prepare(lstm, getPreset(engine), { splitGates: true });
  observed.forward(tensor(inputOf(size), [STEPS, 1, size]));
  return convert(observed);
}

function inputOf(size: number): Float32Array {
  return Float32Array.from({ length: STEPS * size }, (_, i) => Math.sin(i * 12.9898) * 1.5);
}

/** A model's steps, streamed one a call and as one sequence. */
function runs(name: string, model: QuantizedModel, size: number, kernels?: SimdKernels): [string, () => void][] {
  const session = model.createSession({ kernels, maxSteps: STEPS });
  const { quantMin, quantMax } = model.input!, x = inputOf(size), out = new Float32Array(STEPS * size);
  const q = Uint8Array.from(x, (v) => Math.min(quantMax, Math.max(quantMin, Math.round((v + 1.5) / 3 * quantMax))));
  const rows = Array.from({ length: STEPS }, (_, t) => q.slice(t * size, (t + 1) * size)), y = new Uint8Array(size);
  const floats = Array.from({ length: STEPS }, (_, t) => x.slice(t * size, (t + 1) * size)), z = new Float32Array(size);
  return [
    [`${name} stream, integers`, () => {
      for (const row of rows) session.step(row, y);
    }],
    [`${name} stream, reals`, () => {
      for (const row of floats) session.step(row, z);
    }],
    [`${name} sequence, reals`, () => session.run(x, out)],
  ];
}

/** Least time of each of `tasks`, in microseconds, taken in turns so that noise meets all alike. */
function measure(tasks: readonly (() => void)[], rounds: number): number[] {
  const least = tasks.map(() => Infinity);
  for (let round = 0; round < rounds; round++) {
    tasks.forEach((task, i) => {
      const start = performance.now();
      task();
      least[i] = Math.min(least[i], (performance.now() - start) * 1000);
    });
  }
  return least;
}

const relaxed = await simdKernels();
const bytes = Uint8Array.from(atob(PLAIN), (c) => c.charCodeAt(0));
const plain = await simdKernels({ module: await WebAssembly.compile(bytes) });
console.log(`relaxed SIMD: ${relaxed.relaxed ? "yes" : "no"}`);
for (const size of SIZES) {
  const seven = modelOf(size, "fbgemm"), eight = modelOf(size, "qnnpack");
  const list = [
    ...runs("7-bit portable", seven, size),
    ...runs("7-bit simd", seven, size, relaxed),
    ...runs("7-bit plain simd", seven, size, plain),
    ...runs("8-bit portable", eight, size),
    ...runs("8-bit simd", eight, size, relaxed),
  ];
  const least = measure(list.map(([, run]) => run), ROUNDS).map((micros) => micros / STEPS);
  console.log(`\n${size}`);
  list.forEach(([name], i) => {
    const base = least[(i < 9 ? 0 : 9) + i % 3];
    console.log(`  ${name.padEnd(34)} ${least[i].toFixed(2).padStart(8)} us/step  ${(base / least[i]).toFixed(1)}x`);
  });
}
