/**
 * Portable kernels against SIMD, in one run: microseconds a step of one row, how many times faster
 * than the portable kernels, and multiply-adds a second of the whole step as a share of what the
 * engine's dot products reach at best. Streams, sequences of 100 steps, and batches, whose steps
 * are also compared with those of one row alone. `deno task bench:simd`, `bun bench/simd.ts`, or,
 * since Node 20 reads no TypeScript,
 * `npx esbuild bench/simd.ts --bundle --platform=node --format=esm --outfile=simd.mjs` first.
 *
 * @module
 */
import { convert, getPreset, LSTM, prepare, type QuantizedModel, tensor } from "../mod.ts";
import { readArguments } from "../scripts/arguments.ts";
import { simdKernels } from "../simd.ts";
import type { SimdKernels } from "../src/simd/backend.ts";
import { PLAIN } from "../src/simd/embedded.ts";
import { peakTask } from "./peak.ts";

readArguments("deno task bench:simd", {});

const SIZES = [32, 64, 128, 256];
const BATCHES = [2, 4, 8];
const STEPS = 100;
const ROUNDS = 40;

/** An LSTM of one layer with random weights, quantized by a preset. */
function modelOf(size: number, engine: "fbgemm" | "qnnpack", splitGates: boolean): QuantizedModel {
  const lstm = new LSTM({ inputSize: size, hiddenSize: size });
  const observed = prepare(lstm, getPreset(engine), { splitGates });
  observed.forward(tensor(inputOf(size), [STEPS, 1, size]));
  return convert(observed);
}

function inputOf(size: number): Float32Array {
  return Float32Array.from({ length: STEPS * size }, (_, i) => Math.sin(i * 12.9898) * 1.5);
}

/**
 * One way to run STEPS steps, of `rows` rows, and the ways its time for one is compared with, if
 * any.
 */
interface Task {
  readonly name: string;
  readonly rows: number;
  readonly portable: string;
  readonly alone: string;
  readonly run: () => void;
}

/** A model's steps of reals: one a call, as one sequence, and one a call of several rows. */
function tasksOf(
  model: QuantizedModel,
  size: number,
  parts: string,
  name: string,
  kernels?: SimdKernels,
): Task[] {
  const x = inputOf(size);
  const out = new Float32Array(STEPS * size);
  const task = (mode: string, rows: number, run: () => void): Task => ({
    name: `${parts}, ${name}, ${mode}`,
    rows,
    portable: `${parts}, portable, ${rows > 1 ? "stream" : mode}`,
    alone: `${parts}, ${name}, stream`,
    run,
  });
  const stream = (batch: number): () => void => {
    const session = model.createSession({ kernels, batch });
    const y = new Float32Array(batch * size);
    const rows = Array.from({ length: STEPS }, (_, t) => {
      const row = new Float32Array(batch * size);
      for (let b = 0; b < batch; b++) {
        row.set(x.subarray((t + b) % STEPS * size, ((t + b) % STEPS + 1) * size), b * size);
      }
      return row;
    });
    return () => {
      for (const row of rows) session.step(row, y);
    };
  };
  const whole = model.createSession({ kernels, maxSteps: STEPS });
  return [
    task("stream", 1, stream(1)),
    task(`sequence of ${STEPS}`, 1, () => whole.run(x, out)),
    ...(kernels === undefined
      ? []
      : BATCHES.map((batch) => task(`stream of ${batch} rows`, batch, stream(batch)))),
  ];
}

/**
 * Shortest time of each task, in microseconds; tasks take turns, so that noise affects all of them.
 */
function measure(tasks: readonly (() => void)[], rounds: number): number[] {
  const shortest = tasks.map(() => Infinity);
  for (let round = 0; round < rounds; round++) {
    tasks.forEach((task, i) => {
      const start = performance.now();
      task();
      shortest[i] = Math.min(shortest[i]!, (performance.now() - start) * 1000);
    });
  }
  return shortest;
}

const best = await simdKernels();
const plain = await simdKernels({
  module: await WebAssembly.compile(Uint8Array.from(atob(PLAIN), (c) => c.charCodeAt(0))),
});
const peaks = [peakTask(true), peakTask(false)].filter((peak) => peak !== null);
console.log(`relaxed SIMD: ${best.relaxed ? "yes" : "no"}`);
const ways: [string, SimdKernels | undefined][] = [["portable", undefined]];
if (best.relaxed) ways.push(["relaxed SIMD", best]);
ways.push(["plain SIMD", plain]);
for (const size of SIZES) {
  const macs = 8 * size * size;
  // fbgemm's activations seldom need their eighth bit, qnnpack's do.
  const tasks = (["fbgemm", "qnnpack"] as const).flatMap((engine) =>
    [false, true].flatMap((split) => {
      const model = modelOf(size, engine, split);
      const parts = `${engine} ${split ? "split" : "fused"}`;
      return ways.flatMap(([name, kernels]) => tasksOf(model, size, parts, name, kernels));
    })
  );
  const shortest = measure(
    [...tasks.map(({ run }) => run), ...peaks.map(({ run }) => run)],
    ROUNDS,
  );
  const peak = Math.max(...peaks.map(({ macs }, i) => macs / shortest[tasks.length + i]!));
  const micros = new Map(tasks.map(({ name, rows }, i) => [name, shortest[i]! / STEPS / rows]));
  console.log(
    `\nsize ${size}; SIMD peak ${(peak / 1000).toFixed(1)} thousand million multiply-adds a second`,
  );
  for (const { name, rows, portable, alone } of tasks) {
    const time = micros.get(name)!;
    const share = (100 * macs / time / peak).toFixed(0);
    const faster = (micros.get(portable)! / time).toFixed(1);
    const line = `${name.padEnd(44)} ${time.toFixed(2).padStart(8)} us ${
      faster.padStart(5)
    }x portable ${share.padStart(4)}% of peak`;
    console.log(
      rows === 1 ? line : `${line}, ${(time / micros.get(alone)!).toFixed(2)} of a row alone`,
    );
  }
}
