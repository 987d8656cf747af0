/**
 * The invariants of every model, each as a function of a model and a trial.
 *
 * @module
 */
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import type { QuantizedModel } from "../authoring/model.ts";
import { Graph, Sequential } from "../modules/graph.ts";
import { byParts } from "../modules/recurrent/by_parts.ts";
import { RUNNING_KINDS } from "../modules/kinds.ts";
import type { Module } from "../modules/module.ts";
import { loadModel } from "../io/model_file.ts";
import { saveModel } from "../io/model_write.ts";
import { compileModel } from "../io/program_write.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import type { OutputArray, SessionInput } from "../runtime/basic_session.ts";
import type { Backend, Image, ModuleInstance, NodeProgram } from "../runtime/kind.ts";
import type { Program } from "../runtime/program.ts";
import type { Session } from "../runtime/session.ts";
import { loadProgram } from "../runtime/with_state.ts";
import {
  arraysFor,
  compareForms,
  describeValue,
  firstDifference,
  type Form,
  record,
  runSteps,
} from "./forms.ts";
import type { Trial } from "./trial.ts";
import { swapped } from "./values.ts";
import { broken, held, skipped, type Verdict } from "./verdict.ts";

/**
 * Inputs of some invariants besides the model and the trial.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type Tools, trials, withinErrorOfFloat } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2, seed: 1 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * const tools: Tools = { float, maxError: 3 };
 * assertEquals(withinErrorOfFloat(model, trial!, tools).status, "held");
 * ```
 */
export interface Tools {
  /** SIMD kernels, or the reason why there are none. */
  readonly simd?: Backend | string;
  /** The float model that was quantized. */
  readonly float?: Module;
  /** Max difference of an output from the float model's, in real numbers. */
  readonly maxError?: number;
}

/**
 * Checks one trial of a model.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { Linear, quantize } from "@splitgate/splitgate";
 * import { type Invariant, INVARIANTS, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new Linear({ inFeatures: 2, outFeatures: 2, seed: 1 });
 * const { model } = await quantize(float, [Float32Array.of(0.5, -1)]);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * const check: Invariant = INVARIANTS["batchedEqualsSingle"];
 * assertEquals(check(model, trial!).status, "held");
 * ```
 */
export type Invariant = (model: QuantizedModel, trial: Trial, tools?: Tools) => Verdict;

const portable: Form = {
  name: "portable, one call",
  session: (model, options) => model.createSession(options),
};

const KEEPS_NO_STATE = "the model looks ahead, so that it runs whole sequences and keeps no state";
const DYNAMIC = "ranges are dynamic: all rows and steps of a call share one";

const dynamicModels = new WeakMap<QuantizedModel, boolean>();

/** Whether results depend on the rows and steps that run together. */
function isDynamic(model: QuantizedModel): boolean {
  let dynamic = dynamicModels.get(model);
  if (dynamic === undefined) {
    dynamic = model.lower().data.nodes.some(({ program }) =>
      (program.byParts?.instantiate() ??
        RUNNING_KINDS.find(({ kind }) => kind === program.kind)!.instantiate(program)).mixesSteps
    );
    dynamicModels.set(model, dynamic);
  }
  return dynamic;
}

/** Names of the modules that keep a state between steps. */
function recurrentModules(model: QuantizedModel): string[] {
  return [...model.modules].filter(([, module]) => "cells" in module).map(([name]) => name);
}

/**
 * Fused and split gates return the same bytes.
 *
 * @returns Skipped if no module has gates.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fusedEqualsSplit, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(fusedEqualsSplit(model, trial!).status, "held");
 * ```
 */
export function fusedEqualsSplit(model: QuantizedModel, trial: Trial): Verdict {
  if (recurrentModules(model).length === 0) return skipped("no module has gates");
  const form = (splitGates: boolean): Form => ({
    name: splitGates ? "split gates" : "fused gates",
    session: (each, options) => each.createSession({ ...options, splitGates }),
  });
  return compareForms(form(false), form(true), model, trial);
}

/**
 * A sequence returns the same bytes in one call, in several calls of any lengths, and step by step.
 *
 * @returns Skipped if the model looks ahead or its ranges are dynamic.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { chunkedEqualsWhole, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(chunkedEqualsWhole(model, trial!).status, "held");
 * ```
 */
export function chunkedEqualsWhole(model: QuantizedModel, trial: Trial): Verdict {
  if (model.looksAhead) return skipped(KEEPS_NO_STATE);
  if (isDynamic(model)) return skipped(DYNAMIC);
  const chunked: Form = {
    name: `portable, calls of ${trial.chunks.join(", ")} steps`,
    session: (each, options) => each.createSession({ ...options, maxSteps: 3 }),
    calls: ({ chunks }) => chunks,
  };
  const verdict = compareForms(portable, chunked, model, trial);
  if (verdict.status !== "held") return verdict;
  const stepped: Form = {
    name: "portable, step by step",
    session: portable.session,
    calls: ({ steps }) => Array<number>(steps).fill(1),
  };
  return compareForms(portable, stepped, model, trial);
}

/**
 * Each row returns the same bytes alone and in a batch.
 *
 * @returns Skipped if ranges are dynamic.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { batchedEqualsSingle, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(batchedEqualsSingle(model, trial!).status, "held");
 * ```
 */
export function batchedEqualsSingle(model: QuantizedModel, trial: Trial): Verdict {
  return isDynamic(model)
    ? skipped(DYNAMIC)
    : compareForms({ ...portable, name: "each row alone", rowByRow: true }, portable, model, trial);
}

/** Counts the modules that the kernels run, wholly or only their projections. */
class Counted implements Backend {
  readonly name: string;
  ran = 0;
  readonly #kernels: Backend;

  constructor(kernels: Backend) {
    this.name = kernels.name;
    this.#kernels = kernels;
  }

  instantiate(program: NodeProgram): ModuleInstance | null {
    const instance = this.#kernels.instantiate(program);
    if (instance !== null) this.ran++;
    return instance;
  }

  projector(
    ...args: Parameters<NonNullable<Backend["projector"]>>
  ): ReturnType<NonNullable<Backend["projector"]>> {
    const projector = this.#kernels.projector?.(...args) ?? null;
    if (projector !== null) this.ran++;
    return projector;
  }

  image(program: NodeProgram): Image | null {
    return this.#kernels.image?.(program) ?? null;
  }
}

const counted = new WeakMap<QuantizedModel, Counted>();

/** Counted kernels of a model. */
function countedFor(model: QuantizedModel, kernels: Backend): Counted {
  let own = counted.get(model);
  if (own === undefined) {
    own = new Counted(kernels);
    model.createSession({ kernels: own });
    counted.set(model, own);
  }
  return own;
}

/**
 * SIMD kernels and portable kernels return the same bytes.
 *
 * @returns Skipped if there are no SIMD kernels, or if they run no module of the model.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { simdKernels } from "@splitgate/splitgate/simd";
 * import { portableEqualsSimd, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(portableEqualsSimd(model, trial!, { simd: await simdKernels() }).status, "held");
 * ```
 */
export function portableEqualsSimd(
  model: QuantizedModel,
  trial: Trial,
  tools: Tools = {},
): Verdict {
  const { simd = "no SIMD kernels given" } = tools;
  if (typeof simd === "string") return skipped(simd);
  const kernels = countedFor(model, simd);
  if (kernels.ran === 0) return skipped("SIMD runs no module of this model");
  const form: Form = {
    name: `${simd.name} kernels`,
    session: (each, options) => each.createSession({ ...options, kernels }),
  };
  return compareForms(portable, form, model, trial);
}

const parts = byParts();

/**
 * The fused step returns the same bytes as the cell run part by part.
 *
 * @returns Skipped if no module has parts.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fastEqualsByParts, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(fastEqualsByParts(model, trial!).status, "held");
 * ```
 */
export function fastEqualsByParts(model: QuantizedModel, trial: Trial): Verdict {
  if (recurrentModules(model).length === 0) return skipped("no module runs by parts");
  const form: Form = {
    name: "by parts",
    session: (each, options) => each.createSession({ ...options, kernels: parts }),
  };
  return compareForms(form, portable, model, trial);
}

/**
 * A model loaded from its own file, and its first difference from the model; null if there is none.
 */
interface Reloaded {
  readonly model: QuantizedModel;
  readonly difference: Verdict | null;
}

const reloaded = new WeakMap<QuantizedModel, Reloaded>();

/** Saves and loads a model. */
function reload(model: QuantizedModel): Reloaded {
  const known = reloaded.get(model);
  if (known !== undefined) return known;
  const file = saveModel(model);
  const loaded = loadModel(file);
  let difference: Verdict | null = null;
  const pairs = [
    ["fingerprint", model.fingerprint, loaded.fingerprint],
    ["file", file, saveModel(loaded)],
  ] as const;
  for (const [what, a, b] of pairs) {
    const index = firstDifference(a, b);
    if (index < 0) continue;
    difference ??= broken({
      between: ["the model", "the model saved and loaded"],
      node: "the model",
      part: null,
      value: `byte ${index} of the ${what}`,
      expected: a[index] ?? "nothing",
      got: b[index] ?? "nothing",
    });
  }
  const own = { model: loaded, difference };
  reloaded.set(model, own);
  return own;
}

/**
 * A model that was saved and loaded has the same file, fingerprint and output bytes.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { saveLoadIsIdentity, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(saveLoadIsIdentity(model, trial!).status, "held");
 * ```
 */
export function saveLoadIsIdentity(model: QuantizedModel, trial: Trial): Verdict {
  const { difference } = reload(model);
  if (difference !== null) return difference;
  const form: Form = {
    name: "saved and loaded",
    session: (each, options) => reload(each).model.createSession(options),
  };
  return compareForms(portable, form, model, trial);
}

const programs = new WeakMap<QuantizedModel, Program<Session> | string>();

/** A model's program, or the reason why it has none. */
function programOf(model: QuantizedModel): Program<Session> | string {
  let program = programs.get(model);
  if (program === undefined) {
    try {
      program = loadProgram(compileModel(model), { kinds: RUNNING_KINDS });
    } catch (error) {
      // The error names the module that a program cannot hold.
      if (!(error instanceof RangeError && error.message.startsWith("modules."))) throw error;
      program = `no program can hold it: ${error.message}`;
    }
    programs.set(model, program);
  }
  return program;
}

/**
 * The compiled model returns the same bytes.
 *
 * @returns Skipped if a program cannot hold a module.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { compiledEqualsModel, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(compiledEqualsModel(model, trial!).status, "held");
 * ```
 */
export function compiledEqualsModel(model: QuantizedModel, trial: Trial): Verdict {
  const program = programOf(model);
  if (typeof program === "string") return skipped(program);
  const form: Form = {
    name: "compiled",
    session: (each, options) => (programOf(each) as Program<Session>).createSession(options),
  };
  return compareForms(portable, form, model, trial);
}

/** Compares the outputs of two sessions. */
function sameOutputs(
  model: QuantizedModel,
  { batch }: Trial,
  between: readonly [string, string],
  [a, b]: readonly [readonly OutputArray[], readonly OutputArray[]],
): Verdict {
  for (const [i, port] of model.outputs.entries()) {
    const index = firstDifference(a[i]!, b[i]!);
    if (index < 0) continue;
    const value = describeValue(port, batch, index);
    const [expected, got] = [a[i]![index]!, b[i]![index]!];
    return broken({ between, node: "the model", part: null, value, expected, got });
  }
  return held(a.reduce((sum, { length }) => sum + length, 0));
}

/** Compares two states; null if they are equal. */
function stateDifference(
  between: readonly [string, string],
  a: Uint8Array,
  b: Uint8Array,
): Verdict | null {
  const index = firstDifference(a, b);
  if (index < 0) return null;
  const value = `byte ${index} of the state`;
  const [expected, got] = [a[index]!, b[index]!];
  return broken({ between, node: "the model", part: "state", value, expected, got });
}

/**
 * A session that restores another session's state has the same state and continues with the same
 * bytes. A session that is reset continues like a new one. A state that is read and set again is
 * unchanged.
 *
 * @returns Skipped if the model keeps no state.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { stateRoundTrips, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(stateRoundTrips(model, trial!).status, "held");
 * ```
 */
export function stateRoundTrips(model: QuantizedModel, trial: Trial): Verdict {
  if (model.looksAhead) return skipped(KEEPS_NO_STATE);
  const { batch, steps } = trial;
  const whole: Trial = { ...trial, integersOut: false };
  const play = (session: Session, lengths = trial.lengths): OutputArray[] => {
    const arrays = arraysFor(model, session, whole, steps);
    runSteps(model, session, { ...whole, lengths }, [0, steps], arrays);
    return arrays;
  };
  const session = model.createSession({ batch });
  const fresh = play(session);
  const state = session.state();
  const other = model.createSession({ batch });
  other.restore(state);
  const restored = ["a session that went on", "one that restored its state"] as const;
  const differs = stateDifference(restored, state, other.state());
  if (differs !== null) return differs;
  // A recurrent module keeps nothing but these states.
  for (const name of recurrentModules(model)) {
    const rows = trial.lengths?.some((length) => length === 0) ? [] : ["h", "c"];
    for (const slot of rows) {
      const at = `${name}.${slot}`;
      const known = model.lower().data.nodes.find((node) => node.name === name)?.program.slots;
      if (known?.some((each) => each.name === slot)) other.setState(at, other.getState(at));
    }
  }
  const set = stateDifference(["a state", "the state read and set"], state, other.state());
  if (set !== null) return set;
  const went = sameOutputs(model, trial, restored, [play(session), play(other)]);
  if (went.status !== "held") return went;
  const after = stateDifference(restored, session.state(), other.state());
  if (after !== null) return after;
  session.reset();
  const reset = ["a new session", "one that was reset"] as const;
  const clean = stateDifference(reset, model.createSession({ batch }).state(), session.state());
  if (clean !== null) return clean;
  for (let row = 0; row < batch; row++) other.reset(row);
  const rows = stateDifference(
    [reset[0], "one whose rows were reset"],
    session.state(),
    other.state(),
  );
  return rows ?? sameOutputs(model, trial, reset, [fresh, play(session)]);
}

/** What a session's state consists of, by the names that `setState` takes. */
function stateNames(model: QuantizedModel): string[] {
  return model.lower().data.nodes.flatMap(({ name, program: { slots = [] } }) =>
    slots.filter(({ mark }) => !mark).map((slot) => `${name}.${slot.name}`)
  );
}

/** Calls that every session of a model must reject. */
function badCalls(model: QuantizedModel, trial: Trial): [string, (session: Session) => void][] {
  const { batch, steps } = trial;
  const options = { batch, ...model.looksAhead ? { maxSteps: steps } : {} };
  const own = model.createSession(options);
  const arrays = () => arraysFor(model, own, { batch, integersOut: false }, steps);
  const named = (own: readonly OutputArray[]) =>
    own.length > 1
      ? Object.fromEntries(model.outputs.map(({ name }, i) => [name, own[i]!]))
      : own[0]!;
  const { input } = trial;
  const wrong = input.slice() as SessionInput;
  const last = wrong.length - 1;
  const reals = isFloat32Array(input);
  wrong[last] = reals ? NaN : model.vocabulary > 0 ? model.vocabulary : wrong[last]!;
  const short = arrays();
  short[0] = new Float32Array(short[0]!.length + 1);
  const calls: [string, (session: Session) => void][] = [
    ["an output of another length", (session) => session.run(input, named(short))],
    ["a sequence of no steps", (session) => session.run(input.slice(0, 0), named(arrays()))],
    [
      "no sequence",
      (session) => session.run(undefined as unknown as SessionInput, named(arrays())),
    ],
    [
      "an unknown output",
      (session) => session.run(input, named([new Uint16Array(1) as unknown as OutputArray])),
    ],
    [
      "lengths of other rows",
      (session) => session.run(input, named(arrays()), Array<number>(batch + 1).fill(1)),
    ],
    [
      "a length beyond the sequence",
      (session) => session.run(input, named(arrays()), Array<number>(batch).fill(steps + 1)),
    ],
    ["a row out of range", (session) => session.reset(batch)],
    ["an output that is not there", (session) => void session.outputSteps(steps, "nothing")],
    [
      "lengths that run the session",
      (session) => {
        const running = Array<number>(batch).fill(steps);
        Object.defineProperty(running, 0, {
          get: () => (session.run(input, named(arrays()), Array<number>(batch).fill(0)), steps),
        });
        session.run(input, named(arrays()), running);
      },
    ],
  ];
  if (reals && model.outputs.length === 1 && steps * batch > 1) {
    calls.push(["an output where the input stands", (session) => {
      const [{ length }] = arrays() as [OutputArray];
      const both = new Float32Array(input.length + length);
      both.set(input);
      session.run(both.subarray(0, input.length), both.subarray(1, 1 + length));
    }]);
  }
  if (model.looksAhead) {
    calls.push(
      ["a step", (session) => session.step(input, named(arrays()))],
      ["more steps than it has room for", (session) => {
        const many = input.slice() as SessionInput;
        const twice = new (many.constructor as typeof Float32Array)(2 * many.length);
        session.run(twice, named(arrays().map((each) => new Float32Array(2 * each.length))));
      }],
    );
  }
  if (reals || model.vocabulary > 0) {
    calls.push([
      reals ? "NaN" : "a token out of range",
      (session) => session.run(wrong, named(arrays())),
    ]);
  }
  if (!model.looksAhead) {
    calls.push(
      ["a truncated state", (session) => session.restore(session.state().slice(0, -1))],
      ["a state of another model", (session) => {
        const state = session.state();
        state[9]! ^= 1;
        session.restore(state);
      }],
      [
        "a state of an unknown module",
        (session) => session.setState("nothing.h", { data: new Float32Array(1), shape: [1, 1, 1] }),
      ],
    );
    const [name] = stateNames(model);
    if (name !== undefined) {
      const { data, shape } = own.getState(name);
      calls.push(
        ["a state of integers", (session) => {
          session.setState(name, { data: [...data] as unknown as Float32Array, shape });
        }],
        ["a state of another shape", (session) => {
          session.setState(name, { data, shape: [...shape, 1] });
        }],
      );
    }
  }
  return calls;
}

/**
 * A rejected call throws a TypeError or RangeError that says what was expected, and leaves the
 * state unchanged.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { refusedLeavesStateUnchanged, trials } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(refusedLeavesStateUnchanged(model, trial!).status, "held");
 * ```
 */
export function refusedLeavesStateUnchanged(model: QuantizedModel, trial: Trial): Verdict {
  const options = { batch: trial.batch, ...model.looksAhead ? { maxSteps: trial.steps } : {} };
  const session = model.createSession(options);
  const undisturbed = model.createSession(options);
  const whole: Trial = { ...trial, integersOut: false };
  const play = (each: Session): OutputArray[] => {
    const arrays = arraysFor(model, each, whole, trial.steps);
    runSteps(model, each, whole, [0, trial.steps], arrays);
    return arrays;
  };
  play(session);
  play(undisturbed);
  const calls = badCalls(model, trial);
  for (const [what, call] of calls) {
    const before = model.looksAhead ? null : session.state();
    let got = "no error";
    try {
      call(session);
    } catch (error) {
      const named = error instanceof TypeError || error instanceof RangeError;
      got = named && /: expected .*, got /s.test(error.message) ? "" : String(error);
    }
    const where = { between: ["before", `after ${what}`] as const, node: "the model" };
    if (got !== "") {
      const expected = "a TypeError or RangeError: expected ..., got ...";
      return broken({ ...where, part: null, value: "what is thrown", expected, got });
    }
    const moved = before === null ? null : stateDifference(where.between, before, session.state());
    if (moved !== null) return moved;
  }
  const between = ["a session", "one that refused calls"] as const;
  const verdict = sameOutputs(model, trial, between, [play(undisturbed), play(session)]);
  return verdict.status === "held" ? held(verdict.values + calls.length) : verdict;
}

/** A trial's sequence as the input of a float model. */
function tensorOf(model: QuantizedModel, { input, steps, batch }: Trial): Tensor | TokenTensor {
  const { batchFirst, vocabulary, input: qparams, inputSize } = model;
  const outer = batchFirst ? [batch, steps] : [steps, batch];
  const given = batchFirst ? swapped(input, steps, batch) : input;
  if (vocabulary > 0) return { data: given as Int32Array, shape: outer };
  const data = isFloat32Array(given)
    ? given
    : Float32Array.from(given, (q) => (q - qparams!.zeroPoint) * qparams!.scale);
  return { data, shape: [...outer, inputSize] };
}

/**
 * No output differs from the float model's by more than `maxError`.
 *
 * @returns Skipped if no float model or no max error is given.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { trials, withinErrorOfFloat } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 });
 * const observed = prepare(float, getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * const [trial] = fc.sample(trials(model), { numRuns: 1, seed: 1 });
 * assertEquals(withinErrorOfFloat(model, trial!, { float, maxError: 1 }).status, "held");
 * ```
 */
export function withinErrorOfFloat(
  model: QuantizedModel,
  trial: Trial,
  tools: Tools = {},
): Verdict {
  const { float, maxError } = tools;
  if (float === undefined) return skipped("no float model given");
  if (maxError === undefined) return skipped("no maxError given: the max difference of outputs");
  const { steps, batch } = trial;
  // With fewer steps, a window skips other steps than it does in the full sequence.
  const resampled = model.lower().data.axes.length > 0;
  const whole: Trial = {
    ...trial,
    integersOut: false,
    lengths: resampled ? null : trial.lengths?.map((n) => Math.max(n, 1)) ?? null,
  };
  const graph = float instanceof Graph ? float : new Sequential({ model: float });
  const lengths = whole.lengths === null ? {} : { lengths: whole.lengths };
  const expected = [...graph.run(tensorOf(model, whole), lengths).values()];
  const { outputs } = record(portable, model, whole);
  let values = 0;
  for (const [i, port] of model.outputs.entries()) {
    const given = expected[i]!.data;
    const own = given.length / (batch * port.size);
    const want = model.batchFirst && port.time ? swapped(given, batch, own) : given;
    for (let at = 0; at < want.length; at++) {
      const row = Math.floor(at / port.size);
      if (port.time && Math.floor(row / batch) >= (whole.lengths?.[row % batch] ?? steps)) continue;
      values++;
      const got = outputs[i]![at]!;
      if (Math.abs(got - want[at]!) <= maxError) continue;
      return broken({
        between: ["the float model", `integers, within ${maxError}`],
        node: "the model",
        part: null,
        value: describeValue(port, batch, at),
        expected: want[at]!,
        got,
      });
    }
  }
  return held(values);
}
