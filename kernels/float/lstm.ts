/**
 * One LSTM step in float32. Each operation is rounded like the separate parts of the cell.
 *
 * @module
 */
import type { HardSigmoid } from "../numeric/float_functions.ts";
import {
  type FloatFunction,
  type FloatKernels,
  type FloatLinear,
  plainKernels,
} from "./kernels.ts";

/**
 * Activation of the input, forget and output gates. `"hardSigmoid"` is that of PyTorch and Keras 3,
 * clip(x / 6 + 0.5, 0, 1); that of Keras 2 (and the default of ONNX's HardSigmoid) has slope 0.2
 * and offset 0.5.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import type { GateActivation } from "@splitgate/splitgate/modules";
 * const keras2: GateActivation = { name: "hardSigmoid", slope: 0.2, offset: 0.5 };
 * new LSTM({ inputSize: 2, hiddenSize: 3, gateActivation: keras2 });
 * ```
 */
export type GateActivation = "sigmoid" | "hardSigmoid" | HardSigmoid;

/**
 * Activation of the cell gate or of the cell state.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import type { CellActivation } from "@splitgate/splitgate/modules";
 * const activation: CellActivation = "relu"; // Keras's activation="relu"
 * new LSTM({ inputSize: 2, hiddenSize: 3, activation, cellActivation: activation });
 * ```
 */
export type CellActivation = "tanh" | "relu" | "sigmoid" | "linear";

/**
 * The activations of a cell.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import type { CellFunctions } from "@splitgate/splitgate/modules";
 * const pytorch: CellFunctions = {
 *   gateActivation: "sigmoid",
 *   activation: "tanh", // of the candidate
 *   cellActivation: "tanh", // of the cell state
 * };
 * new LSTM({ inputSize: 2, hiddenSize: 3, ...pytorch });
 * ```
 */
export interface CellFunctions {
  /** Activation of the input, forget and output gates: ONNX's f, Keras' recurrent_activation. */
  readonly gateActivation: GateActivation;
  /** Activation of the cell gate, the input of the cell state: ONNX's g, Keras' activation. */
  readonly activation: CellActivation;
  /** Activation of the cell state for the hidden state: ONNX's h, Keras' activation. */
  readonly cellActivation: CellActivation;
}

/**
 * The activations of torch.nn.LSTM.
 *
 * @example
 * ```ts
 * import { LSTM_FUNCTIONS } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(Object.values(LSTM_FUNCTIONS), ["sigmoid", "tanh", "tanh"]);
 * ```
 */
export const LSTM_FUNCTIONS: CellFunctions = {
  gateActivation: "sigmoid",
  activation: "tanh",
  cellActivation: "tanh",
};

/** A cell's activations, applied to ranges of values. */
export interface FloatCellFunctions {
  /** Activation of the input, forget and output gates. */
  readonly gate: FloatFunction;
  /** Activation of the cell gate. */
  readonly candidate: FloatFunction;
  /** Activation of the cell state. */
  readonly cell: FloatFunction;
}

/**
 * A cell's activations as callable functions.
 *
 * @example
 * ```ts
 * import { floatCellFunctions, LSTM_FUNCTIONS } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const { gate, candidate } = floatCellFunctions({ ...LSTM_FUNCTIONS, activation: "relu" });
 * const values = Float32Array.of(0, -1);
 * gate(values, 0, 1);
 * candidate(values, 1, 2);
 * assertEquals([...values], [0.5, 0]);
 * ```
 */
export function floatCellFunctions(
  functions: CellFunctions,
  kernels: Pick<FloatKernels, "activation"> = plainKernels,
): FloatCellFunctions {
  return {
    gate: kernels.activation(functions.gateActivation),
    candidate: kernels.activation(functions.activation),
    cell: kernels.activation(functions.cellActivation),
  };
}

const FLOAT_LSTM_FUNCTIONS = /* @__PURE__ */ floatCellFunctions(LSTM_FUNCTIONS);

/**
 * The float32 tensors of one LSTM cell. The order of the gates' rows is input, forget, cell,
 * output.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import type { LSTMCellWeights } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const { cells } = new LSTM({ inputSize: 2, hiddenSize: 3, bias: false });
 * const weights: LSTMCellWeights = cells[0]![0]!; // of layer 0, forward
 * assertEquals([weights.weightIh.length, weights.biasIh], [4 * 3 * 2, null]);
 * ```
 */
export interface LSTMCellWeights {
  /** [4 * hiddenSize, inputSize] */
  readonly weightIh: Float32Array;
  /** [4 * hiddenSize, projSize or else hiddenSize] */
  readonly weightHh: Float32Array;
  /** [4 * hiddenSize], or null. */
  readonly biasIh: Float32Array | null;
  /** [4 * hiddenSize], or null. */
  readonly biasHh: Float32Array | null;
}

/**
 * The float32 tensors of one layer and direction of an LSTM.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import type { LSTMWeights } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const { cells } = new LSTM({ inputSize: 2, hiddenSize: 6, projSize: 3 });
 * const weights: LSTMWeights = cells[0]![0]!;
 * assertEquals(weights.weightHr!.length, 3 * 6); // [projected, units]
 * ```
 */
export interface LSTMWeights extends LSTMCellWeights {
  /** [projSize, hiddenSize], or null if the hidden state is not projected. */
  readonly weightHr: Float32Array | null;
}

/** A cell that {@linkcode lstmStepFloat32} runs. */
export interface FloatLSTMCell {
  readonly hiddenSize: number;
  readonly functions: FloatCellFunctions;
  /** The four gates, [4 * hiddenSize]. */
  readonly gates: Float32Array;
  /**
   * [hiddenSize]: the activation of the cell state, then the hidden state before its projection.
   */
  readonly hidden: Float32Array;
}

/**
 * Creates a cell with its own scratch arrays. One cell serves any number of layers of its size in
 * turn.
 *
 * @example
 * ```ts
 * import { floatLSTMCell } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const { gates, hidden } = floatLSTMCell(3);
 * assertEquals([gates.length, hidden.length], [12, 3]);
 * ```
 */
export function floatLSTMCell(
  hiddenSize: number,
  functions: FloatCellFunctions = FLOAT_LSTM_FUNCTIONS,
): FloatLSTMCell {
  return {
    hiddenSize,
    functions,
    gates: new Float32Array(4 * hiddenSize),
    hidden: new Float32Array(hiddenSize),
  };
}

/** The linear operators of a cell. */
export interface LSTMLinears {
  /** W_ih x + b_ih */
  readonly ih: FloatLinear;
  /** W_hh h + b_hh */
  readonly hh: FloatLinear;
  /** W_hr h; null if the hidden state is not projected. */
  readonly hr: FloatLinear | null;
}

/**
 * Creates the linear operators of a cell.
 *
 * @example
 * ```ts
 * import { lstmLinears } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(4);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null, weightHr: null };
 * assertEquals(lstmLinears(weights, 1, 1).hr, null);
 * ```
 */
export function lstmLinears(
  { weightIh, weightHh, biasIh, biasHh, weightHr }: LSTMWeights,
  inputSize: number,
  hiddenSize: number,
  { linear }: Pick<FloatKernels, "linear"> = plainKernels,
): LSTMLinears {
  const gates = 4 * hiddenSize;
  const width = weightHh.length / gates;
  const project = { bias: null, inFeatures: hiddenSize, outFeatures: width };
  return {
    ih: linear({ weight: weightIh, bias: biasIh, inFeatures: inputSize, outFeatures: gates }),
    hh: linear({ weight: weightHh, bias: biasHh, inFeatures: width, outFeatures: gates }),
    hr: weightHr === null ? null : linear({ weight: weightHr, ...project }),
  };
}

/**
 * One step of one batch row of torch.nn.LSTM: i, f, o = sigmoid, g = tanh of W_ih x + b_ih + W_hh h
 * + b_hh; c = f c + i g; h = o tanh(c), projected by W_hr if there is one. The result of every
 * operation is rounded to float32. A cell may have other activations.
 *
 * @param igates W_ih x + b_ih; [4 * hiddenSize] at `offset`.
 * @param states The hidden state [projSize or hiddenSize] and the cell state [hiddenSize], updated
 * in place.
 *
 * @example
 * ```ts
 * import { floatLSTMCell, lstmLinears, lstmStepFloat32 } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(4);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null, weightHr: null };
 * const h = Float32Array.of(0), c = Float32Array.of(8);
 * lstmStepFloat32(floatLSTMCell(1), lstmLinears(weights, 1, 1), zeros, 0, [h, c]);
 * assertEquals(c[0], 4);
 * ```
 */
export function lstmStepFloat32(
  cell: FloatLSTMCell,
  { hh, hr }: Pick<LSTMLinears, "hh" | "hr">,
  igates: Float32Array,
  offset: number,
  states: readonly Float32Array[],
): void {
  const { gates, hidden } = cell;
  const h = states[0]!;
  const c = states[1]!;
  hh(h, 0, gates, 0);
  addGates(igates, offset, gates, 0, gates);
  finishStepFloat32(cell, c, hr === null ? h : hidden, 0);
  hr?.(hidden, 0, h, 0);
}

/**
 * Computes the inputs of a cell's activations: the sums of both projections, each rounded to
 * float32.
 *
 * @param igates W_ih x + b_ih; [out.length] at `inputOffset`.
 * @param hgates W_hh h + b_hh; [out.length] at `hiddenOffset`; may be `out`, at 0.
 *
 * @example
 * ```ts
 * import { addGates } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(1);
 * addGates(Float32Array.of(9, 1), 1, Float32Array.of(2), 0, out);
 * assertEquals(out[0], 3);
 * ```
 */
export function addGates(
  igates: Float32Array,
  inputOffset: number,
  hgates: Float32Array,
  hiddenOffset: number,
  out: Float32Array,
): void {
  for (let i = 0; i < out.length; i++) {
    out[i] = igates[inputOffset + i]! + hgates[hiddenOffset + i]!;
  }
}

/**
 * Finishes a step of one batch row after the sums of both projections are in the cell's `gates`:
 * gates, cell state, hidden state, each operation rounded to float32.
 *
 * @param c The cell state [hiddenSize] at `offset`, updated in place.
 * @param out Receives the hidden state [hiddenSize] at `offset`.
 *
 * @example
 * ```ts
 * import { finishStepFloat32, floatLSTMCell } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const c = Float32Array.of(8), h = new Float32Array(1);
 * finishStepFloat32(floatLSTMCell(1), c, h, 0);
 * assertEquals(c[0], 4);
 * ```
 */
export function finishStepFloat32(
  { hiddenSize, functions, gates, hidden }: FloatLSTMCell,
  c: Float32Array | Float64Array,
  out: Float32Array | Float64Array,
  offset: number,
): void {
  const f = hiddenSize;
  const g = 2 * hiddenSize;
  const o = 3 * hiddenSize;
  functions.gate(gates, 0, g);
  functions.candidate(gates, g, o);
  functions.gate(gates, o, 4 * hiddenSize);
  for (let j = 0; j < hiddenSize; j++) {
    const remembered = Math.fround(gates[f + j]! * c[offset + j]!);
    const state = Math.fround(remembered + Math.fround(gates[j]! * gates[g + j]!));
    c[offset + j] = state;
    hidden[j] = state;
  }
  functions.cell(hidden, 0, hiddenSize);
  for (let j = 0; j < hiddenSize; j++) {
    out[offset + j] = Math.fround(gates[o + j]! * hidden[j]!);
  }
}
