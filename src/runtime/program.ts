/**
 * Programs: lowered models, and sessions that run them.
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

/** The message about a kind that is not loaded, with what to import. */
const UNLOADED = "a kind that is loaded; give loadProgram kinds of its runtime/ entry";

/** A class of sessions: with or without saving of states. */
export type SessionClass<S extends BasicSession> = new (
  ...args: ConstructorParameters<typeof BasicSession>
) => S;

/**
 * A lowered model, as `loadProgram` returns it.
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
  /** Number of different token ids; 0 where the input is no token ids. */
  readonly vocabulary: number;
  /** Values of one step of one batch row: 1 for token ids. */
  readonly inputSize: number;
  /** Parameters of the input; null is float32 or tokens. */
  readonly input: PerTensorQParams | null;
  /** Its outputs. */
  readonly outputs: readonly OutputPort[];
  /** Values in a row of the first output. */
  readonly outputSize: number;
  /** Parameters of the first output; null is float32. */
  readonly output: PerTensorQParams | null;
  /** The program's data. */
  readonly data: ProgramData;
  readonly #kinds: readonly RunningKind[];
  readonly #Session: SessionClass<S>;
  /**
   * Instances by kernels (by the program itself for the default), held weakly, so that unused
   * kernels are collected with their modules.
   */
  readonly #ready = new WeakMap<object, ReadyModules>();

  /**
   * Called by `loadProgram` and by the model that is lowered.
   *
   * @param kinds Running halves of kinds; all kinds of the program must be among them.
   * @param Session The class of its sessions.
   * @throws {RangeError} If one is missing: the message says what to import.
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
   * Makes a session. All memory is allocated here and none by its steps, except activation tables
   * of more than 4,096 outputs, which are allocated after many lookups. Constants and scratch are
   * made for the first session and shared by all: a session of its own holds only its state.
   *
   * @param options.batch Rows that run together; 1 by default.
   * @param options.maxSteps Steps that are run at a time: 16 by default, and 256 for a model that
   * looks ahead, which can run no longer sequence than this.
   * @param options.splitGates Overrides whether recurrent modules run with split gates; the results
   * are the same.
   * @param options.kernels The kernels; the portable ones by default.
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
