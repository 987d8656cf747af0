/**
 * The trial of a model: a sequence, and the calls that run it.
 *
 * @module
 */
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import { isFloat32Array, isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { type ModelInput, readInputs } from "../authoring/inputs.ts";
import type { QuantizedModel } from "../authoring/model.ts";
import { newQArray } from "../core/dtype.ts";
import { failRange, failType } from "../core/errors.ts";
import { shapeSize } from "../core/tensor.ts";
import { BASIC_STEPS } from "./sizes.ts";
import { generator } from "./random.ts";
import type { SessionInput } from "../runtime/basic_session.ts";
import type { Session } from "../runtime/session.ts";

/**
 * The distribution of a sequence's values; `own` takes stretches of the caller's sequences.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { trials, type Values } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2, seed: 1 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const values: Values[] = ["extreme", "ties"];
 * const hard = trials(model).filter((trial) => values.includes(trial.values));
 * assert(fc.sample(hard, { numRuns: 5, seed: 1 }).every(({ input }) => input.length > 0));
 * ```
 */
export type Values =
  | "uniform"
  | "extreme"
  | "sparse"
  | "constant"
  | "ties"
  | "integers"
  | "own";

/**
 * A sequence for a model, and how to run it.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { batchedEqualsSingle, type Trial } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2, seed: 1 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const input = Float32Array.of(0.5, -1, 0.25, 0); // two steps of one row
 * const calls = { lengths: null, chunks: [1, 1], integersOut: false };
 * const trial: Trial = { steps: 2, batch: 1, values: "own", input, ...calls };
 * assertEquals(batchedEqualsSingle(model, trial).status, "held");
 * ```
 */
export interface Trial {
  /** Number of steps of the sequence. */
  readonly steps: number;
  /** Batch size. */
  readonly batch: number;
  /** The distribution of its values. */
  readonly values: Values;
  /**
   * Real numbers or integers [steps, batch, inputSize], or token ids [steps, batch]; steps first.
   */
  readonly input: SessionInput;
  /** Number of steps of each row, 0..steps; null if every row has all steps. */
  readonly lengths: readonly number[] | null;
  /** Number of steps of each call; together they run the sequence. */
  readonly chunks: readonly number[];
  /** Whether to read integers from outputs that are quantized; otherwise real numbers. */
  readonly integersOut: boolean;
}

/**
 * Options of {@linkcode trials}.
 *
 * @example
 * ```ts
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { fuzzModel, type TrialOptions } from "@splitgate/splitgate/testing";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const real: TrialOptions = {
 *   inputs: [Float32Array.of(0.2, 0.4)], // inputs of your own, beside random ones
 *   maxSteps: 6,
 *   maxBatch: 2,
 * };
 * await fuzzModel(model, { ...real, runs: 3 });
 * ```
 */
export interface TrialOptions {
  /** Sequences of your own, as for `quantize`; part of the trials take stretches of them. */
  readonly inputs?: readonly ModelInput[];
  /** Max number of steps; 40 by default. */
  readonly maxSteps?: number;
  /** Max batch size; 4 by default. */
  readonly maxBatch?: number;
}

/** Longest sequence that is tried. */
const LONGEST = 256;

/** A session that is probed for the numbers of steps it takes, and the results. */
interface Probe {
  readonly session: Session;
  readonly answers: Map<number, boolean>;
}

const probes = new WeakMap<QuantizedModel, Probe>();

/** Whether a session runs a sequence of `steps` zero steps. */
function runs({ inputSize, vocabulary, outputs }: QuantizedModel, session: Session, steps: number) {
  const input = vocabulary > 0 ? new Int32Array(steps) : new Float32Array(steps * inputSize);
  try {
    const arrays = outputs.map(({ name, size }): [string, Float32Array] => [
      name,
      new Float32Array(session.outputSteps(steps, name) * size),
    ]);
    session.run(input, arrays.length > 1 ? Object.fromEntries(arrays) : arrays[0]![1]);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Whether a model takes sequences of this length: windows and Flatten are restricted. */
function takesSteps(model: QuantizedModel, steps: number): boolean {
  let probe = probes.get(model);
  if (probe === undefined) {
    const session = model.createSession(model.looksAhead ? { maxSteps: LONGEST } : {});
    probes.set(model, probe = { session, answers: new Map() });
  }
  let answer = probe.answers.get(steps);
  if (answer === undefined) {
    probe.answers.set(steps, answer = runs(model, probe.session, steps));
  }
  return answer;
}

/** Whether a model takes rows of this length; 0 counts as 1. */
function takesLength(model: QuantizedModel, length: number): boolean {
  return takesSteps(model, Math.max(length, 1));
}

/** Whether a model takes the lengths of a trial's sequence and rows. */
function takes(model: QuantizedModel, { steps, lengths }: Trial): boolean {
  return [steps, ...lengths ?? []].every((n) => takesLength(model, n));
}

/** The values of one row of a caller's sequence, step by step. */
interface OwnRows {
  readonly data: ArrayLike<number>;
  readonly steps: number;
}

/** Splits the caller's inputs into rows. */
function ownRows(model: QuantizedModel, inputs: readonly ModelInput[]): OwnRows[] {
  const width = model.inputSize;
  const read = readInputs("inputs", inputs, model.vocabulary > 0 ? null : width);
  return [...read].flatMap(({ x: { data, shape }, lengths }): OwnRows[] => {
    const tokens = model.vocabulary > 0;
    const outer = tokens ? shape : shape.slice(0, -1);
    if (tokens !== isInt32Array(data)) {
      failType("inputs", tokens ? "token ids" : "float32 values", data);
    }
    if (outer.length > 2 || shapeSize(outer) * width !== data.length) {
      failRange("inputs", `sequences of ${width} values a step`, shape);
    }
    const [a = 1, b = 1] = outer;
    const first = model.batchFirst && outer.length > 1;
    const [steps, batch] = first ? [b, a] : [a, b];
    return Array.from({ length: batch }, (_, row) => {
      const own = lengths?.[row] ?? steps;
      const values = new Float64Array(own * width);
      for (let t = 0; t < own; t++) {
        const from = (first ? row * steps + t : t * batch + row) * width;
        for (let k = 0; k < width; k++) values[t * width + k] = data[from + k]!;
      }
      return { data: values, steps: own };
    });
  });
}

/** A number in 0..1 that depends only on the seed and the index in the sequence. */
function numberAt(seed: number, index: number): number {
  return generator(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b))(0, 1);
}

/** A value of the given distribution. */
function valueOf(
  { input }: QuantizedModel,
  values: Values,
  seed: number,
  index: number,
): number {
  const u = numberAt(seed, index);
  const { scale, zeroPoint, quantMin, quantMax } = input ??
    { scale: 6 / 255, zeroPoint: 128, quantMin: 0, quantMax: 255 };
  const low = (quantMin - zeroPoint) * scale;
  const high = (quantMax - zeroPoint) * scale;
  if (values === "extreme") {
    return [low, high, 2 * low - scale, 2 * high + scale, 0, -0][Math.floor(u * 6)]!;
  }
  if (values === "constant") return low + (high - low) * numberAt(seed, -1);
  if (values === "sparse" && numberAt(~seed, index) < 0.8) return 0;
  if (values === "ties") {
    return (Math.floor(quantMin + u * (quantMax - quantMin)) - zeroPoint + 0.5) * scale;
  }
  // Slightly beyond the ends of the range, too.
  return 1.1 * (low + (high - low) * u);
}

/** The input of a trial. */
function inputOf(
  model: QuantizedModel,
  { steps, batch, values, seed }: {
    readonly steps: number;
    readonly batch: number;
    readonly values: Values;
    readonly seed: number;
  },
  own: readonly OwnRows[],
): SessionInput {
  const { vocabulary, inputSize: width, input } = model;
  const length = steps * batch * width;
  const at = (index: number): number => {
    if (values === "own") {
      const row = Math.floor(index / width) % batch;
      const step = Math.floor(index / width / batch);
      const from = own[Math.floor(numberAt(seed, -2 - row) * own.length)]!;
      const start = Math.floor(numberAt(~seed, -2 - row) * from.steps);
      return from.data[(start + step) % from.steps * width + index % width]!;
    }
    if (vocabulary > 0) {
      const token = values === "extreme"
        ? numberAt(seed, index) < 0.5 ? 0 : vocabulary - 1
        : numberAt(seed, values === "constant" ? -1 : index) * vocabulary;
      return values === "sparse" && numberAt(~seed, index) < 0.8 ? 0 : Math.floor(token);
    }
    return valueOf(model, values, seed, index);
  };
  if (vocabulary > 0) return Int32Array.from({ length }, (_, i) => at(i));
  if (values !== "integers" || input === null) {
    return Float32Array.from({ length }, (_, i) => at(i));
  }
  const { dtype, quantMin, quantMax } = input;
  const out = newQArray(dtype, length);
  for (let i = 0; i < length; i++) {
    out[i] = Math.floor(quantMin + numberAt(seed, i) * (quantMax - quantMin + 1));
  }
  return out;
}

/**
 * Trials of a model: sizes around those at which sessions and kernels switch algorithms, and values
 * that fill the input's range, lie at its ends or beyond, lie half-way between integers, are mostly
 * 0, or are constant.
 *
 * @throws {TypeError | RangeError} If the model does not take an entry of `inputs`.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fusedEqualsSplit, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * fc.assert(fc.property(trials(model), (trial) => {
 *   assertEquals(fusedEqualsSplit(model, trial).status, "held");
 * }));
 * ```
 */
export function trials(
  model: QuantizedModel,
  options: TrialOptions = {},
): Arbitrary<Trial> {
  const { inputs = [], maxSteps = 40, maxBatch = 4 } = options;
  const own = inputs.length === 0 ? [] : ownRows(model, inputs);
  const kinds: Values[] = ["uniform", "uniform", "extreme", "sparse", "constant"];
  if (model.vocabulary === 0) kinds.push("ties");
  if (model.input !== null) kinds.push("integers", "integers");
  if (own.length > 0) kinds.push("own", "own", "own", "own");
  const all = Array.from({ length: maxSteps }, (_, i) => i + 1);
  const taken = all.filter((size) => takesSteps(model, size));
  const basic = taken.filter((size) => BASIC_STEPS.includes(size));
  const steps = basic.length > 0 ? basic : taken;
  if (steps.length === 0) failRange("maxSteps", "steps that the model takes", maxSteps);
  return fc.record({
    // Small numbers come first, since fast-check shrinks towards them.
    steps: fc.oneof(
      fc.constantFrom(...steps.slice(0, 6)),
      fc.constantFrom(...steps.slice(0, 6)),
      fc.constantFrom(...steps),
    ),
    batch: fc.integer({ min: 1, max: maxBatch }),
    values: fc.constantFrom(...kinds),
    seed: fc.nat(),
    ragged: fc.boolean(),
    lengths: fc.array(fc.nat(999), { minLength: maxBatch, maxLength: maxBatch }),
    cuts: fc.array(fc.integer({ min: 1, max: 17 }), { maxLength: 8 }),
    integersOut: fc.boolean(),
  }).map(({ steps, batch, values, seed, ragged, lengths, cuts, integersOut }) => ({
    steps,
    batch,
    values,
    input: inputOf(model, { steps, batch, values, seed }, own),
    lengths: ragged
      ? lengths.slice(0, batch).map((n) => {
        const length = n % (steps + 1);
        return takesLength(model, length) ? length : steps;
      })
      : null,
    chunks: chunksOf(steps, cuts),
    integersOut,
  }));
}

/** Splits steps into calls; the remaining steps are one call. */
function chunksOf(steps: number, cuts: readonly number[]): number[] {
  const chunks: number[] = [];
  let left = steps;
  for (const cut of cuts) {
    if (left === 0) break;
    chunks.push(Math.min(cut, left));
    left -= chunks.at(-1)!;
  }
  if (left > 0) chunks.push(left);
  return chunks;
}

/** A copy of a trial with fewer steps, other rows or other values. */
export function changedTrial(
  trial: Trial,
  { steps = trial.steps, rows, input = trial.input }: {
    readonly steps?: number;
    readonly rows?: readonly number[];
    readonly input?: SessionInput;
  },
): Trial {
  const { batch } = trial;
  const selected = rows ?? Array.from({ length: batch }, (_, b) => b);
  const width = input.length / (trial.steps * batch);
  const values = input.slice(0, steps * selected.length * width) as SessionInput;
  for (let t = 0; t < steps; t++) {
    selected.forEach((row, b) => {
      const from = (t * batch + row) * width;
      values.set(input.subarray(from, from + width), (t * selected.length + b) * width);
    });
  }
  const chunks: number[] = [];
  let left = steps;
  for (const chunk of trial.chunks) {
    if (left > 0) chunks.push(Math.min(chunk, left));
    left -= chunk;
  }
  return {
    ...trial,
    steps,
    batch: selected.length,
    input: values,
    lengths: trial.lengths === null
      ? null
      : selected.map((row) => Math.min(steps, trial.lengths![row]!)),
    chunks,
  };
}

/** Max number of smaller trials to try. */
const SHRINKS = 400;

/**
 * Finds a smaller trial that still fails: fewer steps and rows, a single call, no lengths, and
 * zeros where the values do not matter.
 *
 * @param fails Whether a trial fails.
 */
export function shrinkTrial(
  model: QuantizedModel,
  trial: Trial,
  fails: (trial: Trial) => boolean,
): Trial {
  let best = trial;
  let left = SHRINKS;
  const attempt = (next: Trial): boolean => {
    if (left-- <= 0 || !takes(model, next) || !fails(next)) return false;
    best = next;
    return true;
  };
  for (let shrunk = true; shrunk && left > 0;) {
    shrunk = false;
    for (const steps of [1, best.steps >> 1, best.steps - 1]) {
      if (steps >= 1 && steps < best.steps && attempt(changedTrial(best, { steps }))) shrunk = true;
    }
    for (let row = 0; row < best.batch && best.batch > 1; row++) {
      const rows = Array.from({ length: best.batch }, (_, b) => b).filter((b) => b !== row);
      if (attempt(changedTrial(best, { rows }))) shrunk = true;
    }
  }
  if (best.lengths !== null) attempt({ ...best, lengths: null });
  if (best.chunks.length > 1) attempt({ ...best, chunks: [best.steps] });
  const zero = isFloat32Array(best.input) ? 0 : model.input?.zeroPoint ?? 0;
  for (let span = best.input.length; span >= 1 && left > 0; span = span >> 1) {
    for (let from = 0; from < best.input.length && left > 0; from += span) {
      if (best.input.subarray(from, from + span).every((value) => value === zero)) continue;
      const input = best.input.slice() as SessionInput;
      input.fill(zero, from, from + span);
      if (input.some((value, i) => value !== best.input[i])) attempt({ ...best, input });
    }
  }
  return best;
}
