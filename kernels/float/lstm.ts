/**
 * One LSTM step in float32, each operation rounded as where the cell's parts run one by one.
 *
 * @module
 */
import { floatFunction, type HardSigmoid } from "../numeric/float_functions.ts";
import { type FloatLinear, type LinearMaker, plainLinear } from "./linears.ts";

/**
 * Functions of the input, forget and output gate. `"hardSigmoid"` is PyTorch's and Keras 3's,
 * clip(x / 6 + 0.5, 0, 1); Keras 2's (and ONNX's HardSigmoid by default) is slope 0.2, offset 0.5.
 */
export type GateActivation = "sigmoid" | "hardSigmoid" | HardSigmoid;

/** Functions of the cell gate and of the cell state. */
export type CellActivation = "tanh" | "relu" | "sigmoid" | "linear";

/** Which functions a cell has. */
export interface CellFunctions {
  /** Of the input, forget and output gate: ONNX's f, Keras' recurrent_activation. */
  readonly gateActivation: GateActivation;
  /** Of the cell gate, which is what enters the cell state: ONNX's g, Keras' activation. */
  readonly activation: CellActivation;
  /** Of the cell state on its way to the hidden state: ONNX's h, Keras' activation. */
  readonly cellActivation: CellActivation;
}

/**
 * torch.nn.LSTM's functions.
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

/** What a cell's functions compute: float32 values of float32 values. */
export interface FloatCellFunctions {
  /** Of the input, forget and output gate. */
  readonly gate: (x: number) => number;
  /** Of the cell gate. */
  readonly candidate: (x: number) => number;
  /** Of the cell state. */
  readonly cell: (x: number) => number;
}

/**
 * A cell's functions, to be called.
 *
 * @example
 * ```ts
 * import { floatCellFunctions, LSTM_FUNCTIONS } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const { gate, candidate } = floatCellFunctions({ ...LSTM_FUNCTIONS, activation: "relu" });
 * assertEquals([gate(0), candidate(-1)], [0.5, 0]);
 * ```
 */
export function floatCellFunctions(functions: CellFunctions): FloatCellFunctions {
  return {
    gate: floatFunction(functions.gateActivation),
    candidate: floatFunction(functions.activation),
    cell: floatFunction(functions.cellActivation),
  };
}

const FLOAT_LSTM_FUNCTIONS = /* @__PURE__ */ floatCellFunctions(LSTM_FUNCTIONS);

/**
 * The float32 tensors of one LSTM cell; the rows of the four gates lie in the order input, forget,
 * cell, output.
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

/** The float32 tensors of one layer and direction of an LSTM. */
export interface LSTMWeights extends LSTMCellWeights {
  /** [projSize, hiddenSize], or null where the hidden state is not projected. */
  readonly weightHr: Float32Array | null;
}

/** What {@linkcode lstmStepFloat32} writes in between. */
export interface FloatLSTMScratch {
  /** [4 * hiddenSize] */
  readonly hgates: Float32Array;
  /** [hiddenSize], the hidden state before its projection. */
  readonly hidden: Float32Array;
}

/**
 * Scratch for cells of `hiddenSize`; one serves any number of cells, one after the other.
 *
 * @example
 * ```ts
 * import { floatLSTMScratch } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const { hgates, hidden } = floatLSTMScratch(3);
 * assertEquals([hgates.length, hidden.length], [12, 3]);
 * ```
 */
export function floatLSTMScratch(hiddenSize: number): FloatLSTMScratch {
  return {
    hgates: new Float32Array(4 * hiddenSize),
    hidden: new Float32Array(hiddenSize),
  };
}

/** The linear operators of a cell. */
export interface LSTMLinears {
  /** W_ih x + b_ih */
  readonly ih: FloatLinear;
  /** W_hh h + b_hh */
  readonly hh: FloatLinear;
  /** W_hr h; null where the hidden state is not projected. */
  readonly hr: FloatLinear | null;
}

/**
 * Makes the linear operators of a cell.
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
  make: LinearMaker = plainLinear,
): LSTMLinears {
  const gates = 4 * hiddenSize;
  const width = weightHh.length / gates;
  return {
    ih: make(weightIh, biasIh, inputSize, gates),
    hh: make(weightHh, biasHh, width, gates),
    hr: weightHr === null ? null : make(weightHr, null, hiddenSize, width),
  };
}

/**
 * One step of one batch row of torch.nn.LSTM: i, f, o = sigmoid, g = tanh of W_ih x + b_ih + W_hh h
 * + b_hh; c = f c + i g; h = o tanh(c), projected by W_hr if there is one. Every operation's result
 * is rounded to float32. Other functions take the places of sigmoid and tanh where they are given.
 *
 * @param igates W_ih x + b_ih; [4 * hiddenSize] at `offset`.
 * @param h The hidden state [projSize or hiddenSize], replaced.
 * @param c The cell state [hiddenSize], replaced.
 *
 * @example
 * ```ts
 * import { floatLSTMScratch, lstmLinears, lstmStepFloat32 } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(4);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null, weightHr: null };
 * const igates = new Float32Array(4), h = Float32Array.of(0), c = Float32Array.of(8);
 * lstmStepFloat32(lstmLinears(weights, 1, 1), 1, igates, 0, h, c, floatLSTMScratch(1));
 * assertEquals(c[0], 4);
 * ```
 */
export function lstmStepFloat32(
  { hh, hr }: Pick<LSTMLinears, "hh" | "hr">,
  hiddenSize: number,
  igates: Float32Array,
  offset: number,
  h: Float32Array,
  c: Float32Array,
  scratch: FloatLSTMScratch,
  functions: FloatCellFunctions = FLOAT_LSTM_FUNCTIONS,
): void {
  const { hgates, hidden } = scratch;
  hh(h, 0, hgates, 0);
  const out = hr === null ? h : hidden;
  finishStepFloat32(igates, offset, hgates, 0, hiddenSize, c, 0, out, 0, functions);
  hr?.(hidden, 0, h, 0);
}

/**
 * The rest of a step of one batch row once both projections are there: gates, cell state, hidden
 * state, each operation rounded to float32.
 *
 * @param igates W_ih x + b_ih; [4 * hiddenSize] at `inputOffset`.
 * @param hgates W_hh h + b_hh; [4 * hiddenSize] at `hiddenOffset`.
 * @param c The cell state [hiddenSize] at `cellOffset`, replaced.
 * @param out Receives the hidden state [hiddenSize] at `outOffset`.
 *
 * @example
 * ```ts
 * import { finishStepFloat32 } from "./lstm.ts";
 * import { assertEquals } from "@std/assert";
 * const gates = new Float32Array(4), c = Float32Array.of(8), h = new Float32Array(1);
 * finishStepFloat32(gates, 0, gates, 0, 1, c, 0, h, 0);
 * assertEquals(c[0], 4);
 * ```
 */
export function finishStepFloat32(
  igates: Float32Array,
  inputOffset: number,
  hgates: Float32Array,
  hiddenOffset: number,
  hiddenSize: number,
  c: Float32Array | Float64Array,
  cellOffset: number,
  out: Float32Array | Float64Array,
  outOffset: number,
  functions: FloatCellFunctions = FLOAT_LSTM_FUNCTIONS,
): void {
  const { gate, candidate, cell } = functions;
  for (let j = 0, i = inputOffset, h = hiddenOffset; j < hiddenSize; j++, i++, h++) {
    const f = hiddenSize;
    const g = 2 * hiddenSize;
    const o = 3 * hiddenSize;
    const inputGate = gate(Math.fround(igates[i]! + hgates[h]!));
    const forgetGate = gate(Math.fround(igates[i + f]! + hgates[h + f]!));
    const cellGate = candidate(Math.fround(igates[i + g]! + hgates[h + g]!));
    const outputGate = gate(Math.fround(igates[i + o]! + hgates[h + o]!));
    const state = Math.fround(
      Math.fround(forgetGate * c[cellOffset + j]!) + Math.fround(inputGate * cellGate),
    );
    c[cellOffset + j] = state;
    out[outOffset + j] = Math.fround(outputGate * cell(state));
  }
}
