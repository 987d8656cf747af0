/**
 * Counts the bytes that a million steps allocate, in the engine that runs this; see alloc.ts.
 * Prints JSON.
 *
 * @module
 */
import { simdKernels } from "../simd.ts";
import { branchedModel, gruModel, lstmModel, realsOf, taggerModel } from "./models.ts";

interface Engine {
  readonly Deno?: { readonly args: readonly string[]; memoryUsage(): { heapUsed: number } };
  readonly Bun?: { gc(force: boolean): void };
  readonly process?: { readonly argv: readonly string[]; memoryUsage(): { heapUsed: number } };
  readonly gc?: () => void;
}

const engine = globalThis as unknown as Engine;
const SIZE = 8;
/**
 * Steps that are measured, unless the last argument says how many: a million; fewer in Bun, whose
 * collections would otherwise hide most of what steps allocate.
 */
const STEPS = Number(
  (engine.Deno?.args ?? engine.process!.argv.slice(2))[0] ?? (engine.Bun ? 100_000 : 1_000_000),
);

// JavaScriptCore counts what is used only when it collects, but its heap's capacity grows as it
// allocates.
const bun: { heapStats(): { heapCapacity: number } } | null = engine.Bun === undefined
  ? null
  : await import(["bun", "jsc"].join(":"));

function heap(): number {
  return bun === null
    ? (engine.Deno ?? engine.process!).memoryUsage().heapUsed
    : bun.heapStats().heapCapacity;
}

function collect(): void {
  if (engine.Bun !== undefined) engine.Bun.gc(true);
  else engine.gc!();
}

/**
 * Rounds at most: on a busy machine the first ones may still run code that is not optimized, which
 * boxes numbers.
 */
const ROUNDS = 5;

/**
 * Bytes a step: the heap's growth over all steps without a collection; the smallest of all rounds,
 * up to the first of 0.
 */
function bytesPerStep(step: () => void, steps: number): number {
  for (let i = 0; i < Math.min(20000, Math.max(steps, 2000)); i++) step();
  let min = Infinity;
  for (let round = 0; round < ROUNDS && min >= 0.1; round++) {
    collect();
    const before = heap();
    for (let i = 0; i < steps; i++) step();
    min = Math.min(min, (heap() - before) / steps);
  }
  return min;
}

const model = lstmModel(SIZE);
const x = new Uint8Array(SIZE).fill(130);
const y = new Uint8Array(SIZE);
const reals = realsOf(1, SIZE);
const out = new Float32Array(SIZE);
const token = Int32Array.of(7);
const tags = new Float32Array(4);
const values = new Float64Array(64);
const rows: Record<string, number> = {};
rows["nothing (the engine's own)"] = bytesPerStep(() => {
  for (let k = 0; k < 20; k++) for (let i = 0; i < 64; i++) values[i] = values[i]! * 0.5 + k;
}, STEPS);
for (const splitGates of [false, true]) {
  const form = splitGates ? "split" : "fused";
  const session = model.createSession({ splitGates });
  rows[`step, ${form}, integers`] = bytesPerStep(() => session.step(x, y), STEPS);
  rows[`step, ${form}, reals`] = bytesPerStep(() => session.step(reals, out), STEPS);
  const sequence = new Uint8Array(100 * SIZE).fill(120);
  const outputs = new Uint8Array(100 * SIZE);
  rows[`run of 100, ${form}`] = bytesPerStep(() => session.run(sequence, outputs), STEPS / 100) /
    100;
}
const qnnpack = lstmModel(SIZE, { preset: "qnnpack" }).createSession();
rows["step, split, qnnpack"] = bytesPerStep(() => qnnpack.step(x, y), STEPS);
// Wide enough for what comes out of the kernels' memory to be copied by one call.
const WIDE = 128;
const kernels = await simdKernels();
const simd = lstmModel(WIDE).createSession({ kernels });
const wide = new Uint8Array(100 * WIDE).fill(130);
const wideOut = new Uint8Array(100 * WIDE);
const wideReals = realsOf(1, WIDE);
const wideFloats = new Float32Array(WIDE);
const wideStep = wide.subarray(0, WIDE);
const wideStepOut = wideOut.subarray(0, WIDE);
rows["step, simd, integers"] = bytesPerStep(() => simd.step(wideStep, wideStepOut), STEPS);
rows["step, simd, reals"] = bytesPerStep(() => simd.step(wideReals, wideFloats), STEPS);
// Each model has a WebAssembly instance of its own: an engine then no longer inlines the calls.
const other = lstmModel(SIZE).createSession({ kernels });
rows["step, simd, reals, another model"] = bytesPerStep(() => {
  other.step(reals, out);
  simd.step(wideReals, wideFloats);
}, STEPS);
rows["run of 100, simd"] = bytesPerStep(() => simd.run(wide, wideOut), STEPS / 100) / 100;
const gru = gruModel(SIZE);
for (const splitGates of [false, true]) {
  const session = gru.createSession({ splitGates });
  const form = splitGates ? "split" : "fused";
  rows[`step, GRU, ${form}`] = bytesPerStep(() => session.step(reals, out), STEPS);
}
const simdGRU = gru.createSession({ kernels, maxSteps: 100 });
const given = realsOf(100, SIZE);
const made = new Float32Array(100 * SIZE);
rows["step, GRU, simd"] = bytesPerStep(() => simdGRU.step(reals, out), STEPS);
rows["run of 100, GRU, simd"] = bytesPerStep(() => simdGRU.run(given, made), STEPS / 100) / 100;
const tagger = taggerModel(SIZE).createSession();
rows["step, Embedding, LSTM, Linear"] = bytesPerStep(() => tagger.step(token, tags), STEPS);
const branched = branchedModel(SIZE).createSession();
const both = { tags, score: new Float32Array(1) };
rows["step, two outputs, reals"] = bytesPerStep(() => branched.step(token, both), STEPS);
const integers = { tags: new Uint8Array(4), score: new Uint8Array(1) };
rows["step, two outputs, integers"] = bytesPerStep(() => branched.step(token, integers), STEPS);
const hundred = new Int32Array(100).fill(7);
const all = { tags: new Float32Array(400), score: new Float32Array(100) };
rows["run of 100, two outputs"] = bytesPerStep(() => branched.run(hundred, all), STEPS / 100) / 100;
// One object a step: the measurement sees it.
const kept: unknown[] = Array(1024).fill(null);
let turn = 0;
rows["a step that makes one object"] = bytesPerStep(() => {
  kept[turn & 1023] = { turn };
  turn++;
}, STEPS);
console.log(JSON.stringify(rows));
