/**
 * Programs: what a model is lowered to, and sessions that run it.
 *
 * @module
 */
import {
  checkBoolean,
  checkGiven,
  checkInteger,
  checkNoMore,
  failRange,
  failType,
} from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { OutputPort, ProgramData } from "./data.ts";
import type { RunningKind } from "./kind.ts";
import type { BasicSession, ReadyModules, SessionOptions } from "./basic_session.ts";

/** What is said of a kind that is not loaded: the way on, too. */
const UNLOADED = "a kind that is loaded; give loadProgram kinds of its runtime/ entry";

/** A class of sessions: those that run, or those whose state can be saved too. */
export type SessionClass<S extends BasicSession> = new (
  ...args: ConstructorParameters<typeof BasicSession>
) => S;

/**
 * A model lowered to the numbers that the fast step runs on: what `loadProgram` gives.
 *
 * @example
 * ```ts
 * import { compileModel, convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)));
 * assertEquals([program.inputSize, program.outputSize, program.looksAhead], [2, 3, false]);
 * ```
 */
export class Program<S extends BasicSession = BasicSession> {
  /** Whether a step needs steps that come later, so that only whole sequences can be run. */
  readonly looksAhead: boolean;
  /** Whether sequences are [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Number of different token ids; 0 where the input is no token. */
  readonly vocabulary: number;
  /** Values a step and batch row takes: 1 where it takes tokens. */
  readonly inputSize: number;
  /** Parameters of the input; null is float32 or tokens. */
  readonly input: PerTensorQParams | null;
  /** What it gives. */
  readonly outputs: readonly OutputPort[];
  /** Values that a row of the first output has. */
  readonly outputSize: number;
  /** Parameters of the first output; null is float32. */
  readonly output: PerTensorQParams | null;
  /** The numbers themselves. */
  readonly data: ProgramData;
  readonly #kinds: readonly RunningKind[];
  readonly #Session: SessionClass<S>;
  /**
   * By kernels (the program itself for none), so that those which nothing else holds take their
   * modules along.
   */
  readonly #ready = new WeakMap<object, ReadyModules>();

  /**
   * Called by `loadProgram` and by the model that is lowered.
   *
   * @param kinds Running halves of kinds: those that the program needs must be among them.
   * @param Session What `createSession` makes.
   * @throws {RangeError} If one is not: the message says how to import it.
   */
  constructor(data: ProgramData, kinds: readonly RunningKind[], Session: SessionClass<S>) {
    this.#Session = Session;
    this.data = data;
    this.looksAhead = data.looksAhead;
    this.batchFirst = data.batchFirst;
    this.vocabulary = data.vocabulary;
    this.outputs = data.outputs;
    ({ size: this.inputSize, qparams: this.input } = data.input);
    ({ size: this.outputSize, qparams: this.output } = data.outputs[0]!);
    this.#kinds = data.nodes.map(({ name, program: { kind } }) =>
      kinds.find((each) => each.kind === kind) ??
        failRange(`node ${JSON.stringify(name)}`, UNLOADED, kind)
    );
  }

  /**
   * A session: all memory is allocated here, and none by its steps (but a model's activation tables
   * of more than 4,096 outputs, once they have been asked often). Constants and scratch are made
   * for the first session and shared by all: a session of its own holds only its state.
   *
   * @param options.batch Rows that run together; 1 by default.
   * @param options.maxSteps Steps that are run at a time: 16 by default, and 256 for a model that
   * looks ahead, which can run no longer sequence than this.
   * @param options.splitGates Overrides the form that recurrent modules run in; the results are the
   * same.
   * @param options.kernels What runs modules: the portable kernels by default.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If batch or maxSteps is no positive integer, or a module cannot be run.
   */
  createSession(options: SessionOptions = {}): S {
    checkGiven(options);
    const {
      batch = 1,
      maxSteps = this.looksAhead ? 256 : 16,
      splitGates,
      kernels,
      ...unknown
    } = options;
    checkNoMore(unknown);
    checkInteger("batch", batch, 1, 2 ** 20);
    checkInteger("maxSteps", maxSteps, 1, 2 ** 20);
    if (splitGates !== undefined) checkBoolean("splitGates", splitGates);
    if (kernels !== undefined && typeof kernels?.instantiate !== "function") {
      failType("kernels", "a backend", kernels);
    }
    const { data } = this;
    const key = kernels ?? this;
    let ready = this.#ready.get(key);
    if (!ready) {
      const modules = data.nodes.map(({ program }, i) =>
        kernels?.instantiate(program) ?? program.byParts?.instantiate() ??
          this.#kinds[i]!.instantiate(program, kernels)
      );
      ready = { modules, buffers: [] };
      this.#ready.set(key, ready);
    }
    return new this.#Session(data, ready, batch, maxSteps, splitGates);
  }
}
