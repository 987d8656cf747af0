/**
 * An observed model: float arithmetic, with observers at the places that will be quantized.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import { copyLengths } from "../core/check.ts";
import { type LSTMForwardOptions, planSequence } from "../modules/lstm/sequence.ts";
import type { Observer } from "../observer/observer.ts";
import { shapeSize, type Tensor, type TokenTensor } from "../core/tensor.ts";
import type { Unsupported } from "./fit_backend.ts";
import { passThrough } from "../modules/lstm/observed_cell.ts";
import { ObservedEmbedding } from "../modules/embedding/observed.ts";
import type { ObservedLinear } from "../modules/linear/observed.ts";
import { gatherRows, ObservedLSTM } from "../modules/lstm/observed.ts";

/**
 * What tells the parameters of a module's input: an observer of its own, or "previous" for those of what the module
 * before gives, or "float" where the input stays float32.
 */
export type InputObserver = Observer | "previous" | "float";

/** A module of an observed model. */
export type ObservedModule = ObservedEmbedding | ObservedLinear | ObservedLSTM;

/** Options of {@linkcode ObservedModel.forward}. */
export interface ObservedForwardOptions extends LSTMForwardOptions {
  /**
   * Initial h and c of LSTMs, by the module's name, shaped as {@linkcode LSTM.forward} takes them; zeros by default.
   * They are observed: give calibration the states that the quantized LSTM's `forward` will be given.
   */
  readonly state?: { readonly [module: string]: readonly [Tensor, Tensor] };
}

/**
 * What `prepare` gives: run calibration data through it, then `convert` it.
 *
 * @example
 * ```ts
 * import { convert, fbgemmQConfig, Linear, LSTM, prepare, Sequential, tensor } from "@splitgate/splitgate";
 * import { assertEquals, assertThrows } from "@std/assert";
 * const model = new Sequential({
 *   lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   out: new Linear({ inFeatures: 3, outFeatures: 1 }),
 * });
 * const observed = prepare(model, fbgemmQConfig);
 * assertEquals([...observed.modules.keys()], ["lstm", "out"]);
 * assertThrows(() => convert(observed), RangeError, "lstm");
 * for (const x of [tensor([1, 2, 3, 4], [2, 1, 2]), tensor([0, -1], [1, 1, 2])]) observed.forward(x);
 * assertEquals(convert(observed).outputSize, 1);
 * ```
 */
export class ObservedModel {
  /** The modules by name, in order. */
  readonly modules: ReadonlyMap<string, ObservedModule>;

  /** Modules and parts that stay float32 because the target does not run them. */
  readonly unsupported: readonly Unsupported[];

  /** Use `prepare`. */
  constructor(
    modules: ReadonlyMap<string, ObservedModule>,
    unsupported: readonly Unsupported[] = [],
  ) {
    this.modules = modules;
    this.unsupported = unsupported;
  }

  /**
   * Runs the float model and shows each observed value to its observer.
   *
   * @param x Float input, or token ids where the first module is an Embedding; shaped as the float model takes it.
   * @param options.lengths For sequences of different lengths in one batch: each row's, 1..steps. What lies beyond is
   * observed nowhere.
   * @param options.state Initial states of LSTMs by name.
   * @returns The output, the float model's own (but for what fake-quantizers change).
   * @throws {TypeError} If the input is of the wrong kind.
   * @throws {RangeError} If a shape, a length or a value is wrong.
   *
   * @example
   * ```ts
   * import { fbgemmQConfig, LSTM, prepare, tensor } from "@splitgate/splitgate";
   * import { assertEquals } from "@std/assert";
   * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 }), x = tensor([1, 2, 3, 4], [2, 1, 2]);
   * const observed = prepare(lstm, fbgemmQConfig);
   * assertEquals(observed.forward(x), lstm.forward(x)[0]);
   * ```
   */
  forward(x: Tensor | TokenTensor, options: ObservedForwardOptions = {}): Tensor {
    if (typeof x !== "object" || x === null) failType("x", "a tensor", x);
    let value: Tensor | TokenTensor = x;
    let tokens: Int32Array | null = null;
    const { state = {}, ...rest } = options.lengths === undefined
      ? options
      : { ...options, lengths: copyLengths(options.lengths) };
    for (const name of Object.keys(state)) {
      if (!(this.modules.get(name) instanceof ObservedLSTM)) {
        failRange("options.state", "names of LSTMs", name);
      }
    }
    this.#check(x, state, rest);
    const rows = rest.lengths === undefined ? null : this.#validRows(x.shape, rest.lengths);
    for (const [name, module] of this.modules) {
      if (module instanceof ObservedEmbedding) {
        tokens = (value as TokenTensor).data;
        value = module.forward(value as TokenTensor);
        continue;
      }
      const given = value as Tensor;
      const input = typeof module.input === "string" ? given : observe(module.input, given, rows);
      if (module instanceof ObservedLSTM) {
        [value] = module.forward(input, state[name], rest, tokens);
      } else {
        module.watch(input, rows);
        value = observe(module.output, module.forward(input), rows);
      }
      tokens = null;
    }
    return value as Tensor;
  }

  /** Refuses what a module would refuse, before any observer has seen a value. */
  #check(
    x: Tensor | TokenTensor,
    state: NonNullable<ObservedForwardOptions["state"]>,
    options: LSTMForwardOptions,
  ): void {
    let given = x;
    for (const [name, module] of this.modules) {
      if (module instanceof ObservedEmbedding) {
        given = module.embedding.forward(given as TokenTensor);
      } else if (module instanceof ObservedLSTM) {
        planSequence(module.lstm, given as Tensor, state[name], options);
        const shape = [...given.shape.slice(0, -1), module.lstm.outputSize];
        given = { data: new Float32Array(shapeSize(shape)), shape };
      } else {
        given = module.linear.forward(given as Tensor);
      }
    }
  }

  /** Which rows of a model's input belong to no padding. */
  #validRows(shape: readonly number[], lengths: ArrayLike<number>): number[] {
    const lstms = [...this.modules.values()].filter((module) => module instanceof ObservedLSTM);
    const batchFirst = new Set(lstms.map(({ lstm }) => lstm.batchFirst));
    if (batchFirst.size !== 1) {
      failRange(
        "options.lengths",
        "a model of LSTMs that agree on batchFirst",
        `${lstms.length} LSTMs`,
      );
    }
    const [first] = batchFirst;
    // Token ids have no width; what is unbatched has one row.
    const [embedding] = this.modules.values();
    const outer = embedding instanceof ObservedEmbedding ? shape : shape.slice(0, -1);
    const [a = 1, b = 1] = outer;
    const batch = outer.length === 1 ? 1 : first ? a : b;
    const steps = a * b / batch;
    const rows: number[] = [];
    for (let row = 0; row < steps * batch; row++) {
      const [t, b] = first
        ? [row % steps, Math.floor(row / steps)]
        : [Math.floor(row / batch), row % batch];
      if (t < lengths[b]!) rows.push(row);
    }
    return rows;
  }
}

/** Shows the given rows of a value, or all of it, to an observer. */
function observe(observer: Observer | null, value: Tensor, rows: readonly number[] | null): Tensor {
  const { data, shape } = value;
  if (observer === null) return value;
  if (rows === null) return { data: passThrough(observer, data, shape), shape };
  const width = shape[shape.length - 1]!;
  const valid = gatherRows(data, rows, width);
  const passed = passThrough(observer, valid, [rows.length, width]);
  if (passed === valid) return value;
  const out = data.slice();
  rows.forEach((row, r) => out.set(passed.subarray(r * width, (r + 1) * width), row * width));
  return { data: out, shape };
}
