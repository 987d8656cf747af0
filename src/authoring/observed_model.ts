/**
 * Models with observers.
 *
 * @module
 */
import { isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { checkOptions, copyLengths } from "../core/check.ts";
import { failRange, failType } from "../core/errors.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import { INPUT, type Topology } from "../core/topology.ts";
import type { Unsupported } from "../modules/fit_backend.ts";
import { type GraphForwardOptions, outputsFrom, stateOf } from "../modules/graph.ts";
import type { FloatCall, ObservedModule, Value } from "../modules/kind.ts";
import { kindOf } from "../modules/kinds.ts";
import { gatherRows, observeRows, validRows } from "../modules/observing.ts";
import { lengthsAfter } from "../modules/window.ts";
import { ValueStatistics } from "../observer/statistics.ts";

/** A value on its way through an observed model. */
interface ObservedValue {
  readonly value: Value;
  /** Token id of each row, where the value is rows of a table. */
  readonly tokens: Int32Array | null;
  /** Rows that are not padding; null where all are valid. */
  readonly rows: readonly number[] | null;
  /** Steps of each batch row; null where all rows have all steps. */
  readonly lengths: FloatCall["lengths"];
}

/**
 * A model whose values are observed: run calibration data through it, then `convert` it.
 *
 * @example
 * ```ts
 * import { convert, Linear, LSTM, prepare, Sequential, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 * const model = new Sequential({
 *   lstm: new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   out: new Linear({ inFeatures: 3, outFeatures: 2 }),
 * });
 * const observed = prepare(model, fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * assertEquals([...convert(observed).modules.keys()], ["lstm", "out"]);
 * ```
 */
export class ObservedModel {
  /** The modules by name, in order. */
  readonly modules: ReadonlyMap<string, ObservedModule>;
  /** The edges between modules. */
  readonly topology: Topology;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** Values a step of its input; null for token ids. */
  readonly inputSize: number | null;
  /** Statistics of its input's values so far, without padding. */
  readonly inputStatistics: ValueStatistics = new ValueStatistics();
  /** Modules and parts that stay float32 because the target does not run them. */
  readonly unsupported: readonly Unsupported[];

  /** Called by `prepare`. */
  constructor(
    modules: ReadonlyMap<string, ObservedModule>,
    topology: Topology,
    batchFirst: boolean,
    inputSize: number | null,
    unsupported: readonly Unsupported[] = [],
  ) {
    this.modules = modules;
    this.topology = topology;
    this.batchFirst = batchFirst;
    this.inputSize = inputSize;
    this.unsupported = unsupported;
  }

  /**
   * Runs the float model and shows each observed value to its observer.
   *
   * @param x Float input, or token ids where an Embedding reads it; shaped as the float model takes
   * it.
   * @param options.lengths For sequences of different lengths in one batch: each row's, 1..steps.
   * Steps beyond are not observed.
   * @param options.state Initial states of recurrent modules by name.
   * @returns The output of the float model, changed only by fake-quantizers.
   * @throws {TypeError} If the input is of the wrong kind.
   * @throws {RangeError} If a shape, a length or a value is wrong, or the model has several
   * outputs. No observer has seen a value then.
   *
   * @example
   * ```ts
   * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
   * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
   * import { assertEquals } from "@std/assert";
   * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 }), x = tensor([1, 2, 3, 4], [2, 1, 2]);
   * const observed = prepare(lstm, fbgemmQConfig);
   * assertEquals(observed.forward(x), lstm.forward(x)[0]);
   * ```
   */
  forward(x: Tensor | TokenTensor, options: GraphForwardOptions = {}): Tensor {
    const [output, ...others] = this.topology.outputs.keys();
    if (others.length > 0) {
      failRange("outputs", "one output (run gives several)", [output, ...others].join(", "));
    }
    return this.run(x, options).get(output!)!;
  }

  /**
   * The same for a model of one or several outputs.
   *
   * @returns What each output gives, by its name.
   * @throws {TypeError | RangeError} As {@linkcode forward}.
   */
  run(x: Tensor | TokenTensor, options: GraphForwardOptions = {}): Map<string, Tensor> {
    if (typeof x !== "object" || x === null) failType("x", "a tensor", x);
    checkOptions("options", options, ["lengths", "state"]);
    const { state = {} } = options;
    // Read once: they may be getters.
    const lengths = options.lengths === undefined ? null : copyLengths(options.lengths);
    for (const name of Object.keys(state)) {
      const module = this.modules.get(name);
      if (module === undefined || !kindOf(name, module).hasState) {
        failRange("options.state", "names of recurrent modules", name);
      }
    }
    this.#check(x, lengths, state);
    const rows = lengths && validRows(x, lengths, this.batchFirst);
    this.#addInput(x, rows);
    const values = new Map<string, ObservedValue>();
    const given = { value: x, rows, lengths, tokens: isInt32Array(x.data) ? x.data : null };
    values.set(INPUT, given);
    for (const [name, module] of this.modules) {
      const kind = kindOf(name, module);
      const inputs = this.topology.inputs.get(name)!.map((read) => values.get(read)!);
      const { input } = module;
      const { rows: own, lengths } = inputs[0]!;
      const observed = inputs.map(({ value }) =>
        typeof input === "string" ? value : observeRows(input, value as Tensor, own)
      );
      const tokens = inputs.map((each) => isInt32Array(each.value.data) ? null : each.tokens);
      const call = { lengths, state: stateOf(state, name), rows: own, tokens };
      const value = kind.watch(module, observed, call);
      const after = lengthsAfter(kind.window?.(module as never), lengths);
      values.set(name, {
        value,
        // Rows of a table are identified by their tokens; values computed from them are not.
        tokens: isInt32Array(inputs[0]!.value.data) ? inputs[0]!.tokens : null,
        rows: kind.time === "end" || after === null
          ? null
          : after === lengths
          ? own
          : validRows(value, after, this.batchFirst),
        lengths: after,
      });
    }
    return outputsFrom(this.topology, (name) => values.get(name)!.value as Tensor);
  }

  #addInput({ data, shape }: Value, rows: readonly number[] | null): void {
    if (rows === null) this.inputStatistics.add(data);
    else if (isInt32Array(data)) {
      this.inputStatistics.add(Int32Array.from(rows, (row) => data[row]!));
    } else this.inputStatistics.add(gatherRows(data, rows, shape.at(-1)!));
  }

  /** Refuses what a module would refuse, before any observer has seen a value. */
  #check(
    x: Value,
    lengths: FloatCall["lengths"],
    state: NonNullable<GraphForwardOptions["state"]>,
  ): void {
    const values = new Map<string, Value>([[INPUT, x]]);
    const lengthsOf = new Map<string, FloatCall["lengths"]>([[INPUT, lengths]]);
    for (const [name, module] of this.modules) {
      const kind = kindOf(name, module);
      const reads = this.topology.inputs.get(name)!;
      const own = lengthsOf.get(reads[0]!)!;
      const call: FloatCall = { lengths: own, state: stateOf(state, name) };
      values.set(name, kind.check(module, reads.map((read) => values.get(read)!), call));
      lengthsOf.set(name, lengthsAfter(kind.window?.(module as never), own));
    }
  }
}
