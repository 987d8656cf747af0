/**
 * A quantized model: modules one after the other, and sessions that run them.
 *
 * @module
 */
import { failRange } from "../errors.ts";
import type { PerTensorQParams } from "../qparams.ts";
import { QuantizedEmbedding } from "./embedding.ts";
import { PreparedLinear, type QuantizedLinear } from "./linear.ts";
import { PreparedLSTM, QuantizedLSTM } from "./lstm.ts";
import { Session, type SessionOptions } from "./session.ts";

/** A module of a quantized model. */
export type QuantizedModule = QuantizedEmbedding | QuantizedLinear | QuantizedLSTM;

/** A module made ready: constants that all sessions share. */
export interface Stage {
  readonly kind: "embedding" | "linear" | "lstm";
  readonly lstm: PreparedLSTM | null;
  readonly linear: PreparedLinear | null;
  readonly embedding: QuantizedEmbedding | null;
  /** Parameters of what it reads and gives; null is float32 (or tokens). */
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;
  readonly inputSize: number;
  readonly outputSize: number;
}

/** A quantized model: what `convert` and `loadModel` give. */
export class QuantizedModel {
  /** The modules by name, in order. */
  readonly modules: ReadonlyMap<string, QuantizedModule>;
  readonly #stages: readonly Stage[];
  readonly #fingerprint: (model: QuantizedModel) => Uint8Array;
  #bytes: Uint8Array | null = null;

  /**
   * @param modules The modules by name, in order; widths must fit.
   * @param serialize Gives the model's file, which states carry a fingerprint of.
   * @throws {RangeError} If there is no module or widths differ.
   */
  constructor(modules: ReadonlyMap<string, QuantizedModule>, serialize: (model: QuantizedModel) => Uint8Array) {
    this.modules = modules;
    this.#fingerprint = serialize;
    const stages: Stage[] = [];
    let tokens: QuantizedEmbedding | null = null, width = -1;
    const empty = { lstm: null, linear: null, embedding: null };
    const list = [...modules];
    if (list.length === 0) failRange("modules", "at least one module", 0);
    list.forEach(([name, module], i) => {
      if (module instanceof QuantizedEmbedding) {
        if (i > 0) failRange(`modules.${name}`, "an Embedding to come first", `place ${i}`);
        tokens = module;
        width = module.embeddingDim;
        if (list.length > 1 && list[1][1] instanceof QuantizedLSTM) return;
        stages.push({
          ...empty,
          kind: "embedding",
          embedding: module,
          input: null,
          output: null,
          inputSize: 1,
          outputSize: width,
        });
        return;
      }
      const isLstm = module instanceof QuantizedLSTM;
      const inputSize = isLstm ? module.inputSize : module.weight.inFeatures;
      if (width >= 0 && inputSize !== width) failRange(`modules.${name}`, `an input of width ${width}`, inputSize);
      const folded = i === 1 && isLstm ? tokens : null;
      width = isLstm ? module.hiddenSize * (module.bidirectional ? 2 : 1) : module.weight.outFeatures;
      stages.push({
        ...empty,
        kind: isLstm ? "lstm" : "linear",
        lstm: isLstm ? new PreparedLSTM(module, folded) : null,
        linear: isLstm ? null : new PreparedLinear(module),
        input: folded === null ? module.input : null,
        output: module.output,
        inputSize: folded === null ? inputSize : 1,
        outputSize: width,
      });
    });
    this.#stages = stages;
  }

  /** Whether the input is token ids. */
  get takesTokens(): boolean {
    return this.modules.values().next().value instanceof QuantizedEmbedding;
  }

  /** Number of different token ids; 0 where the input is no token. */
  get vocabulary(): number {
    const first = this.modules.values().next().value;
    return first instanceof QuantizedEmbedding ? first.numEmbeddings : 0;
  }

  /** Values a step and batch row takes: 1 where it takes tokens. */
  get inputSize(): number {
    return this.#stages[0].inputSize;
  }

  /** Values a step and batch row gives. */
  get outputSize(): number {
    return this.#stages[this.#stages.length - 1].outputSize;
  }

  /** Parameters of the input; null is float32 or tokens. */
  get input(): PerTensorQParams | null {
    return this.#stages[0].input;
  }

  /** Parameters of the output; null is float32. */
  get output(): PerTensorQParams | null {
    return this.#stages[this.#stages.length - 1].output;
  }

  /** Whether an LSTM reads the sequence from both ends, so that it can only be run whole. */
  get bidirectional(): boolean {
    for (const module of this.modules.values()) {
      if (module instanceof QuantizedLSTM && module.bidirectional) return true;
    }
    return false;
  }

  /** Eight bytes that tell this model from any other: a hash of its file. */
  get fingerprint(): Uint8Array {
    if (this.#bytes === null) {
      // Two 32-bit FNV-1a hashes, one over the bytes in reverse.
      const file = this.#fingerprint(this), n = file.length;
      let a = 0x811c9dc5, b = 0x811c9dc5;
      for (let i = 0; i < n; i++) {
        a = Math.imul(a ^ file[i], 0x01000193);
        b = Math.imul(b ^ file[n - 1 - i], 0x01000193);
      }
      this.#bytes = new Uint8Array(8);
      const view = new DataView(this.#bytes.buffer);
      view.setInt32(0, a, true);
      view.setInt32(4, b, true);
    }
    return this.#bytes;
  }

  /**
   * A session: all memory is allocated here, and none by its steps.
   *
   * @param options.batch Rows that run together; 1 by default.
   * @param options.maxSteps Steps that are run at a time: 16 by default, and 256 for a bidirectional model, which
   * can run no longer sequence than this.
   * @param options.splitGates Overrides the form the LSTMs run in; the results are the same.
   * @throws {RangeError} If batch or maxSteps is no positive integer.
   */
  createSession(options: SessionOptions = {}): Session {
    return new Session(this, this.#stages, options);
  }
}
