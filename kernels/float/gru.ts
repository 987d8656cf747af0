/**
 * One GRU step in float32. Each operation is rounded like the separate parts of the cell.
 *
 * @module
 */
import {
  type FloatFunction,
  type FloatKernels,
  type FloatLinear,
  plainKernels,
} from "./kernels.ts";
import type { CellActivation, GateActivation } from "./lstm.ts";

/**
 * The conventions in which GRUs of different origin differ.
 *
 * @example
 * ```ts
 * import { GRU } from "@splitgate/splitgate";
 * import type { GRUConventions } from "@splitgate/splitgate/modules";
 * const keras2: GRUConventions = {
 *   gateActivation: "hardSigmoid",
 *   activation: "tanh",
 *   resetAfter: false, // the reset gate comes before the product
 *   complementedUpdate: true, // h' = z h + (1 - z) n is PyTorch's, its complement ONNX's
 * };
 * new GRU({ inputSize: 2, hiddenSize: 3, ...keras2 });
 * ```
 */
export interface GRUConventions {
  /** Activation of the reset and update gates: ONNX's f, Keras' recurrent_activation. */
  readonly gateActivation: GateActivation;
  /** Activation of the new gate: ONNX's g, Keras' activation. */
  readonly activation: CellActivation;
  /**
   * Whether the reset gate multiplies W_hn h + b_hn, as in PyTorch (ONNX's linear_before_reset 1,
   * Keras' reset_after); otherwise it multiplies h, before the product with W_hn.
   */
  readonly resetAfter: boolean;
  /**
   * Whether the update gate weights the new gate, h' = (1 - z) h + z n; in PyTorch, Keras and ONNX
   * it weights the old state, h' = (1 - z) n + z h.
   */
  readonly complementedUpdate: boolean;
}

/**
 * The conventions of torch.nn.GRU.
 *
 * @example
 * ```ts
 * import { GRU_CONVENTIONS } from "./gru.ts";
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

/** A cell's activations, applied to ranges of values. */
export interface FloatGRUFunctions {
  /** Activation of the reset and update gates. */
  readonly gate: FloatFunction;
  /** Activation of the new gate. */
  readonly candidate: FloatFunction;
}

/**
 * The float32 tensors of one layer and direction of a GRU. The order of the gates' rows is reset,
 * update, new.
 *
 * @example
 * ```ts
 * import { GRU } from "@splitgate/splitgate";
 * import type { GRUWeights } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const { cells } = new GRU({ inputSize: 2, hiddenSize: 3 });
 * const weights: GRUWeights = cells[0]![0]!; // of layer 0, forward
 * assertEquals(weights.weightIh.length, 3 * 3 * 2); // gates reset, update, new
 * ```
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
  /** W_hh h + b_hh, [3 * hiddenSize]. */
  readonly hgates: Float32Array;
  /**
   * [4 * hiddenSize]: the reset and update gates, then the parts of the new gate from x and from h.
   */
  readonly gates: Float32Array;
}

/**
 * Creates a cell of the given conventions with its own scratch arrays. One cell serves any number
 * of layers of its size in turn.
 *
 * @example
 * ```ts
 * import { floatGRUCell } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(floatGRUCell(3).gates.length, 12);
 * ```
 */
export function floatGRUCell(
  hiddenSize: number,
  conventions: GRUConventions = GRU_CONVENTIONS,
  { activation }: Pick<FloatKernels, "activation"> = plainKernels,
): FloatGRUCell {
  const { resetAfter, complementedUpdate } = conventions;
  return {
    hiddenSize,
    resetAfter,
    complementedUpdate,
    functions: {
      gate: activation(conventions.gateActivation),
      candidate: activation(conventions.activation),
    },
    hgates: new Float32Array(3 * hiddenSize),
    gates: new Float32Array(4 * hiddenSize),
  };
}

/** The linear operators of a cell. */
export interface GRULinears {
  /** W_ih x + b_ih */
  readonly ih: FloatLinear;
  /** W_hh h + b_hh; only of the reset and update gates if `hn` is not null. */
  readonly hh: FloatLinear;
  /** W_hn h + b_hn, if the reset gate multiplies h itself; otherwise null. */
  readonly hn: FloatLinear | null;
}

/**
 * Creates the linear operators of a cell.
 *
 * @param kernels Creates the operators; the default ones read the weights in each call.
 *
 * @example
 * ```ts
 * import { floatGRUCell, gruLinears } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(3);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null };
 * assertEquals(gruLinears(floatGRUCell(1), weights, 1).hn, null);
 * ```
 */
export function gruLinears(
  { hiddenSize, resetAfter }: Pick<FloatGRUCell, "hiddenSize" | "resetAfter">,
  { weightIh, weightHh, biasIh, biasHh }: GRUWeights,
  inputSize: number,
  { linear }: Pick<FloatKernels, "linear"> = plainKernels,
): GRULinears {
  const all = 3 * hiddenSize;
  const gated = (resetAfter ? 3 : 2) * hiddenSize;
  const hidden = (from: number, to: number): FloatLinear =>
    linear({
      weight: weightHh.subarray(from * hiddenSize, to * hiddenSize),
      bias: biasHh && biasHh.subarray(from, to),
      inFeatures: hiddenSize,
      outFeatures: to - from,
    });
  return {
    ih: linear({ weight: weightIh, bias: biasIh, inFeatures: inputSize, outFeatures: all }),
    hh: hidden(0, gated),
    hn: resetAfter ? null : hidden(gated, all),
  };
}

/**
 * One step of one batch row of torch.nn.GRU, given W_ih x + b_ih: r, z = sigmoid of that + W_hh h +
 * b_hh, n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h = (h - n) z + n. The result of every
 * operation is rounded to float32. A cell may have other conventions.
 *
 * @param igates W_ih x + b_ih: [3 * hiddenSize] at `offset`.
 * @param h The hidden state [hiddenSize], updated in place.
 *
 * @example
 * ```ts
 * import { floatGRUCell, gruLinears, gruStepFloat32 } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(3), cell = floatGRUCell(1);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null };
 * const h = Float32Array.of(8);
 * gruStepFloat32(cell, gruLinears(cell, weights, 1), zeros, 0, h);
 * assertEquals(h[0], 4);
 * ```
 */
export function gruStepFloat32(
  cell: FloatGRUCell,
  { hh, hn }: Pick<GRULinears, "hh" | "hn">,
  igates: Float32Array,
  offset: number,
  h: Float32Array,
): void {
  const { hiddenSize, hgates, gates, functions } = cell;
  hh(h, 0, hgates, 0);
  addGRUGates(igates, offset, hgates, 0, gates);
  if (hn !== null) {
    functions.gate(gates, 0, hiddenSize);
    for (let j = 0; j < hiddenSize; j++) hgates[j] = gates[j]! * h[j]!;
    hn(hgates, 0, gates, 3 * hiddenSize);
  }
  finishGRUStepFloat32(cell, h, 0);
}

/**
 * Computes the inputs of a cell's activations: for the reset and update gates the sums of both
 * projections, each rounded to float32; for the new gate, both projections separately.
 *
 * @param igates W_ih x + b_ih; [3 * hiddenSize] at `inputOffset`.
 * @param hgates W_hh h + b_hh; [3 * hiddenSize] at `hiddenOffset`.
 * @param out [4 * hiddenSize]
 *
 * @example
 * ```ts
 * import { addGRUGates } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(4);
 * addGRUGates(Float32Array.of(1, 2, 3), 0, Float32Array.of(10, 20, 30), 0, out);
 * assertEquals([...out], [11, 22, 3, 30]);
 * ```
 */
export function addGRUGates(
  igates: Float32Array,
  inputOffset: number,
  hgates: Float32Array,
  hiddenOffset: number,
  out: Float32Array,
): void {
  const hiddenSize = out.length / 4;
  const both = 2 * hiddenSize;
  for (let i = 0; i < both; i++) out[i] = igates[inputOffset + i]! + hgates[hiddenOffset + i]!;
  for (let i = both; i < both + hiddenSize; i++) {
    out[i] = igates[inputOffset + i]!;
    out[i + hiddenSize] = hgates[hiddenOffset + i]!;
  }
}

/**
 * Finishes a step of one batch row after both projections are in the cell's `gates`. If the reset
 * gate multiplies h, the product is already computed, and the new gate's part from h is its
 * projection.
 *
 * @param h The hidden state [hiddenSize] at `offset`, updated in place.
 *
 * @example
 * ```ts
 * import { finishGRUStepFloat32, floatGRUCell } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const h = Float32Array.of(8);
 * finishGRUStepFloat32(floatGRUCell(1), h, 0);
 * assertEquals(h[0], 4);
 * ```
 */
export function finishGRUStepFloat32(
  { hiddenSize, resetAfter, complementedUpdate, functions, gates }: FloatGRUCell,
  h: Float32Array | Float64Array,
  offset: number,
): void {
  const z = hiddenSize;
  const n = 2 * hiddenSize;
  const fromState = 3 * hiddenSize;
  functions.gate(gates, resetAfter ? 0 : z, n);
  for (let j = 0; j < hiddenSize; j++) {
    let own = gates[fromState + j]!;
    if (resetAfter) own = Math.fround(gates[j]! * own);
    gates[n + j] = gates[n + j]! + own;
  }
  functions.candidate(gates, n, fromState);
  for (let j = 0; j < hiddenSize; j++) {
    const entering = gates[n + j]!;
    const state = h[offset + j]!;
    const from = complementedUpdate ? state : entering;
    const to = complementedUpdate ? entering : state;
    h[offset + j] = Math.fround(Math.fround(gates[z + j]! * Math.fround(to - from)) + from);
  }
}
