/**
 * A quantized model: modules one after the other, and sessions that run them.
 *
 * @module
 */
import { checkBoolean, checkGiven, checkInteger, failRange, failType } from "../errors.ts";
import type { PerTensorQParams } from "../qparams.ts";
import { type Ends, endsOf, type LstmModule, type ModuleData } from "./modules.ts";
import { type Folding, makePlan, type Plan } from "./plan.ts";
import { Session, type SessionOptions } from "./session.ts";

/** A module of a quantized model. */
export type QuantizedModule = ModuleData;

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
  /** By kernels (the model itself for none), so that those which nothing else holds take their plans along; by fold. */
  readonly #plans = new WeakMap<object, Map<Folding, Plan>>();
  readonly #serialize: (model: QuantizedModel) => Uint8Array;
  #fingerprint: Uint8Array | null = null;

  /**
   * Use `convert`, `quantizeDynamic` or `loadModel`.
   *
   * @param modules The modules by name, in order; widths must fit.
   * @param serialize Gives the model's file, which states carry a fingerprint of.
   * @throws {RangeError} If there is no module, widths differ, or an Embedding does not come first.
   */
  constructor(modules: ReadonlyMap<string, QuantizedModule>, serialize: (model: QuantizedModel) => Uint8Array) {
    this.modules = modules;
    this.#serialize = serialize;
    let ends: Ends | null = null, bidirectional = false, vocabulary = 0, input: PerTensorQParams | null = null;
    let inputSize = 0;
    for (const [name, module] of modules) {
      const at = `modules.${name}`, { kind } = module, next = endsOf(module);
      if (ends === null) {
        ({ input, inputSize } = next);
        if (kind === "Embedding") vocabulary = module.numEmbeddings;
      } else {
        if (kind === "Embedding") failRange(at, "an Embedding to come first", kind);
        if (next.inputSize !== ends.outputSize) failRange(at, `an input of width ${ends.outputSize}`, next.inputSize);
      }
      if (kind === "LSTM" && module.bidirectional) bidirectional = true;
      ends = next;
    }
    if (ends === null) failRange("modules", "at least one module", 0);
    this.bidirectional = bidirectional;
    this.vocabulary = vocabulary;
    this.inputSize = inputSize;
    this.input = input;
    ({ outputSize: this.outputSize, output: this.output } = ends!);
  }

  /** Eight bytes that tell this model from any other: a hash of its file. */
  get fingerprint(): Uint8Array {
    if (this.#fingerprint === null) {
      // Two 32-bit FNV-1a hashes, one over the bytes in reverse.
      const file = this.#serialize(this);
      let forth = 0x811c9dc5, back = forth;
      for (let i = 0, j = file.length; j-- > 0; i++) {
        forth = Math.imul(forth ^ file[i]!, 0x01000193);
        back = Math.imul(back ^ file[j]!, 0x01000193);
      }
      this.#fingerprint = new Uint8Array(Int32Array.of(forth, back).buffer);
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
   * at most 16 MB. "float32" makes the table of the rows as they are, where the LSTM has parameters for its input that
   * would round them: nearer to the float model, and no longer what the modules give one by one.
   * @param options.kernels What runs the LSTMs: the portable kernels by default.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If batch or maxSteps is no positive integer, there is nothing to fold, or no rounding for
   * "float32" to leave out, or an LSTM cannot be run.
   */
  createSession(options: SessionOptions = {}): Session {
    checkGiven(options);
    const { batch = 1, maxSteps = this.bidirectional ? 256 : 16, splitGates, kernels = null, ...rest } = options;
    const { foldEmbedding: fold = this.#folds(), ...unknown } = rest;
    for (const key in unknown) failType(`options.${key}`, "no such option", options[key as keyof SessionOptions]);
    checkInteger("batch", batch, 1, 2 ** 20);
    checkInteger("maxSteps", maxSteps, 1, 2 ** 20);
    if (splitGates !== undefined) checkBoolean("splitGates", splitGates);
    if (fold !== "float32" && typeof fold !== "boolean") failType("foldEmbedding", 'a boolean or "float32"', fold);
    const lstm = this.#lstm();
    if (fold && lstm === null) failRange("foldEmbedding", "false, since no Embedding feeds an LSTM", fold);
    if (fold === "float32" && lstm!.input === null) {
      failRange("foldEmbedding", "a boolean, since the LSTM takes float32", fold);
    }
    if (kernels !== null && typeof kernels.prepare !== "function") failType("kernels", "a backend", kernels);
    let plans = this.#plans.get(kernels ?? this);
    if (!plans) this.#plans.set(kernels ?? this, plans = new Map());
    let plan = plans.get(fold);
    if (!plan) plans.set(fold, plan = makePlan(this.modules, fold, kernels));
    return new Session(this, plan, batch, maxSteps, splitGates);
  }

  /** The LSTM that an Embedding feeds, or null. */
  #lstm(): LstmModule | null {
    const lstm = [...this.modules.values()][1];
    return this.vocabulary > 0 && lstm?.kind === "LSTM" ? lstm : null;
  }

  #folds(): boolean {
    const lstm = this.#lstm();
    return lstm !== null && this.vocabulary * lstm.hiddenSize * 16 * lstm.cells[0]!.length <= 2 ** 24;
  }
}
