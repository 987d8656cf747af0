/** What the tests of windows over time share: plain loops for oracles, and models in every form. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import type { Window } from "../../kernels/ops/window.ts";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import { newQArray, type QArray } from "../../src/core/dtype.ts";
import type { PerTensorQParams } from "../../src/core/qparams.ts";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { kindOf } from "../../src/modules/kinds.ts";
import type { OutputArray } from "../../src/runtime/basic_session.ts";
import { type Bits, qparamsOf } from "../../src/testing/quantized_lstms.ts";
import { generator } from "../../src/testing/random.ts";
import { bytesOf, inputFor, outputFor } from "../../src/testing/values.ts";
import { formsOf } from "../runtime/forms.ts";

/** What a random window is described by. */
export interface WindowCase {
  readonly kernelSize: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padding: "none" | "causal" | "same" | "some";
  readonly ceilMode: boolean;
}

/** Windows of all kinds. */
export const windowCases: fc.Arbitrary<WindowCase> = fc.record({
  // By 6, engines round what lies half-way in different ways.
  kernelSize: fc.constantFrom(1, 2, 3, 4, 5, 6, 6, 8),
  stride: fc.constantFrom(1, 1, 2, 3),
  dilation: fc.constantFrom(1, 1, 2, 3),
  padding: fc.constantFrom("none", "causal", "causal", "same", "some"),
  ceilMode: fc.boolean(),
});

/** A case's window; `random` draws padding that keeps to less than the window. */
export function windowOfCase(
  { padding, ...rest }: WindowCase,
  random: (lo: number, hi: number) => number,
): Window {
  const total = (rest.kernelSize - 1) * rest.dilation;
  const before = Math.floor(total / 2);
  const [left, right] = {
    none: [0, 0],
    causal: [total, 0],
    same: [before, total - before],
    some: [Math.floor(random(0, total + 1)), Math.floor(random(0, total + 1))],
  }[padding] as [number, number];
  return { ...rest, left, right };
}

/** Where the windows of a sequence begin: every position, one after the other. */
export function positionsOf(window: Window, steps: number): number[] {
  const { kernelSize, stride, dilation, left, right, ceilMode } = window;
  const extent = (kernelSize - 1) * dilation + 1;
  const starts: number[] = [];
  for (let start = -left;; start += stride) {
    const fits = start + extent <= steps + right;
    // One more may reach beyond the end, where it begins before it.
    const reaches = ceilMode && start < steps &&
      (starts.length === 0 || start - stride + extent < steps + right) &&
      start + extent < steps + right + stride;
    if (!fits && !reaches) return starts;
    starts.push(start);
  }
}

/** The fewest steps of which a window makes one. */
export function fewestSteps(window: Window): number {
  let steps = 1;
  while (positionsOf(window, steps).length === 0) steps++;
  return steps;
}

/** How a model of one window is run. */
export interface RunCase {
  readonly seed: number;
  readonly batch: number;
  /** Steps more than the fewest that the window takes. */
  readonly more: number;
  readonly maxSteps: number;
  /** Whether rows have lengths of their own. */
  readonly ragged: boolean;
  readonly batchFirst: boolean;
  readonly input: Bits;
  readonly output: Bits;
}

const bits = fc.constantFrom<Bits>(0, 7, 8, 8, 8, 16);

/** Ways of running. */
export const runCases: fc.Arbitrary<RunCase> = fc.record({
  seed: fc.nat(),
  batch: fc.constantFrom(1, 2, 3),
  more: fc.constantFrom(0, 1, 2, 5, 9),
  maxSteps: fc.constantFrom(1, 3, 16),
  ragged: fc.boolean(),
  batchFirst: fc.boolean(),
  input: bits,
  output: bits,
});

/** Parameters of a case's ports. */
export function portsOf({ seed, input, output }: RunCase) {
  const random = generator(seed + 1);
  return { input: qparamsOf(input, 3, random), output: qparamsOf(output, 4, random) };
}

/** One row's sequence, [steps, size], to its results, [positions, width]: numbers as they come. */
export type RowOracle = (x: readonly (readonly number[])[]) => (readonly number[])[];

/**
 * Requires that every session of a model of one module gives what the oracle gives for each row
 * alone, and a model that streams the same in any chunks, and across a saved state.
 */
export function assertWindow(
  c: RunCase,
  module: QuantizedModule,
  window: Window,
  oracle: RowOracle,
): void {
  const { seed, batch, maxSteps, ragged, batchFirst } = c;
  const model = new QuantizedModel(new Map([["op", module]]));
  const { inputs: [port], output: { size: width, qparams }, looksAhead } = kindOf("op", module)
    .ends(module);
  const { size } = port!;
  const fewest = fewestSteps(window);
  const steps = fewest + c.more;
  const random = generator(seed + 2);
  const x = inputFor(model, seed, steps * batch, { integers: true }) as QArray | Float32Array;
  const lengths = ragged
    ? Array.from({ length: batch }, () => {
      const length = fewest + Math.floor(random(-1, c.more + 1));
      return length < fewest ? 0 : length;
    })
    : undefined;
  const positions = positionsOf(window, steps).length;
  const at = (t: number, b: number, all: number) => batchFirst ? b * all + t : t * batch + b;
  const expected = outputFor(model, positions * batch, true).fill(qparams?.zeroPoint ?? 0);
  for (let b = 0; b < batch; b++) {
    const own = lengths?.[b] ?? steps;
    if (own === 0) continue;
    const rows = Array.from({ length: own }, (_, t) => {
      const from = at(t, b, steps) * size;
      return Array.from(x.subarray(from, from + size));
    });
    oracle(rows).forEach((row, t) => expected.set(row, at(t, b, positions) * width));
  }
  const bytes = saveModel(model);
  const loaded = loadModel(bytes);
  assertEquals(saveModel(loaded), bytes);
  assertEquals(loaded.fingerprint, model.fingerprint);
  assertEquals(loaded.looksAhead, looksAhead === true);
  for (const [name, form, options] of [...formsOf(model), ...formsOf(loaded)]) {
    const most = looksAhead ? steps : maxSteps;
    const session = form.createSession({ ...options, batch, maxSteps: most });
    assertEquals(session.outputSteps(steps), positions);
    for (let again = 0; again < 2; again++) {
      const y = outputFor(model, positions * batch, true);
      session.run(x, y, lengths);
      assertEquals(bytesOf(y), bytesOf(expected), name);
      session.reset();
    }
  }
  if (looksAhead || lengths !== undefined || (batchFirst && batch > 1)) return;
  assert(positions === steps);
  const sessions = [0, 1].map(() => model.createSession({ batch, maxSteps }));
  for (let t = 0, turn = 0; t < steps; turn++) {
    const count = Math.min(steps - t, 1 + Math.floor(random(0, 4)));
    const y = outputFor(model, count * batch, true);
    const part = x.slice(t * batch * size, (t + count) * batch * size) as Float32Array;
    // Each session continues where the other stopped.
    const session = sessions[turn % 2]!;
    if (turn > 0) session.restore(sessions[(turn + 1) % 2]!.state());
    if (count === 1) session.step(part, y);
    else session.run(part, y);
    const whole = expected.slice(t * batch * width, (t + count) * batch * width) as OutputArray;
    assertEquals(bytesOf(y), bytesOf(whole), `steps ${t} to ${t + count}`);
    t += count;
  }
}

/** Integers that real numbers are quantized to. */
export function quantizedTo(data: Float32Array, qparams: PerTensorQParams): QArray {
  const out = newQArray(qparams.dtype, data.length);
  quantizePerTensor(data, out, qparams);
  return out;
}
