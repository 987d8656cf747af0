/**
 * A quantized model: modules one after the other, and sessions that run them.
 *
 * @module
 */
import { checkGiven, failRange, failType } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { type Fingerprint, fingerprintOf } from "./fingerprint.ts";
import { foldable, foldedBytes, type Folding, lowerModules } from "./lower.ts";
import { commonBatchFirst, endsOf, type ModuleData } from "./modules.ts";
import { type Ends, Program } from "../runtime/program.ts";
import type { Session, SessionOptions } from "../runtime/session.ts";

/** Options of lowering a model. */
export interface LoweringOptions {
  /**
   * Whether an Embedding that feeds an LSTM becomes a table of projected rows; by default where that takes at most 16
   * MB. The results are the same, but with "float32", which projects the rows as they are, unrounded to the LSTM's
   * input parameters: nearer to the float model.
   */
  readonly foldEmbedding?: boolean | "float32";
}

/** Bytes of projected rows up to which an Embedding is folded where nothing is said. */
const FOLDED = 2 ** 24;

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
  /** Whether sequences are [batch, steps, ...], not [steps, batch, ...]: what its LSTMs say. */
  readonly batchFirst: boolean;
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
  /** What it is lowered to, by fold. */
  readonly #programs = new Map<Folding, Program>();
  readonly #fingerprint: Fingerprint;

  /**
   * Use `convert`, `quantizeDynamic` or `loadModel`.
   *
   * @param modules The modules by name, in order; widths must fit.
   * @throws {RangeError} If there is no module, widths differ, an Embedding does not come first, or some LSTMs are
   * batchFirst and others not.
   */
  constructor(modules: ReadonlyMap<string, QuantizedModule>) {
    this.modules = new Map(modules);
    let ends: Ends | null = null;
    let bidirectional = false;
    let vocabulary = 0;
    let input: PerTensorQParams | null = null;
    let inputSize = 0;
    for (const [name, module] of modules) {
      const at = `modules.${name}`;
      const { kind } = module;
      const next = endsOf(module);
      if (ends === null) {
        ({ input, inputSize } = next);
        if (kind === "Embedding") vocabulary = module.numEmbeddings;
      } else {
        if (kind === "Embedding") failRange(at, "an Embedding to come first", kind);
        if (next.inputSize !== ends.outputSize) {
          failRange(at, `an input of width ${ends.outputSize}`, next.inputSize);
        }
      }
      if (kind === "LSTM" && module.bidirectional) bidirectional = true;
      ends = next;
    }
    if (ends === null) failRange("modules", "at least one module", 0);
    this.batchFirst = commonBatchFirst(
      [...modules].flatMap(([name, module]) =>
        module.kind === "LSTM" ? [[`modules.${name}`, module] as const] : []
      ),
    );
    this.bidirectional = bidirectional;
    this.vocabulary = vocabulary;
    this.inputSize = inputSize;
    this.input = input;
    ({ outputSize: this.outputSize, output: this.output } = ends!);
    this.#fingerprint = fingerprintOf(modules.values());
  }

  /**
   * Eight bytes that tell this model from any other: a hash of what it computes, taken when it is made. Names, files,
   * `splitGates` and `batchFirst` make no difference: states move between models that differ in these alone.
   */
  get fingerprint(): Uint8Array {
    return new Uint8Array(Int32Array.from(this.#fingerprint).buffer);
  }

  /**
   * The model lowered to the numbers that sessions run on, which all of them share.
   *
   * @param options.foldEmbedding Whether an Embedding that feeds an LSTM becomes a table of projected rows, 16 *
   * hiddenSize bytes a token and direction: faster, and the results are the same. By default where the table takes
   * at most 16 MB. "float32" makes the table of the rows as they are, where the LSTM has parameters for its input that
   * would round them: nearer to the float model, and no longer what the modules give one by one.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If there is nothing to fold, or no rounding for "float32" to leave out, or a module's parameters
   * cannot be run.
   */
  lower(options: LoweringOptions = {}): Program {
    checkGiven(options);
    const modules = [...this.modules.values()];
    const lstm = foldable(modules);
    const { foldEmbedding: fold = foldedBytes(modules) <= FOLDED, ...unknown } = options;
    for (const key in unknown) {
      failType(`options.${key}`, "no such option", (unknown as Record<string, unknown>)[key]);
    }
    if (fold !== "float32" && typeof fold !== "boolean") {
      failType("foldEmbedding", 'a boolean or "float32"', fold);
    }
    if (fold && lstm === null) {
      failRange("foldEmbedding", "false, since no Embedding feeds an LSTM", fold);
    }
    if (fold === "float32" && lstm!.input === null) {
      failRange("foldEmbedding", "a boolean, since the LSTM takes float32", fold);
    }
    let program = this.#programs.get(fold);
    if (program === undefined) {
      program = new Program({
        vocabulary: this.vocabulary,
        batchFirst: this.batchFirst,
        // Rows that are not rounded give other results, so that states do not move between the two.
        fingerprint: fold === "float32"
          ? this.#fingerprint.map((word) => ~word)
          : this.#fingerprint,
        stages: lowerModules(modules, fold),
      });
      this.#programs.set(fold, program);
    }
    return program;
  }

  /**
   * A session: all memory is allocated here, and none by its steps (but a model's activation tables of more than 4,096
   * outputs, once they have been asked often). Constants and scratch are made for the first session and shared by all: a
   * session of its own holds only its state.
   *
   * @param options Those of {@linkcode Program.createSession} and of {@linkcode lower}.
   * @throws {TypeError} If an option is of the wrong kind.
   * @throws {RangeError} If batch or maxSteps is no positive integer, there is nothing to fold, or no rounding for
   * "float32" to leave out, or an LSTM cannot be run.
   */
  createSession(options: SessionOptions & LoweringOptions = {}): Session {
    checkGiven(options);
    const { foldEmbedding, ...rest } = options;
    return this.lower(foldEmbedding === undefined ? {} : { foldEmbedding }).createSession(rest);
  }
}
