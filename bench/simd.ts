/**
 * Portable kernels against SIMD, in one run: microseconds a step, the ratio, and the multiply-adds a second of a whole
 * step as a share of what the engine's dot products reach at best. `deno task bench:simd`, `bun bench/simd.ts`, or, since
 * Node 20 reads no TypeScript, `npx esbuild bench/simd.ts --bundle --platform=node --format=esm --outfile=simd.mjs` first.
 *
 * @module
 */
import { convert, getPreset, LSTM, prepare, type QuantizedModel, tensor } from "../mod.ts";
import { simdKernels } from "../simd.ts";
import type { SimdKernels } from "../src/simd/backend.ts";
import { PLAIN } from "../src/simd/embedded.ts";
import { quantizePerTensor } from "../kernels/mod.ts";
import { peakTask } from "./peak.ts";

const SIZES = [32, 64, 128, 256], STEPS = 100, ROUNDS = 60;

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

/** One way to run the steps, and the way its time is compared with. */
interface Task {
  readonly name: string;
  readonly base: string;
  readonly run: () => void;
}

/** A model's steps: one a call, and as one sequence. */
function tasksOf(engine: string, name: string, model: QuantizedModel, size: number, kernels?: SimdKernels): Task[] {
  const session = model.createSession({ kernels, maxSteps: STEPS });
  const x = inputOf(size), q = new Uint8Array(x.length), out = new Float32Array(STEPS * size);
  quantizePerTensor(x, q, model.input!);
  const rows = Array.from({ length: STEPS }, (_, t) => q.slice(t * size, (t + 1) * size)), y = new Uint8Array(size);
  const reals = model.createSession({ kernels });
  const floats = Array.from({ length: STEPS }, (_, t) => x.slice(t * size, (t + 1) * size)), z = new Float32Array(size);
  const task = (mode: string, run: () => void) => ({
    name: `${engine}, ${name}, ${mode}`,
    base: `${engine}, portable, ${mode}`,
    run,
  });
  return [
    task("stream of integers", () => {
      for (const row of rows) session.step(row, y);
    }),
    task("stream of reals", () => {
      for (const row of floats) reals.step(row, z);
    }),
    task("sequence of reals", () => reals.run(x, out)),
  ];
}

/** Least time of each task, in microseconds, taken in turns so that noise meets all alike. */
function measure(tasks: readonly (() => void)[], rounds: number): number[] {
  const least = tasks.map(() => Infinity);
  for (let round = 0; round < rounds; round++) {
    tasks.forEach((task, i) => {
      const start = performance.now();
      task();
      least[i] = Math.min(least[i]!, (performance.now() - start) * 1000);
    });
  }
  return least;
}

const best = await simdKernels();
const plain = await simdKernels({
  module: await WebAssembly.compile(Uint8Array.from(atob(PLAIN), (c) => c.charCodeAt(0))),
});
const peaks = [peakTask(true), peakTask(false)].filter((peak) => peak !== null);
console.log(`relaxed SIMD: ${best.relaxed ? "yes" : "no"}`);
for (const size of SIZES) {
  // fbgemm's activations seldom need their eighth bit, qnnpack's do.
  const fbgemm = modelOf(size, "fbgemm"), qnnpack = modelOf(size, "qnnpack"), macs = 8 * size * size;
  const tasks = [
    ...tasksOf("fbgemm", "portable", fbgemm, size),
    ...tasksOf("fbgemm", "simd", fbgemm, size, best),
    ...tasksOf("fbgemm", "plain simd", fbgemm, size, plain),
    ...tasksOf("qnnpack", "portable", qnnpack, size),
    ...tasksOf("qnnpack", "simd", qnnpack, size, best),
  ];
  const least = measure([...tasks.map(({ run }) => run), ...peaks.map(({ run }) => run)], ROUNDS);
  const peak = Math.max(...peaks.map(({ macs }, i) => macs / least[tasks.length + i]!));
  console.log(`\nsize ${size}; SIMD peak ${(peak / 1000).toFixed(1)} thousand million multiply-adds a second`);
  tasks.forEach(({ name, base }, i) => {
    const micros = least[i]! / STEPS, ratio = least[tasks.findIndex((task) => task.name === base)]! / least[i]!;
    const share = (100 * macs / micros / peak).toFixed(0);
    console.log(
      `${name.padEnd(38)} ${micros.toFixed(2).padStart(8)} us/step ${ratio.toFixed(1).padStart(5)}x ${
        share.padStart(4)
      }% of peak`,
    );
  });
}
