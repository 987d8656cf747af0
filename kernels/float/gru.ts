/**
 * One GRU step in float32, each operation rounded as where the cell's parts run one by one.
 *
 * @module
 */
import { floatFunction } from "../numeric/float_functions.ts";
import { linearFloat32 } from "./linear.ts";
import type { CellActivation, GateActivation } from "./lstm.ts";

/** What GRUs of different origin compute differently. */
export interface GRUConventions {
  /** Function of the reset and update gate: ONNX's f, Keras' recurrent_activation. */
  readonly gateActivation: GateActivation;
  /** Function of the new gate: ONNX's g, Keras' activation. */
  readonly activation: CellActivation;
  /**
   * Whether the reset gate multiplies W_hn h + b_hn, as in PyTorch (ONNX's linear_before_reset 1,
   * Keras' reset_after), or h itself before it is multiplied with W_hn.
   */
  readonly resetAfter: boolean;
  /**
   * Whether the update gate says how much of the new gate enters, h' = (1 - z) h + z n; in PyTorch,
   * Keras and ONNX it says how much of the state stays, h' = (1 - z) n + z h.
   */
  readonly complementedUpdate: boolean;
}

/**
 * torch.nn.GRU's conventions.
 *
 * @example
 * ```ts
 * import { GRU_CONVENTIONS } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(Object.values(GRU_CONVENTIONS), ["sigmoid", "tanh", true, false]);
 * ```
 */
export const GRU_CONVENTIONS: GRUConventions = {
  gateActivation: "sigmoid",
  activation: "tanh",
  resetAfter: true,
  complementedUpdate: false,
};

/** What a cell's functions compute: float32 values of float32 values. */
export interface FloatGRUFunctions {
  /** Of the reset and update gate. */
  readonly gate: (x: number) => number;
  /** Of the new gate. */
  readonly candidate: (x: number) => number;
}

/**
 * A cell's functions, to be called.
 *
 * @example
 * ```ts
 * import { floatGRUFunctions, GRU_CONVENTIONS } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const { gate, candidate } = floatGRUFunctions({ ...GRU_CONVENTIONS, activation: "relu" });
 * assertEquals([gate(0), candidate(-1)], [0.5, 0]);
 * ```
 */
export function floatGRUFunctions(
  { gateActivation, activation }: Pick<GRUConventions, "gateActivation" | "activation">,
): FloatGRUFunctions {
  return { gate: floatFunction(gateActivation), candidate: floatFunction(activation) };
}

/**
 * The float32 tensors of one layer and direction of a GRU; the rows of the three gates lie in the
 * order reset, update, new.
 */
export interface GRUWeights {
  /** [3 * hiddenSize, inputSize] */
  readonly weightIh: Float32Array;
  /** [3 * hiddenSize, hiddenSize] */
  readonly weightHh: Float32Array;
  /** [3 * hiddenSize], or null. */
  readonly biasIh: Float32Array | null;
  /** [3 * hiddenSize], or null. */
  readonly biasHh: Float32Array | null;
}

/** A cell that {@linkcode gruStepFloat32} runs. */
export interface FloatGRUCell {
  readonly hiddenSize: number;
  readonly resetAfter: boolean;
  readonly complementedUpdate: boolean;
  readonly functions: FloatGRUFunctions;
  /** W_ih x + b_ih and W_hh h + b_hh, [3 * hiddenSize] each, and the reset gate times h. */
  readonly scratch: {
    readonly igates: Float32Array;
    readonly hgates: Float32Array;
    readonly reset: Float32Array;
  };
}

/**
 * A cell of these conventions, with scratch of its own; it serves any number of layers of its size,
 * one after the other.
 *
 * @example
 * ```ts
 * import { floatGRUCell } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(floatGRUCell(3).scratch.igates.length, 9);
 * ```
 */
export function floatGRUCell(
  hiddenSize: number,
  conventions: GRUConventions = GRU_CONVENTIONS,
): FloatGRUCell {
  const { resetAfter, complementedUpdate } = conventions;
  return {
    hiddenSize,
    resetAfter,
    complementedUpdate,
    functions: floatGRUFunctions(conventions),
    scratch: {
      igates: new Float32Array(3 * hiddenSize),
      hgates: new Float32Array(3 * hiddenSize),
      reset: new Float32Array(hiddenSize),
    },
  };
}

/**
 * One step of one batch row of torch.nn.GRU: r, z = sigmoid of W_ih x + b_ih + W_hh h + b_hh, n =
 * tanh(W_in x + b_in + r (W_hn h + b_hn)); h = (h - n) z + n. Every operation's result is rounded
 * to float32. A cell may have other conventions.
 *
 * @param x float32; the input [inputSize] starts at `offset`.
 * @param h The hidden state [hiddenSize], replaced.
 *
 * @example
 * ```ts
 * import { floatGRUCell, gruStepFloat32 } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(3);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null };
 * const x = Float32Array.of(1), h = Float32Array.of(8);
 * gruStepFloat32(floatGRUCell(1), weights, 1, x, 0, h);
 * assertEquals(h[0], 4);
 * ```
 */
export function gruStepFloat32(
  cell: FloatGRUCell,
  weights: GRUWeights,
  inputSize: number,
  x: Float32Array,
  offset: number,
  h: Float32Array,
): void {
  const { hiddenSize, resetAfter, functions: { gate }, scratch } = cell;
  const { igates, hgates, reset } = scratch;
  const { weightIh, weightHh, biasIh, biasHh } = weights;
  const rows = 3 * hiddenSize;
  linearFloat32(x, offset, weightIh, biasIh, inputSize, rows, igates, 0);
  if (resetAfter) {
    linearFloat32(h, 0, weightHh, biasHh, hiddenSize, rows, hgates, 0);
  } else {
    const gated = 2 * hiddenSize;
    linearFloat32(h, 0, weightHh, biasHh, hiddenSize, gated, hgates, 0);
    for (let j = 0; j < hiddenSize; j++) {
      reset[j] = gate(Math.fround(igates[j]! + hgates[j]!)) * h[j]!;
    }
    const newWeight = weightHh.subarray(gated * hiddenSize);
    const newBias = biasHh && biasHh.subarray(gated);
    linearFloat32(reset, 0, newWeight, newBias, hiddenSize, hiddenSize, hgates, gated);
  }
  finishGRUStepFloat32(cell, igates, 0, hgates, 0, h, 0);
}

/**
 * The rest of a step of one batch row once both projections are there.
 *
 * @param igates W_ih x + b_ih; [3 * hiddenSize] at `inputOffset`.
 * @param hgates W_hh h + b_hh; [3 * hiddenSize] at `hiddenOffset`; where the reset gate multiplies
 * h, that of the new gate is what comes of that.
 * @param h The hidden state [hiddenSize] at `offset`, replaced.
 *
 * @example
 * ```ts
 * import { finishGRUStepFloat32, floatGRUCell } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const gates = new Float32Array(3), h = Float32Array.of(8);
 * finishGRUStepFloat32(floatGRUCell(1), gates, 0, gates, 0, h, 0);
 * assertEquals(h[0], 4);
 * ```
 */
export function finishGRUStepFloat32(
  cell: FloatGRUCell,
  igates: Float32Array,
  inputOffset: number,
  hgates: Float32Array,
  hiddenOffset: number,
  h: Float32Array | Float64Array,
  offset: number,
): void {
  const { hiddenSize, resetAfter, complementedUpdate, functions } = cell;
  const { gate, candidate } = functions;
  for (let j = 0; j < hiddenSize; j++) {
    const i = inputOffset + j;
    const k = hiddenOffset + j;
    const update = gate(Math.fround(igates[i + hiddenSize]! + hgates[k + hiddenSize]!));
    let fromState = hgates[k + 2 * hiddenSize]!;
    if (resetAfter) {
      fromState = Math.fround(gate(Math.fround(igates[i]! + hgates[k]!)) * fromState);
    }
    const entering = candidate(Math.fround(igates[i + 2 * hiddenSize]! + fromState));
    const state = h[offset + j]!;
    const from = complementedUpdate ? state : entering;
    const to = complementedUpdate ? entering : state;
    h[offset + j] = Math.fround(Math.fround(update * Math.fround(to - from)) + from);
  }
}
