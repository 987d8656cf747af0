/**
 * A quantized LSTM as plain data.
 *
 * @module
 */
import type { CellFunctions } from "../../../kernels/float/lstm.ts";
import type { Engine } from "../../../kernels/ops/linear.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { Port } from "../../runtime/kind.ts";
import type { QuantizedModule, TokenRows } from "../kind.ts";
import { hiddenQParams, IMPLICIT_STATE, type QuantizedLSTMCell } from "./cell.ts";

/** An LSTM of integers: int8 weights, and qparams of its own for every part of every cell. */
export interface LSTMModule extends QuantizedModule, CellFunctions {
  /** Tells modules apart. */
  readonly kind: "LSTM";
  /** Width of a step of the input. */
  readonly inputSize: number;
  /** Width of the cell state, and of the hidden state unless projSize narrows it. */
  readonly hiddenSize: number;
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
  /** Layers above each other. */
  readonly numLayers: number;
  /** Whether cells have biases. */
  readonly bias: boolean;
  /** Whether `forward` and sessions take and give [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Whether each layer has a backward direction: then it runs whole sequences only. */
  readonly bidirectional: boolean;
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Whether it runs with split gates where nothing else is said. The results are the same. */
  readonly splitGates: boolean;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /**
   * Whether an implicit initial state has scale 1 and zero point 0 and final states the first
   * cell's parameters, as in torch, or all states those of their own cell.
   */
  readonly torchInitialState: boolean;
  /**
   * Parameters that `forward` quantizes a float32 initial h and c with; null for those of each
   * cell's own state. Absent where both are.
   */
  readonly stateInput?: readonly [h: PerTensorQParams | null, c: PerTensorQParams | null];
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly QuantizedLSTMCell[])[];
  /**
   * Whether inputs and hidden states are quantized at each call, by their own range. All parts are
   * null then.
   */
  readonly dynamic?: boolean;
}

/** Width of an LSTM's hidden state. */
export function stateSize({ hiddenSize, projSize }: LSTMModule): number {
  return projSize || hiddenSize;
}

/** An LSTM, and what it is to be lowered for. */
export interface LSTMSource {
  /** The LSTM. */
  readonly module: LSTMModule;
  /** Parameters of the input; null where it is float32. */
  readonly input: PerTensorQParams | null;
  /** Rows to fold into the first layer: its input is then token ids. */
  readonly tokens: TokenRows | null;
  /**
   * Parameters of h and c at a row's first step, null for those of the running state; undefined for
   * what the LSTM says of an implicit initial state.
   */
  readonly initial?: readonly [PerTensorQParams | null, PerTensorQParams | null] | undefined;
}

/** The parameters that a cell's state has at a row's first step. */
export function initialQParams(
  { module, initial }: Pick<LSTMSource, "module" | "initial">,
  cell: QuantizedLSTMCell,
): [PerTensorQParams | null, PerTensorQParams | null] {
  const [h, c] = initial ??
    (module.torchInitialState ? [IMPLICIT_STATE, IMPLICIT_STATE] : [null, null]);
  return [h ?? hiddenQParams(cell), c ?? cell.parts.fgate_cx_igate_cgate];
}

/** What goes in and out of an LSTM. */
export function lstmEnds(module: LSTMModule): { inputs: readonly Port[]; output: Port } {
  const { inputSize, input, cells } = module;
  const last = cells[cells.length - 1]!;
  return {
    inputs: [{ size: inputSize, qparams: input }],
    output: { size: stateSize(module) * last.length, qparams: hiddenQParams(last[0]!) },
  };
}
