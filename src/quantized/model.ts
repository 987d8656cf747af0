/**
 * A quantized model: modules one after the other, and sessions that run them.
 *
 * @module
 */
import { failRange, failType } from "../errors.ts";
import type { PerTensorQParams } from "../qparams.ts";
import type { LstmBackend } from "./backend.ts";
import { endsOf, type ModuleData } from "./modules.ts";
import { Plan } from "./plan.ts";
import { Session, type SessionOptions } from "./session.ts";

/** A module of a quantized model. */
export type QuantizedModule = ModuleData;

const SESSION_OPTIONS = ["batch", "maxSteps", "splitGates", "foldEmbedding", "kernels"];

/**
 * A quantized model: what `convert` and `loadModel` give.
 *
 * @example
 * ```ts
 * import { convert, fbgemmQConfig, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed);
 * assertEquals([model.inputSize, model.outputSize, model.bidirectional], [2, 3, false]);
 * ```
 */
export class QuantizedModel {
  /** The modules by name, in order. */
  readonly modules: ReadonlyMap<string, QuantizedModule>;
  /** Whether an LSTM reads the sequence from both ends, so that it can only be run whole. */
  readonly bidirectional: boolean;
  /** Number of different token ids; 0 where the input is no token. */
  readonly vocabulary: number;
  /** Values a step and batch row takes: 1 where it takes tokens. */
  readonly inputSize: number;
  /** Values a step and batch row gives. */
  readonly outputSize: number;
  /** Parameters of the input; null is float32 or tokens. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null is float32. */
  readonly output: PerTensorQParams | null;
  readonly #plans: Plan[] = [];
  readonly #serialize: (model: QuantizedModel) => Uint8Array;
  #fingerprint: Uint8Array | null = null;

  /**
   * @param modules The modules by name, in order; widths must fit.
   * @param serialize Gives the model's file, which states carry a fingerprint of.
   * @throws {RangeError} If there is no module, widths differ, or an Embedding does not come first.
   */
  constructor(modules: ReadonlyMap<string, QuantizedModule>, serialize: (model: QuantizedModel) => Uint8Array) {
    this.modules = modules;
    this.#serialize = serialize;
    const list = [...modules.values()], ends = list.map(endsOf), first = list[0]!, last = list.length - 1;
    if (last < 0) failRange("modules", "at least one module", 0);
    let place = 0;
    for (const [name, { kind }] of modules) {
      const at = `modules.${name}`, width = ends[place - 1]?.outputSize, { inputSize } = ends[place]!;
      if (place > 0 && kind === "Embedding") failRange(at, "an Embedding to come first", `place ${place}`);
      if (place > 0 && inputSize !== width) failRange(at, `an input of width ${width}`, inputSize);
      place++;
    }
    this.bidirectional = list.some((module) => module.kind === "LSTM" && module.bidirectional);
    this.vocabulary = first.kind === "Embedding" ? first.numEmbeddings : 0;
    ({ inputSize: this.inputSize, input: this.input } = ends[0]!);
    ({ outputSize: this.outputSize, output: this.output } = ends[last]!);
  }

  /** Eight bytes that tell this model from any other: a hash of its file. */
  get fingerprint(): Uint8Array {
    if (this.#fingerprint === null) {
      // Two 32-bit FNV-1a hashes, one over the bytes in reverse.
      const file = this.#serialize(this), hashes = Int32Array.of(0x811c9dc5, 0x811c9dc5);
      file.forEach((byte, i) => {
        hashes[0] = Math.imul(hashes[0]! ^ byte, 0x01000193);
        hashes[1] = Math.imul(hashes[1]! ^ file[file.length - 1 - i]!, 0x01000193);
      });
      this.#fingerprint = new Uint8Array(hashes.buffer);
    }
    return this.#fingerprint;
  }

  /**
   * A session: all memory is allocated here, and none by its steps. Constants and scratch are made for the first
   * session and shared by all: a session of its own holds only its state.
   *
   * @param options.batch Rows that run together; 1 by default.
   * @param options.maxSteps Steps that are run at a time: 16 by default, and 256 for a bidirectional model, which
   * can run no longer sequence than this.
   * @param options.splitGates Overrides the form the LSTMs run in; the results are the same.
   * @param options.foldEmbedding Whether an Embedding that feeds an LSTM becomes a table of projected rows, 16 *
   * hiddenSize bytes a token and direction: faster, and the results are the same. By default where the table takes
   * at most 16 MB.
   * @param options.kernels What runs the LSTMs: the portable kernels by default.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If batch or maxSteps is no positive integer, or an LSTM cannot be run.
   */
  createSession(options: SessionOptions = {}): Session {
    for (const key of Object.keys(options)) {
      if (!SESSION_OPTIONS.includes(key)) failType("options", `only ${SESSION_OPTIONS.join(", ")}`, key);
    }
    const { foldEmbedding, kernels } = options;
    if (kernels !== undefined && typeof kernels?.prepare !== "function") failType("kernels", "a backend", kernels);
    return new Session(this, this.#plan(foldEmbedding ?? this.#folds(), kernels ?? null), options);
  }

  #folds(): boolean {
    const lstm = [...this.modules.values()][1];
    return lstm?.kind === "LSTM" && this.vocabulary * lstm.hiddenSize * 16 * lstm.cells[0]!.length <= 2 ** 24;
  }

  #plan(fold: boolean, kernels: LstmBackend | null): Plan {
    let plan = this.#plans.find((plan) => plan.fold === fold && plan.kernels === kernels);
    if (plan === undefined) this.#plans.push(plan = new Plan(this.modules, fold, kernels));
    return plan;
  }
}
