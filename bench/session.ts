/**
 * Layers and whole models in sessions: streams and sequences, fused against split, portable against
 * SIMD, directions, batches, tokens. `deno task bench`.
 *
 * @module
 */
import type { SessionOptions } from "../mod.ts";
import { simdKernels } from "../simd.ts";
import { newQArray } from "../src/core/dtype.ts";
import { lstmModel, realsOf, STEPS, taggerModel } from "./models.ts";
import { type Row, runRows } from "./suite.ts";

/** Forms of a session; the SIMD kernels have one for fused and split gates. */
const forms: {
  readonly name: string;
  readonly kernels: "portable" | "simd";
  readonly options: SessionOptions;
}[] = [
  { name: "portable, fused", kernels: "portable", options: { splitGates: false } },
  { name: "portable, split", kernels: "portable", options: { splitGates: true } },
  { name: "simd", kernels: "simd", options: { kernels: await simdKernels() } },
];

const rows: Row[] = [];
for (const size of [32, 64, 128, 256]) {
  const model = lstmModel(size);
  const macs = 8 * size * size;
  const x = realsOf(STEPS, size);
  const y = new Float32Array(STEPS * size);
  const real = x.slice(0, size);
  const out = y.slice(0, size);
  const integer = newQArray("quint8", size);
  const q = Uint8Array.from(real, (value) => value * 40 + 127);
  for (const { name, kernels, options } of forms) {
    const stream = model.createSession(options);
    const whole = model.createSession({ ...options, maxSteps: STEPS });
    const batch = model.createSession({ ...options, batch: 4, maxSteps: STEPS / 4 });
    const step = { group: `layer of ${size}: one step`, kernels, macs };
    const run = { group: `layer of ${size}: ${STEPS} steps`, kernels, macs: STEPS * macs };
    rows.push(
      { ...step, name: `${name}, integers`, run: () => stream.step(q, integer) },
      { ...step, name: `${name}, reals`, run: () => stream.step(real, out) },
      { ...run, name, run: () => whole.run(x, y) },
      { ...run, name: `${name}, 4 rows of ${STEPS / 4}`, run: () => batch.run(x, y) },
    );
  }
}

const SIZE = 64;
const x = realsOf(STEPS, SIZE);
const token = Int32Array.of(7);
const tags = new Float32Array(4);
for (
  const [layers, bidirectional] of [[1, false], [2, false], [4, false], [1, true], [
    2,
    true,
  ]] as const
) {
  const model = lstmModel(SIZE, { layers, bidirectional });
  const directions = bidirectional ? 2 : 1;
  // Layers after the first read what all directions gave.
  const macs = STEPS * directions * 4 * SIZE * (2 * SIZE + (layers - 1) * (directions + 1) * SIZE);
  const y = new Float32Array(STEPS * SIZE * directions);
  const group = `layers of ${SIZE}: ${STEPS} steps`;
  for (const { name, kernels, options } of forms) {
    const session = model.createSession({ ...options, maxSteps: STEPS });
    const form = `${layers}${bidirectional ? ", bidirectional" : ""}, ${name}`;
    rows.push({ group, name: form, kernels, macs, run: () => session.run(x, y) });
  }
}
const model = taggerModel(SIZE);
const linear = 4 * SIZE;
const recurrent = 4 * SIZE * SIZE;
for (const foldEmbedding of [false, true]) {
  for (const { name, kernels, options } of forms) {
    const session = model.createSession({ ...options, foldEmbedding });
    rows.push({
      group: `model: Embedding, LSTM and Linear of ${SIZE}, 16-bit gates, one token`,
      name: `${name}${foldEmbedding ? ", folded" : ""}`,
      kernels,
      // Unfolded, what the embedding gives is projected in float32.
      macs: linear + (foldEmbedding ? 1 : 2) * recurrent,
      run: () => session.step(token, tags),
    });
  }
}
await runRows(rows);
