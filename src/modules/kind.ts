/**
 * The interface of a kind of module. Code outside a kind's own folder uses this interface and never
 * checks which kind it has: a new kind is a folder here, a file in `runtime/kinds/`, and a line in
 * each of the two lists (`kinds.ts` here, `kinds.ts` there). docs/adding-a-module.md is the
 * procedure.
 *
 * A kind has four forms, each made from the one before:
 * - **float**: PyTorch's module, float32.
 * - **observed**: the float module with observers on the values to be quantized.
 * - **quantized**: integers and their parameters; plain data that a model file holds.
 * - **lowered**: numbers in the order in which the running half (`runtime/kinds/`) reads them.
 *
 * @module
 */
import type { EmbeddingTable } from "../../kernels/ops/embedding.ts";
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import type { Window } from "../../kernels/ops/window.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { QTensor, Tensor, TokenTensor } from "../core/tensor.ts";
import { failRange } from "../core/errors.ts";
import type { Work } from "../core/work.ts";
import type { Part } from "../cells/cell.ts";
import type { Observer } from "../observer/observer.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { NodeProgram, Port, RunningKind } from "../runtime/kind.ts";
import type { BackendFit } from "./fit_backend.ts";
import type { ModuleReader, ModuleWriter } from "./file.ts";
import type { Module } from "./module.ts";
import type { NearestWeight } from "./rounding/weight_rounding.ts";
import type { TensorShapes } from "./shapes.ts";
import type { GraphNode, ReferenceBuilder, ReferenceOp, ReferenceValue } from "./reference.ts";

/**
 * A module's relation to time: "row" treats every row independently; "sequence" reads steps in
 * order and returns as many; "end" reduces a sequence to one row.
 */
export type TimeUse = "row" | "sequence" | "end";

/** A value of a model: a float32 tensor, or token ids. */
export type Value = Tensor | TokenTensor;

/**
 * An initial state as a module's own `forward` takes it: h, or h and c of an LSTM.
 *
 * @example
 * ```ts
 * import { LSTM, Sequential, tensor } from "@splitgate/splitgate";
 * import type { InitialState } from "@splitgate/splitgate/modules";
 * const zeros = tensor(new Float32Array(3), [1, 1, 3]); // [layers, batch, size]
 * const state: InitialState = [zeros, zeros]; // h and c; of a GRU one tensor
 * const model = new Sequential({ lstm: new LSTM({ inputSize: 1, hiddenSize: 3 }) });
 * model.forward(tensor([0.5], [1, 1, 1]), { state: { lstm: state } });
 * ```
 */
export type InitialState = Tensor | readonly Tensor[];

/** Arguments of a float module besides its inputs. */
export interface FloatCall {
  /** Steps of each batch row; null where all rows have all steps. */
  readonly lengths: ArrayLike<number> | null;
  /** Initial state, real numbers in torch's shapes; zeros by default. */
  readonly state?: InitialState | undefined;
}

/**
 * Source of a module's input qparams: its own observer, the module before, or none: float32 or
 * token ids.
 *
 * @example
 * ```ts
 * import { getPreset, Linear, prepare, Sequential, Tanh } from "@splitgate/splitgate";
 * import type { InputObserver } from "@splitgate/splitgate/modules";
 * const out = new Linear({ inFeatures: 1, outFeatures: 1 });
 * const observed = prepare(new Sequential({ out, tanh: new Tanh() }), getPreset("fbgemm"));
 * for (const [name, { input }] of observed.modules) {
 *   const by: InputObserver = input; // its own, the module's before it, or none in float32
 *   console.log(name, typeof by === "string" ? by : by.kind);
 * }
 * ```
 */
export type InputObserver = Observer | "previous" | "float";

/** Arguments of an observed module besides its inputs. */
export interface ObserveCall extends FloatCall {
  /** Rows of the inputs that are not padding; null where all are valid. */
  readonly rows: readonly number[] | null;
  /** Token id of each row, by input, for inputs that are rows of a table; null for others. */
  readonly tokens: readonly (Int32Array | null)[];
}

/**
 * Fields of all observed modules.
 *
 * @example
 * ```ts
 * import { getPreset, Linear, prepare, Sequential } from "@splitgate/splitgate";
 * import type { ObservedModule } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const out = new Linear({ inFeatures: 1, outFeatures: 1 });
 * const observed = prepare(new Sequential({ out }), getPreset("fbgemm"));
 * const module: ObservedModule = observed.modules.get("out")!;
 * assertEquals([module.kind, module.output?.kind], ["Linear", "HistogramObserver"]);
 * ```
 */
export interface ObservedModule {
  /** The kind's name. */
  readonly kind: string;
  /** The observers of its inputs. */
  readonly input: InputObserver;
  /** The observer of its output; null: the output stays float32. */
  readonly output: Observer | null;
  /** The QConfig that it was prepared with; null: it stays float32. */
  readonly qconfig: QConfig | null;
}

/** Arguments of `observe`. */
export interface ObserveContext {
  /** The module's name in its model. */
  readonly name: string;
  /** The QConfig; null: the module stays float32. */
  readonly qconfig: QConfig | null;
  /** The observer of each input; null: float32. */
  readonly inputs: readonly (Observer | null)[];
  /** Width of each input; null for token ids. */
  readonly sizes: readonly (number | null)[];
  /**
   * Number of rows of the table that feeds only this module's first input; null if there is none.
   */
  readonly tableRows: number | null;
  /** Whether the table is rounded together with the module's weights. */
  readonly tableRounded: boolean;
  /** Whether each gate has a Linear, an add and observers of its own. */
  readonly splitGates: boolean;
  /** The target that must support the parts; null for none. */
  readonly fit: BackendFit | null;
}

/** Arguments of `convert`. */
export interface ConvertContext {
  /** The module's name in its model. */
  readonly name: string;
  /** Parameters of each input as its producer gives it; null: float32. */
  readonly given: readonly (PerTensorQParams | null)[];
  /** Parameters in which the module reads its first input; null: float32. */
  readonly input: PerTensorQParams | null;
  /**
   * Input weights that have been rounded together with their table, one a direction; none
   * otherwise.
   */
  readonly inputWeights: readonly LinearWeight[];
}

/** A weight that multiplies rows of a table, and its calibration statistics. */
export interface TableProjection {
  /** float32 [outFeatures, width of a row] */
  readonly weight: Float32Array;
  /** The weight, each value rounded to the nearest integer. */
  readonly nearest: NearestWeight;
  /** Number of occurrences of each token: [tokens]. */
  readonly counts: Float64Array;
  /** Importance of each row of the weight for each token: [tokens, outFeatures]. */
  readonly weights: Float64Array;
}

/**
 * Plain data of a quantized module.
 *
 * @example
 * ```ts
 * import { LSTM, quantize } from "@splitgate/splitgate";
 * import type { QuantizedModule } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 1, hiddenSize: 2 });
 * const { model } = await quantize(lstm, [Float32Array.of(1, 2)]);
 * const modules: QuantizedModule[] = [...model.modules.values()];
 * assertEquals(modules.map(({ kind }) => kind), ["LSTM"]);
 * ```
 */
export interface QuantizedModule {
  /** The kind's name. */
  readonly kind: string;
}

/** Access to a kind's cells, for tuning their parts. */
export interface CellsOf<O, Q> {
  /** The parts of a cell. */
  parts(observed: O): readonly Part[];
  /**
   * The observers of a part's output, one a gate, in the layer and direction that PyTorch calls
   * `cell`, such as `l0_reverse`.
   */
  observers(observed: O, cell: string, part: string): readonly Observer[];
  /**
   * The module with other parameters for its parts.
   *
   * @param qparams Returns new parameters of a part's output, one a gate if `given` has several, or
   * `given` itself to keep them.
   */
  withQParams(
    quantized: Q,
    qparams: (
      cell: string,
      part: Part,
      given: readonly (PerTensorQParams | null)[],
    ) => readonly (PerTensorQParams | null)[],
  ): Q;
}

/** A kind of module: everything that the rest of the package needs to know about it. */
export interface Kind<
  F extends Module = Module,
  O extends ObservedModule = ObservedModule,
  Q extends QuantizedModule = QuantizedModule,
> {
  /** PyTorch's name, used in files and QConfigMappings. */
  readonly name: string;
  /** Its relation to time. */
  readonly time: TimeUse;
  /** Number of inputs; "many" for two or more. */
  readonly inputs: 1 | 2 | "many";
  /** Whether `forward` takes an initial state. */
  readonly hasState: boolean;
  /** Whether it has an integer weight, and so a rounding family. */
  readonly hasWeight: boolean;
  /** Whether it has a rounding family without a weight; false by default. */
  readonly hasFamily?: boolean;

  // Float.

  /**
   * Names of the options that do not follow from the shapes of its tensors: architecture files hold
   * them, as JSON values.
   */
  readonly options: readonly string[];
  /** These options of a module; by default its fields of the same names. */
  optionsOf?(module: F): Record<string, unknown>;
  /**
   * A module with initial weights. The shapes may come out of a hostile file: nothing larger than
   * the tensors is allocated before it is checked that they fit together.
   *
   * @param options Some of {@linkcode Kind.options} and no others, of any values.
   * @throws {TypeError | RangeError} If an option is wrong, or a tensor that determines a size is
   * missing or has another shape.
   */
  create(options: Readonly<Record<string, unknown>>, shapes: TensorShapes): F;
  /** Input width; null for token ids, undefined if any width is accepted. */
  inputSize(module: F): number | null | undefined;
  /**
   * Output width.
   *
   * @param inputs Width of each input; null for token ids.
   * @throws {RangeError} If it does not accept these.
   */
  outputSize(name: string, module: F, inputs: readonly (number | null)[]): number;
  /** Whether x and y are [batch, steps, ...]; null if the module works with either. */
  batchFirst(module: F): boolean | null;
  /**
   * Number of directions whose hidden states its output holds side by side, forward first, in the
   * float and the quantized form; absent if the output is no hidden state.
   */
  givesHidden?(module: F | Q): number;
  /** Number of directions whose hidden states it reads; absent if it reads any values. */
  readsHidden?(module: F | Q): number;
  /**
   * The window that it moves over time, which may change the number of steps; absent where a kind
   * has none.
   */
  window?(module: F | O | Q): Window;
  /** Runs it; the tensors are shaped as PyTorch's module takes them. */
  forward(module: F, inputs: readonly Value[], call: FloatCall): Tensor;

  // Observed.

  /**
   * Observers of its inner values by name, such as `l0.gates.forget`; absent if it has only those
   * of its input and output.
   */
  innerObservers?(observed: O): Iterable<readonly [name: string, observer: Observer]>;
  /** Parts of its cells that a QConfig can configure; none for most kinds. */
  parts(module: F): readonly Part[];
  /** Its cells, whose parts have observers of their own; absent where a kind has none. */
  readonly cells?: CellsOf<O, Q>;
  /** Makes the observed module; it may keep `module`, which is a copy. */
  observe(module: F, context: ObserveContext): O;
  /**
   * Throws whatever `forward` would throw, and runs the float module, before any observer has seen
   * a value.
   */
  check(observed: O, inputs: readonly Value[], call: FloatCall): Tensor;
  /** Runs it, showing each value to its observer. */
  watch(observed: O, inputs: readonly Value[], call: ObserveCall): Tensor;

  // Quantized.

  /**
   * Converts it to integers; if that takes long, as work with one unit for each rounded row of
   * weights.
   */
  convert(observed: O, context: ConvertContext): Q | Work<Q>;
  /** Units of work of `convert`; absent if there are none. */
  rowsToRound?(observed: O): number;
  /**
   * Its input weights, if they can be rounded together with the table that it reads; null if
   * calibration did not collect the statistics. Absent for kinds without input weights.
   */
  tableProjections?(name: string, observed: O): readonly TableProjection[] | null;
  /** The module with other input parameters, after its producer's have changed. */
  withInputs(quantized: Q, inputs: readonly (PerTensorQParams | null)[]): Q;
  /** Its inputs and outputs. */
  ends(quantized: Q): QuantizedEnds;
  /** Its data in a canonical order, for the model's fingerprint. */
  fingerprint(quantized: Q): Iterable<unknown>;

  // Lowered.

  /** Its running halves, for the programs that `lower` makes. */
  readonly running: readonly RunningKind<never>[];
  /** Precomputes data of a lowered module, for a program file; absent if there is none. */
  complete?(program: NodeProgram): NodeProgram;
  /** Lowers it to a node's program. */
  lower(name: string, quantized: Q): NodeProgram;
  /**
   * Bytes of the folded table for this number of tokens; null if this module cannot fold one.
   * Absent if the kind cannot.
   */
  foldedBytes?(quantized: Q, tokens: number): number | null;
  /**
   * Lowers it for token ids as input, which select rows of a table.
   *
   * @param rounded Whether rows are rounded to the module's input parameters, as its input is.
   */
  lowerTokens?(name: string, quantized: Q, table: EmbeddingTable, rounded: boolean): NodeProgram;

  // Reference.

  /** Operations of the reference graph that belong to this kind alone. */
  readonly ops: Readonly<Record<string, ReferenceOp>>;
  /** Adds its nodes to the reference graph and returns the value of its output. */
  reference(
    quantized: Q,
    name: string,
    inputs: readonly ReferenceValue[],
    builder: ReferenceBuilder,
  ): ReferenceValue;
  /**
   * The float weight that a node's integers were rounded from; absent if no operation of the kind
   * has one.
   */
  floatWeight?(observed: O, node: GraphNode): Float32Array;

  // Files.

  /** Writes its tensors and returns the fields of its JSON. */
  write(quantized: Q, file: ModuleWriter): Record<string, unknown>;
  /** Reads a module that `write` wrote; it treats every file as hostile. */
  read(file: ModuleReader): Q;
}

/** Input and output rows of a quantized module. */
export interface QuantizedEnds {
  /** Input width, or the number of token ids. */
  readonly inputs: readonly Port[];
  /** Number of token ids; absent if it reads values. */
  readonly tokens?: number;
  /** Its output. */
  readonly output: Port;
  /**
   * Whether a step needs steps that come later, so that only whole sequences can be run; false by
   * default.
   */
  readonly looksAhead?: boolean;
  /** Whether x and y are [batch, steps, ...]; null if it works with either. */
  readonly batchFirst: boolean | null;
}

/** A quantized tensor, or float32. */
export type ForwardTensor = QTensor<PerTensorQParams> | Tensor;

/** Fails because a module's input has the wrong width; null stands for token ids. */
export function failWidth(name: string, given: number | null, takes: number | null): never {
  const expected = given === null ? "token ids" : `the width ${given}`;
  return failRange(name, `a module that takes ${expected}`, takes ?? "token ids");
}
