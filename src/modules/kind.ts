/**
 * What a kind of module must say. Everything outside of a kind's own folder asks these questions
 * and never which kind it has before it: a new kind is a folder here, a file in `runtime/kinds/`,
 * and a line in each of the two lists (`kinds.ts` here, `kinds.ts` there). docs/adding-a-module.md
 * is the procedure.
 *
 * A kind has four forms, each made from the one before:
 * - **float**: PyTorch's module, float32.
 * - **observed**: the float module with observers on what is to become integers.
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
 * What a module does with time: "row" treats every row of values by itself; "sequence" reads one
 * step after the other and gives as many; "end" reads a sequence and gives one row for it.
 */
export type TimeUse = "row" | "sequence" | "end";

/** A value of a model: a float32 tensor, or token ids. */
export type Value = Tensor | TokenTensor;

/** An initial state as a module's own `forward` takes it: h, or h and c of an LSTM. */
export type InitialState = Tensor | readonly Tensor[];

/** What a float module is run with, besides its inputs. */
export interface FloatCall {
  /** Steps of each batch row; null where all have all. */
  readonly lengths: ArrayLike<number> | null;
  /** Initial state, real numbers in torch's shapes; zeros by default. */
  readonly state?: InitialState | undefined;
}

/**
 * Source of a module's input qparams: its own observer, the module before, or none: float32 or
 * token ids.
 */
export type InputObserver = Observer | "previous" | "float";

/** What an observed module is run with, besides its inputs. */
export interface ObserveCall extends FloatCall {
  /** Rows of the inputs that are no padding; null where all are none. */
  readonly rows: readonly number[] | null;
  /** Token of each row, by input, where a table of rows gave it; null elsewhere. */
  readonly tokens: readonly (Int32Array | null)[];
}

/** What a module with observers has in common with all others. */
export interface ObservedModule {
  /** The kind's name. */
  readonly kind: string;
  /** What observes its inputs. */
  readonly input: InputObserver;
  /** What observes its output; null: the output stays float32. */
  readonly output: Observer | null;
  /** The QConfig that it was prepared with; null: it stays float32. */
  readonly qconfig: QConfig | null;
}

/** What is known when a module gets its observers. */
export interface ObserveContext {
  /** The module's name in its model. */
  readonly name: string;
  /** null: the module stays float32. */
  readonly qconfig: QConfig | null;
  /** What observes each value that comes in; null: float32. */
  readonly inputs: readonly (Observer | null)[];
  /** Values a row of each input; null for token ids. */
  readonly sizes: readonly (number | null)[];
  /** Rows of the table that the first input, and nothing else, is read from; null elsewhere. */
  readonly tableRows: number | null;
  /** Whether these are rounded together with the module's weights. */
  readonly tableRounded: boolean;
  /** Whether each gate has a Linear, an add and observers of its own. */
  readonly splitGates: boolean;
  /** The target that parts are held to; null for none. */
  readonly fit: BackendFit | null;
}

/** What is known when an observed module becomes integers. */
export interface ConvertContext {
  /** The module's name in its model. */
  readonly name: string;
  /** Parameters of each value that comes in, as its producer gives it; null: float32. */
  readonly given: readonly (PerTensorQParams | null)[];
  /** Parameters that the module takes its first input in; null: float32. */
  readonly input: PerTensorQParams | null;
  /**
   * Input weights that are rounded already, together with the table that they multiply, one a
   * direction; or none.
   */
  readonly inputWeights: readonly LinearWeight[];
}

/** A weight that multiplies rows of a table, and what calibration data tells about it. */
export interface TableProjection {
  /** float32 [outFeatures, width of a row] */
  readonly weight: Float32Array;
  /** The same, each value rounded to the nearest integer. */
  readonly nearest: NearestWeight;
  /** How often each token came: [tokens]. */
  readonly counts: Float64Array;
  /** How much each row of the weight mattered then: [tokens, outFeatures]. */
  readonly weights: Float64Array;
}

/** Plain data of a module of integers. */
export interface QuantizedModule {
  /** The kind's name. */
  readonly kind: string;
}

/** What a kind says of its cells, by whose parts a model can be tuned. */
export interface CellsOf<O, Q> {
  /** The parts of a cell. */
  parts(observed: O): readonly Part[];
  /**
   * The observers of a part's output, one a gate; of the layer and direction that PyTorch calls
   * `cell`: `l0_reverse`.
   */
  observers(observed: O, cell: string, part: string): readonly Observer[];
  /**
   * The module with other parameters of its parts.
   *
   * @param qparams Parameters of a part's output, one a gate where `given` has several; `given`
   * where they stay.
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

/** Everything that the rest of the package asks of a kind of module. */
export interface Kind<
  F extends Module = Module,
  O extends ObservedModule = ObservedModule,
  Q extends QuantizedModule = QuantizedModule,
> {
  /** PyTorch's name; what files and QConfigMappings call it. */
  readonly name: string;
  /** What it does with time. */
  readonly time: TimeUse;
  /** How many values it reads; "many" for two or more. */
  readonly inputs: 1 | 2 | "many";
  /** Whether `forward` takes an initial state. */
  readonly hasState: boolean;
  /** Whether it has a weight of integers, and so a rounding family. */
  readonly hasWeight: boolean;
  /** Whether it has a rounding family without a weight; false by default. */
  readonly hasFamily?: boolean;

  // Float.

  /**
   * Names of the options that the shapes of its tensors do not tell, and so stand in an
   * architecture file: values of JSON.
   */
  readonly options: readonly string[];
  /** Those of a module; by default its fields of these names. */
  optionsOf?(module: F): Record<string, unknown>;
  /**
   * A module with initial weights. The shapes may come out of a hostile file: nothing larger than
   * the tensors is allocated before it is checked that they fit together.
   *
   * @param options Some of {@linkcode Kind.options} and no others, of any values.
   * @throws {TypeError | RangeError} If an option is wrong, or a tensor that tells a size is
   * missing or of another shape.
   */
  create(options: Readonly<Record<string, unknown>>, shapes: TensorShapes): F;
  /** Values a row that it reads; null for token ids, undefined where any width will do. */
  inputSize(module: F): number | null | undefined;
  /**
   * Values a row that it gives.
   *
   * @param inputs Values a row of each input; null for token ids.
   * @throws {RangeError} If it does not take these.
   */
  outputSize(name: string, module: F, inputs: readonly (number | null)[]): number;
  /** Whether x and y are [batch, steps, ...]; null where the module does not care. */
  batchFirst(module: F): boolean | null;
  /**
   * Of how many directions, forward first, its output holds the hidden states side by side, in its
   * float form and its quantized one; absent where the output is none.
   */
  givesHidden?(module: F | Q): number;
  /** Of how many directions it reads hidden states; absent where it reads any values. */
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
   * Observers of what is inside of it, by the name of the value: `l0.gates.forget`; absent where
   * there are none but those of its input and its output.
   */
  innerObservers?(observed: O): Iterable<readonly [name: string, observer: Observer]>;
  /** Parts of its cells that a QConfig can configure; none for most kinds. */
  parts(module: F): readonly Part[];
  /** Its cells, whose parts have observers of their own; absent where a kind has none. */
  readonly cells?: CellsOf<O, Q>;
  /** Gives it observers; `module` is a copy that the observed module may keep. */
  observe(module: F, context: ObserveContext): O;
  /**
   * Refuses what `forward` would refuse, and runs the float module, before any observer has seen a
   * value.
   */
  check(observed: O, inputs: readonly Value[], call: FloatCall): Tensor;
  /** Runs it and shows each value to its observer. */
  watch(observed: O, inputs: readonly Value[], call: ObserveCall): Tensor;

  // Quantized.

  /**
   * To integers; where that takes long, as work whose units are the rows of weights that are
   * rounded.
   */
  convert(observed: O, context: ConvertContext): Q | Work<Q>;
  /** How many units of work `convert` is; absent where it is none. */
  rowsToRound?(observed: O): number;
  /**
   * Its input weights, where they can be rounded together with the table whose rows it reads; null
   * where calibration did not look at them so. Absent where a kind has none.
   */
  tableProjections?(name: string, observed: O): readonly TableProjection[] | null;
  /** The module for inputs in other parameters, where what it reads has changed its own. */
  withInputs(quantized: Q, inputs: readonly (PerTensorQParams | null)[]): Q;
  /** What goes in and out. */
  ends(quantized: Q): QuantizedEnds;
  /** Its data in a canonical order, for the model's fingerprint. */
  fingerprint(quantized: Q): Iterable<unknown>;

  // Lowered.

  /** Its running halves: what `lower` may give. */
  readonly running: readonly RunningKind<never>[];
  /**
   * Fills in what can be known of a lowered module beforehand, for a program file; absent where
   * there is nothing.
   */
  complete?(program: NodeProgram): NodeProgram;
  /** To a node of a program. */
  lower(name: string, quantized: Q): NodeProgram;
  /**
   * Bytes of the table that rows of so many tokens fold into; null where this one cannot fold any.
   * Absent where the kind cannot.
   */
  foldedBytes?(quantized: Q, tokens: number): number | null;
  /**
   * Lowered for token ids as input, each standing for a row of a table.
   *
   * @param rounded Whether rows are rounded to the module's input parameters, as its input is.
   */
  lowerTokens?(name: string, quantized: Q, table: EmbeddingTable, rounded: boolean): NodeProgram;

  // Reference.

  /** Operations of the reference graph that only this kind has. */
  readonly ops: Readonly<Record<string, ReferenceOp>>;
  /** Adds its nodes to the reference graph and gives the value of its output. */
  reference(
    quantized: Q,
    name: string,
    inputs: readonly ReferenceValue[],
    builder: ReferenceBuilder,
  ): ReferenceValue;
  /**
   * The float weight that a node's integers came from; absent where no operation of the kind has
   * one.
   */
  floatWeight?(observed: O, node: GraphNode): Float32Array;

  // Files.

  /** Writes its tensors and gives the fields of its JSON. */
  write(quantized: Q, file: ModuleWriter): Record<string, unknown>;
  /** Reads what `write` wrote; the reader treats every file as hostile. */
  read(file: ModuleReader): Q;
}

/** What a quantized module takes and gives, a row. */
export interface QuantizedEnds {
  /** Values in, or the number of token ids that there are. */
  readonly inputs: readonly Port[];
  /** Number of token ids that its input can be; absent where it reads values. */
  readonly tokens?: number;
  /** What comes out. */
  readonly output: Port;
  /**
   * Whether a step needs steps that come later, so that only whole sequences can be run; false by
   * default.
   */
  readonly looksAhead?: boolean;
  /** Whether it takes and gives [batch, steps, ...]; null where it does not care. */
  readonly batchFirst: boolean | null;
}

/** A quantized tensor, or float32. */
export type ForwardTensor = QTensor<PerTensorQParams> | Tensor;

/** Refuses a module that takes other values than it is given; null stands for token ids. */
export function failWidth(name: string, given: number | null, takes: number | null): never {
  const expected = given === null ? "token ids" : `the width ${given}`;
  return failRange(name, `a module that takes ${expected}`, takes ?? "token ids");
}
