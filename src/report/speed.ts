/**
 * Speed of a model here: float, int8 with portable kernels, and int8 with WebAssembly SIMD.
 *
 * @module
 */
import type { QuantizedModel } from "../authoring/model.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import { type FloatModel, runFloat } from "../modules/graph.ts";
import { kindOf } from "../modules/kinds.ts";
import type { Backend } from "../runtime/kind.ts";
import { simdKernels, SimdUnavailableError } from "../simd/load.ts";
import type { ReportSpeed, SpeedRow } from "./data.ts";
import type { Sequence } from "./sequences.ts";

/** Min duration of a sample in milliseconds, because clocks in pages are coarse. */
const SAMPLE_MS = 10;

/** Number of samples of each way; the median counts. */
const SAMPLES = 7;

/** Max number of steps of the sequence, if it can be cut. */
const MAX_STEPS = 100;

/** A way of running the model. */
interface Way {
  readonly name: SpeedRow["way"];
  run(): void;
}

/** A sequence as a tensor. */
export function tensorOf(x: Sequence["x"], inputSize: number | null): Tensor | TokenTensor {
  return inputSize === null
    ? { data: x as Int32Array, shape: [x.length] }
    : { data: x as Float32Array, shape: [x.length / inputSize, inputSize] };
}

/** Output arrays of a session. */
export function outputsFor(
  { outputs }: QuantizedModel,
  session: ReturnType<QuantizedModel["createSession"]>,
  steps: number,
): ReadonlyMap<string, Float32Array> {
  return new Map(
    outputs.map(({ name, size, time }) =>
      [name, new Float32Array(time ? session.outputSteps(steps, name) * size : size)] as const
    ),
  );
}

/** Runs a sequence from the initial state. */
export function runSession(
  session: ReturnType<QuantizedModel["createSession"]>,
  x: Sequence["x"],
  outputs: ReadonlyMap<string, Float32Array>,
): void {
  session.reset();
  const [only] = outputs.values();
  session.run(x, outputs.size === 1 ? only! : Object.fromEntries(outputs));
}

function sessionWay(
  name: SpeedRow["way"],
  model: QuantizedModel,
  { x, steps }: Pick<Sequence, "x" | "steps">,
  kernels: Backend | undefined,
): Way {
  const session = model.createSession({ maxSteps: steps, kernels });
  const outputs = outputsFor(model, session, steps);
  return { name, run: () => runSession(session, x, outputs) };
}

/** Milliseconds for the given number of runs. */
function timeOf({ run }: Way, runs: number): number {
  const start = performance.now();
  for (let i = 0; i < runs; i++) run();
  return performance.now() - start;
}

/** SIMD kernels, if the engine supports them. */
export async function kernelsHere(): Promise<Backend | undefined> {
  try {
    return await simdKernels();
  } catch (error) {
    if (error instanceof SimdUnavailableError) return undefined;
    throw error;
  }
}

/**
 * Measures all ways in turn, so that other load on the machine affects all of them.
 *
 * @param kernels SIMD kernels; undefined for none.
 * @param pause Called between samples.
 */
export async function measureSpeed(
  float: FloatModel,
  model: QuantizedModel,
  sequence: Sequence,
  kernels: Backend | undefined,
  pause: (done: number, total: number) => Promise<void> | undefined,
): Promise<ReportSpeed> {
  const inputSize = model.vocabulary > 0 ? null : model.inputSize;
  const windows = [...float.modules].some(([name, module]) =>
    kindOf(name, module).window?.(module) !== undefined
  );
  const steps = windows ? sequence.steps : Math.min(sequence.steps, MAX_STEPS);
  const x = sequence.x.slice(0, steps * (inputSize ?? 1));
  const ways: Way[] = [
    { name: "float", run: () => void runFloat(float, tensorOf(x, inputSize), {}) },
    sessionWay("int8", model, { x, steps }, undefined),
  ];
  if (kernels !== undefined) ways.push(sessionWay("simd", model, { x, steps }, kernels));
  const total = ways.length * (SAMPLES + 1);
  let done = 0;
  const runs: number[] = [];
  for (const way of ways) {
    let count = 1;
    while (timeOf(way, count) < SAMPLE_MS) count *= 2;
    runs.push(count);
    await pause(++done, total);
  }
  const samples = ways.map((): number[] => []);
  for (let sample = 0; sample < SAMPLES; sample++) {
    for (const [i, way] of ways.entries()) {
      samples[i]!.push(timeOf(way, runs[i]!) / runs[i]!);
      await pause(++done, total);
    }
  }
  const { navigator } = globalThis as { navigator?: { userAgent?: string } };
  return {
    steps,
    engine: navigator?.userAgent ?? "",
    rows: ways.map(({ name }, i) => {
      const sorted = samples[i]!.sort((a, b) => a - b);
      return { way: name, microsecondsPerStep: 1000 * sorted[SAMPLES >> 1]! / steps };
    }),
  };
}
