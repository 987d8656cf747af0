/** Runs of cases in every way, which must give the same bytes. */
import { assertEquals } from "@std/assert";
import { compileModel } from "@splitgate/splitgate";
import { loadProgram } from "@splitgate/splitgate/runtime/state";
import { newQArray, type QArray } from "../../src/core/dtype.ts";
import { RUNNING_KINDS } from "../../src/modules/kinds.ts";
import type { Backend } from "../../src/runtime/kind.ts";
import type { QuantizedModel } from "../../src/authoring/model.ts";
import type { OutputArray } from "../../src/runtime/basic_session.ts";
import type { CaseRun, ExecutorCase } from "../../src/testing/executor_cases.ts";
import { modelOf } from "../../src/testing/quantized_models.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";

/** A way to run a case. */
export interface Executor {
  readonly name: string;
  readonly kernels?: Backend;
  readonly splitGates?: boolean;
  /** Steps at a time, where a model is not bidirectional; the whole sequence by default. */
  readonly maxSteps?: number;
  /** Whether each row of the batch runs in a session of its own. */
  readonly rowByRow?: boolean;
  /** Whether the model's program runs, with an image for these kernels. */
  readonly compiled?: boolean;
}

type CaseInput = Float32Array | QArray;

/** Tokens, reals, or integers of the model's input dtype, [rows, inputSize]. */
function inputOf(model: QuantizedModel, run: CaseRun, rows: number, seed: number): CaseInput {
  const length = rows * model.inputSize;
  const random = generator(seed);
  const integers = (dtype: "quint8" | "qint8" | "qint32", min: number, max: number): QArray => {
    const out = newQArray(dtype, length);
    for (let i = 0; i < length; i++) out[i] = Math.floor(random(min, max + 1));
    return out;
  };
  if (model.vocabulary > 0) return integers("qint32", 0, model.vocabulary - 1);
  if (run.realsIn || model.input === null) return floatsOf(seed, [length], 3).data;
  return integers(model.input.dtype, model.input.quantMin, model.input.quantMax);
}

function outputOf(model: QuantizedModel, run: CaseRun, rows: number): OutputArray {
  const length = rows * model.outputSize;
  return run.realsOut || model.output === null
    ? new Float32Array(length)
    : newQArray(model.output.dtype, length);
}

/** What a session gives for each run, and its state in the end where it has one. */
function runTogether(
  model: QuantizedModel,
  { c, runs }: ExecutorCase,
  inputs: readonly CaseInput[],
  { kernels, splitGates, maxSteps, compiled }: Executor,
): OutputArray[] {
  const { batch } = c;
  const longest = runs.reduce((max, { steps }) => Math.max(max, steps), 1);
  const together = c.bidirectional ? longest : maxSteps ?? longest;
  const options = { batch, maxSteps: together, splitGates, kernels };
  const session = compiled
    ? loadProgram(compileModel(model, { kernels }), { kinds: RUNNING_KINDS }).createSession(options)
    : model.createSession(options);
  const outputs = runs.map((run, i) => {
    const out = outputOf(model, run, run.steps * batch);
    session.run(inputs[i]!, out, run.lengths ?? undefined);
    return out;
  });
  return c.bidirectional ? outputs : [...outputs, session.state()];
}

/** The same where each row of the batch runs alone, in a session of its own. */
function runRowByRow(
  model: QuantizedModel,
  { c, runs }: ExecutorCase,
  inputs: readonly CaseInput[],
  { kernels, splitGates }: Executor,
): OutputArray[] {
  const { batch } = c;
  const { inputSize, outputSize, output } = model;
  const maxSteps = runs.reduce((max, { steps }) => Math.max(max, steps), 1);
  const sessions = Array.from(
    { length: batch },
    () => model.createSession({ maxSteps, splitGates, kernels }),
  );
  return runs.map((run, i) => {
    const all = outputOf(model, run, run.steps * batch);
    // Beyond a row's length the output is real 0.
    if (!(all instanceof Float32Array)) all.fill(output!.zeroPoint);
    sessions.forEach((session, b) => {
      const steps = run.lengths?.[b] ?? run.steps;
      if (steps === 0) return;
      const indexOf = (t: number): number => c.batchFirst ? b * run.steps + t : t * batch + b;
      const row = inputs[i]!.slice(0, steps * inputSize);
      for (let t = 0; t < steps; t++) {
        const at = indexOf(t) * inputSize;
        row.set(inputs[i]!.subarray(at, at + inputSize), t * inputSize);
      }
      const out = outputOf(model, run, steps);
      session.run(row, out);
      for (let t = 0; t < steps; t++) {
        const at = t * outputSize;
        all.set(out.subarray(at, at + outputSize), indexOf(t) * outputSize);
      }
    });
    return all;
  });
}

const bytesOf = ({ buffer }: OutputArray): Uint8Array => new Uint8Array(buffer as ArrayBuffer);

/**
 * Requires the same bytes of all executors, in all cases.
 *
 * @param first What the others are held to.
 * @returns How many outputs were compared.
 */
export function requireSame(
  cases: readonly ExecutorCase[],
  first: Executor,
  others: readonly Executor[],
): number {
  let compared = 0;
  for (const one of cases) {
    const { c, name, embedding, linear, runs } = one;
    const model = modelOf(c, embedding, linear > 0, linear);
    const inputs = runs.map((run, i) => inputOf(model, run, run.steps * c.batch, c.seed + 31 * i));
    const expected = runTogether(model, one, inputs, first);
    for (const executor of others) {
      const run = executor.rowByRow ? runRowByRow : runTogether;
      run(model, one, inputs, executor).forEach((out, i) => {
        // As bytes: 0 is not -0. What differs is only looked for where something does.
        const a = bytesOf(out);
        const b = bytesOf(expected[i]!);
        if (a.length !== b.length || a.some((byte, k) => byte !== b[k])) {
          const what = i < runs.length ? JSON.stringify(runs[i]) : "the state";
          assertEquals(out, expected[i], `${executor.name}, ${first.name}: ${name}: ${what}`);
        }
        compared++;
      });
    }
  }
  return compared;
}
