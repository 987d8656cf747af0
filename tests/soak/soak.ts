/**
 * Soak: millions of steps through one session, and many sessions interleaved that are saved and
 * restored at random points. Outputs equal a replay, and memory stays flat.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import {
  convert,
  getPreset,
  Linear,
  LSTM,
  prepare,
  type QuantizedModel,
  Sequential,
} from "@splitgate/splitgate";
import type { Backend } from "@splitgate/splitgate/backend";
import { floatsOf, generator } from "../../src/testing/random.ts";

const INPUTS = 3;
const HIDDEN = 9;
const OUTPUTS = 2;

/** A streaming model, all of which SIMD runs. */
export function soakModel(): QuantizedModel {
  const observed = prepare(
    new Sequential({
      lstm: new LSTM({ inputSize: INPUTS, hiddenSize: HIDDEN, seed: 1 }),
      out: new Linear({ inFeatures: HIDDEN, outFeatures: OUTPUTS, seed: 2 }),
    }),
    getPreset("fbgemm"),
  );
  observed.forward(floatsOf(1, [40, 2, INPUTS], 2));
  return convert(observed);
}

/** Inputs that repeat: a prime number, so that they meet calls of other lengths at any place. */
const PERIOD = 997;

/** Input of a step of a sequence without end. */
export function stepFrame(step: number): Float32Array {
  return floatsOf(step % PERIOD, [INPUTS], 3).data;
}

/** Bytes by which the heap may have grown in the end. */
const FLAT = 4 * 2 ** 20;

/** Bytes in use, after a collection where `--expose-gc` allows one. */
function heapBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return Deno.memoryUsage().heapUsed;
}

/** A sum over outputs' bits that tells their order. */
function foldedBits(hash: number, bits: Int32Array): number {
  for (let i = 0; i < bits.length; i++) hash = Math.imul(hash ^ bits[i]!, 0x01000193);
  return hash;
}

/** {@linkcode foldedBits} of an array that has its buffer to itself. */
function folded(hash: number, output: Float32Array): number {
  return foldedBits(hash, new Int32Array(output.buffer));
}

/**
 * Steps through one session, one by one, and the same by calls of other lengths in another: the
 * same outputs and the same state, and a heap that has not grown.
 */
export function soakSteps(model: QuantizedModel, steps: number, kernels?: Backend): void {
  const inputs = floatsOf(3, [PERIOD, INPUTS], 3).data;
  const options = kernels === undefined ? {} : { kernels };
  const session = model.createSession(options);
  const output = new Float32Array(OUTPUTS);
  const frames = Array.from(
    { length: PERIOD },
    (_, i) => inputs.subarray(i * INPUTS, (i + 1) * INPUTS),
  );
  const bits = new Int32Array(output.buffer);
  let hash = 0;
  // Nothing here allocates at a step: without a collection, that would count as growth.
  const run = (from: number, to: number) => {
    let sum = hash;
    for (let t = from; t < to; t++) {
      session.step(frames[t % PERIOD]!, output);
      sum = foldedBits(sum, bits);
    }
    hash = sum;
  };
  // What is compiled and allocated once has been, before memory is looked at.
  const first = Math.min(steps, 20_000);
  run(0, first);
  const before = heapBytes();
  run(first, steps);
  const grown = heapBytes() - before;
  assert(grown < FLAT, `the heap has grown by ${grown} bytes`);
  const replay = model.createSession({ ...options, maxSteps: 13 });
  const whole = new Float32Array(PERIOD * OUTPUTS);
  let other = 0;
  for (let t = 0; t < steps; t += PERIOD) {
    const count = Math.min(PERIOD, steps - t);
    const given = whole.subarray(0, count * OUTPUTS);
    replay.run(inputs.subarray(0, count * INPUTS), given);
    for (let i = 0; i < count; i++) {
      other = folded(other, given.slice(i * OUTPUTS, (i + 1) * OUTPUTS));
    }
  }
  assertEquals(other, hash);
  assertEquals(replay.state(), session.state());
}

/**
 * Sessions in turns at random, each saved and restored into a new one at random points: each gives
 * what one that ran alone gives.
 */
export function soakSessions(
  model: QuantizedModel,
  sessions: number,
  turns: number,
  kernels?: Backend,
): void {
  const options = kernels === undefined ? {} : { kernels };
  const random = generator(7);
  const inputs = floatsOf(3, [PERIOD, INPUTS], 3).data;
  const running = Array.from({ length: sessions }, (_, start) => ({
    session: model.createSession(options),
    start,
    steps: 0,
    hash: 0,
  }));
  const output = new Float32Array(OUTPUTS);
  const frame = (start: number, step: number) => {
    const at = (start * 31 + step) % PERIOD * INPUTS;
    return inputs.subarray(at, at + INPUTS);
  };
  let moved = 0;
  for (let turn = 0; turn < turns; turn++) {
    const one = running[Math.floor(random(0, sessions))]!;
    for (let i = Math.floor(random(1, 9)); i > 0; i--) {
      one.session.step(frame(one.start, one.steps++), output);
      one.hash = folded(one.hash, output);
    }
    if (random(0, 1) > 0.1) continue;
    const next = model.createSession(options);
    next.restore(one.session.state());
    one.session = next;
    moved++;
  }
  assert(moved > turns / 20);
  const alone = model.createSession(options);
  for (const { session, start, steps, hash } of running) {
    alone.reset();
    let other = 0;
    for (let step = 0; step < steps; step++) {
      alone.step(frame(start, step), output);
      other = folded(other, output);
    }
    assertEquals(other, hash, `session ${start}`);
    if (steps > 0) assertEquals(alone.state(), session.state());
  }
}
