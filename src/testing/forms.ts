/**
 * Ways to run a model, their results for a trial, and the first difference between two of them.
 *
 * @module
 */
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import type { QuantizedModel as Model } from "../authoring/model.ts";
import { QuantizedModel } from "../authoring/model.ts";
import type { StatePart } from "../cells/cell.ts";
import type { Bytes } from "../core/bytes.ts";
import { newQArray } from "../core/dtype.ts";
import { INPUT } from "../core/topology.ts";
import type { OutputArray, SessionInput, SessionOptions } from "../runtime/basic_session.ts";
import type { Session } from "../runtime/session.ts";
import type { Trial } from "./trial.ts";
import { swapped } from "./values.ts";
import { broken, type Difference, held, type Verdict } from "./verdict.ts";

/** A way to run a model. */
export interface Form {
  /** The name in reports. */
  readonly name: string;
  /** Creates a session of the model that runs in this way. */
  session(model: Model, options: SessionOptions): Session;
  /** Number of steps of each call; by default one call runs the whole sequence. */
  readonly calls?: (trial: Trial) => readonly number[];
  /** Whether each row of the batch runs alone. */
  readonly rowByRow?: boolean;
}

/** The results of a form for a trial. */
export interface Recording {
  /** By output: [steps, batch, size], or [batch, size] for an output without a time axis. */
  readonly outputs: readonly OutputArray[];
  /** The final state; null if the model has none, or if rows ran alone. */
  readonly state: Bytes | null;
  /** The message of the error that was thrown; null if none was. */
  readonly error: string | null;
}

/** Output arrays of a session for the given number of steps. */
export function arraysFor(
  { outputs }: Model,
  session: Session,
  { batch, integersOut }: Pick<Trial, "batch" | "integersOut">,
  steps: number,
): OutputArray[] {
  return outputs.map(({ name, size, qparams }) => {
    const length = session.outputSteps(steps, name) * batch * size;
    return integersOut && qparams !== null
      ? newQArray(qparams.dtype, length)
      : new Float32Array(length);
  });
}

/**
 * Runs steps `from` to `from + count` of a trial in a session that continues.
 *
 * @param arrays Receive the outputs of all steps, steps first.
 */
export function runSteps(
  model: Model,
  session: Session,
  trial: Trial,
  [from, count]: readonly [from: number, count: number],
  arrays: readonly OutputArray[],
): void {
  const { batch, input, lengths, steps } = trial;
  const { batchFirst, outputs, inputSize } = model;
  const row = batch * inputSize;
  const part = input.subarray(from * row, (from + count) * row) as SessionInput;
  const given = batchFirst ? swapped(part, count, batch) : part;
  const own = arraysFor(model, session, trial, count);
  const named = Object.fromEntries(outputs.map(({ name }, i) => [name, own[i]!]));
  const left = lengths?.map((length) => Math.min(Math.max(length - from, 0), count));
  if (left === undefined && count === 1 && steps > 1 && !model.looksAhead) {
    session.step(given, outputs.length > 1 ? named : own[0]!);
  } else session.run(given, outputs.length > 1 ? named : own[0]!, left);
  outputs.forEach(({ size, time }, i) => {
    const given = own[i]!.length / (batch * size);
    const values = batchFirst && time ? swapped(own[i]!, batch, given) : own[i]!;
    arrays[i]!.set(values, time ? from * batch * size : 0);
  });
}

/** The trial of a single row, without the steps beyond the row's length. */
function rowOf(trial: Trial, row: number, width: number): Trial {
  const steps = trial.lengths?.[row] ?? trial.steps;
  const input = trial.input.slice(0, steps * width) as SessionInput;
  for (let t = 0; t < steps; t++) {
    const from = (t * trial.batch + row) * width;
    input.set(trial.input.subarray(from, from + width), t * width);
  }
  return { ...trial, steps, batch: 1, input, lengths: null, chunks: [steps] };
}

/** Runs each row of a trial in a session of its own. */
function recordRows(form: Form, model: Model, trial: Trial): Recording {
  const { steps, batch } = trial;
  const { outputs, inputSize } = model;
  const maxSteps = model.looksAhead ? { maxSteps: steps } : {};
  const arrays = arraysFor(model, form.session(model, { batch, ...maxSteps }), trial, steps);
  outputs.forEach(({ qparams }, i) => {
    // Outputs beyond a row's length are real 0.
    if (!(isFloat32Array(arrays[i]))) arrays[i]!.fill(qparams!.zeroPoint);
  });
  for (let b = 0; b < batch; b++) {
    const one = rowOf(trial, b, inputSize);
    if (one.steps === 0) continue;
    const own = recordWhole(form, model, one);
    if (own.error !== null) return own;
    outputs.forEach(({ size, time }, i) => {
      const from = own.outputs[i]!;
      for (let t = 0; t < (time ? from.length / size : 1); t++) {
        arrays[i]!.set(from.subarray(t * size, (t + 1) * size), (t * batch + b) * size);
      }
    });
  }
  return { outputs: arrays, state: null, error: null };
}

/** Runs all rows of a trial together. */
function recordWhole(form: Form, model: Model, trial: Trial): Recording {
  const { steps, batch } = trial;
  // A model that looks ahead needs its whole sequence in one call.
  const maxSteps = model.looksAhead ? { maxSteps: steps } : {};
  const session = form.session(model, { batch, ...maxSteps });
  const arrays = arraysFor(model, session, trial, steps);
  let done = 0;
  let error: string | null = null;
  try {
    for (const count of form.calls?.(trial) ?? [steps]) {
      runSteps(model, session, trial, [done, count], arrays);
      done += count;
    }
  } catch (thrown) {
    error = String(thrown);
  }
  return { outputs: arrays, state: model.looksAhead ? null : session.state(), error };
}

/** Runs a trial in a form. */
export function record(form: Form, model: Model, trial: Trial): Recording {
  return form.rowByRow ? recordRows(form, model, trial) : recordWhole(form, model, trial);
}

/** The index of the first value in which two arrays differ (0 and -0 differ); -1 if none does. */
export function firstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return i;
  return a.length === b.length ? -1 : Math.min(a.length, b.length);
}

/** Describes the value at an index of an output. */
export function describeValue(
  { name, size, time }: Model["outputs"][number],
  batch: number,
  index: number,
): string {
  const row = Math.floor(index / size);
  const step = time ? `step ${Math.floor(row / batch)}, ` : "";
  return `output ${name}, ${step}row ${row % batch}, value ${index % size}`;
}

/** The first difference of two recordings. */
function differenceOf(
  model: Model,
  trial: Trial,
  [a, b]: readonly [Recording, Recording],
): Omit<Difference, "between" | "node" | "part"> | null {
  if (a.error !== b.error) {
    const messageOf = (error: string | null) => error ?? "no error";
    return { value: "whether it runs", expected: messageOf(a.error), got: messageOf(b.error) };
  }
  if (a.error !== null) return null;
  for (const [i, port] of model.outputs.entries()) {
    const [x, y] = [a.outputs[i]!, b.outputs[i]!];
    // Modules at the end of time have no value for a row without steps.
    const empty = (index: number) =>
      !port.time && trial.lengths?.[Math.floor(index / port.size)] === 0;
    const index = x.findIndex((value, at) => !Object.is(value, y[at]) && !empty(at));
    if (index >= 0) {
      const value = describeValue(port, trial.batch, index);
      return { value, expected: x[index]!, got: y[index]! };
    }
  }
  if (a.state === null || b.state === null) return null;
  const index = firstDifference(a.state, b.state);
  if (index < 0) return null;
  return { value: `byte ${index} of the state`, expected: a.state[index]!, got: b.state[index]! };
}

/** The part of a model that ends with the given module. */
function endingAt({ modules, topology }: Model, name: string): Model {
  const needed = new Set([name]);
  for (const each of [...modules.keys()].reverse()) {
    if (!needed.has(each)) continue;
    for (const read of topology.inputs.get(each)!) if (read !== INPUT) needed.add(read);
  }
  const modulesNeeded = [...modules].filter(([each]) => needed.has(each));
  return new QuantizedModel(new Map(modulesNeeded), {
    inputs: new Map(modulesNeeded.map(([each]) => [each, topology.inputs.get(each)!])),
    outputs: new Map([[name, name]]),
  });
}

/** The state in which a module first differs, compared after each step; null if none differs. */
function differingState(
  [a, b]: readonly [Form, Form],
  model: Model,
  name: string,
  trial: Trial,
): string | null {
  if (model.looksAhead || a.rowByRow || b.rowByRow) return null;
  const slots = model.lower().data.nodes.find((node) => node.name === name)?.program.slots ?? [];
  const { states = [] }: { states?: readonly StatePart[] } =
    (model.modules.get(name) as { cell?: { states: readonly StatePart[] } }).cell ?? {};
  const sessions = [a, b].map((form) => form.session(model, { batch: trial.batch }));
  const arrays = arraysFor(model, sessions[0]!, trial, trial.steps);
  for (let t = 0; t < trial.steps; t++) {
    for (const session of sessions) runSteps(model, session, trial, [t, 1], arrays);
    // The hidden state is computed from the cell state, so the cell state comes first.
    for (const { name: slot, mark } of [...slots].reverse()) {
      if (mark) continue;
      const [x, y] = sessions.map((session) => session.getState(`${name}.${slot}`).data);
      const index = firstDifference(x!, y!);
      if (index < 0) continue;
      const part = states.find((each) => each.name === slot)?.part;
      const source = part === undefined ? "" : `, the output of ${part}`;
      return `state ${slot}${source} (step ${t}, index ${index})`;
    }
  }
  return null;
}

/** The first module that differs, and its part. */
function locate(
  forms: readonly [Form, Form],
  model: Model,
  trial: Trial,
): Pick<Difference, "node" | "part"> {
  for (const name of model.modules.keys()) {
    try {
      const part = endingAt(model, name);
      const [a, b] = forms.map((form) => record(form, part, trial));
      if (differenceOf(part, trial, [a!, b!]) === null) continue;
      return { node: name, part: differingState(forms, part, name, trial) };
    } catch {
      // The model up to this module cannot run by itself.
    }
  }
  return { node: "the model", part: null };
}

/** Compares two forms byte for byte. */
export function compareForms(a: Form, b: Form, model: Model, trial: Trial): Verdict {
  const recordings = [record(a, model, trial), record(b, model, trial)] as const;
  const difference = differenceOf(model, trial, recordings);
  if (difference === null) {
    return held(recordings[0].outputs.reduce((sum, { length }) => sum + length, 0));
  }
  const where = locate([a, b], model, trial);
  return broken({ between: [a.name, b.name], ...where, ...difference });
}
