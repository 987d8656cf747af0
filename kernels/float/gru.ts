/**
 * One GRU step in float32, each operation rounded as where the cell's parts run one by one.
 *
 * @module
 */
import { floatFunction } from "../numeric/float_functions.ts";
import { type FloatLinear, type LinearMaker, plainLinear } from "./linears.ts";
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
  /** W_hh h + b_hh, [3 * hiddenSize], and the reset gate times h. */
  readonly scratch: {
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
 * assertEquals(floatGRUCell(3).scratch.hgates.length, 9);
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
      hgates: new Float32Array(3 * hiddenSize),
      reset: new Float32Array(hiddenSize),
    },
  };
}

/** The linear operators of a cell. */
export interface GRULinears {
  /** W_ih x + b_ih */
  readonly ih: FloatLinear;
  /** W_hh h + b_hh, of the reset and update gate alone where `hn` is there. */
  readonly hh: FloatLinear;
  /** W_hn h + b_hn, where the reset gate multiplies h itself; null elsewhere. */
  readonly hn: FloatLinear | null;
}

/**
 * The linear operators of a cell.
 *
 * @param make Makes them; by default they read the weights at each call.
 *
 * @example
 * ```ts
 * import { gruLinears } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(3);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null };
 * assertEquals(gruLinears(weights, 1, 1, true).hn, null);
 * ```
 */
export function gruLinears(
  { weightIh, weightHh, biasIh, biasHh }: GRUWeights,
  inputSize: number,
  hiddenSize: number,
  resetAfter: boolean,
  make: LinearMaker = plainLinear,
): GRULinears {
  const gated = (resetAfter ? 3 : 2) * hiddenSize;
  const rest = weightHh.subarray(gated * hiddenSize);
  return {
    ih: make(weightIh, biasIh, inputSize, 3 * hiddenSize),
    hh: make(
      weightHh.subarray(0, gated * hiddenSize),
      biasHh && biasHh.subarray(0, gated),
      hiddenSize,
      gated,
    ),
    hn: resetAfter ? null : make(rest, biasHh && biasHh.subarray(gated), hiddenSize, hiddenSize),
  };
}

/**
 * One step of one batch row of torch.nn.GRU once W_ih x + b_ih is there: r, z = sigmoid of that +
 * W_hh h + b_hh, n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h = (h - n) z + n. Every operation's
 * result is rounded to float32. A cell may have other conventions.
 *
 * @param igates W_ih x + b_ih: [3 * hiddenSize] at `offset`.
 * @param h The hidden state [hiddenSize], replaced.
 *
 * @example
 * ```ts
 * import { floatGRUCell, gruLinears, gruStepFloat32 } from "./gru.ts";
 * import { assertEquals } from "@std/assert";
 * const zeros = new Float32Array(3);
 * const weights = { weightIh: zeros, weightHh: zeros, biasIh: null, biasHh: null };
 * const h = Float32Array.of(8);
 * gruStepFloat32(floatGRUCell(1), gruLinears(weights, 1, 1, true), zeros, 0, h);
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
  const { hiddenSize, functions: { gate }, scratch: { hgates, reset } } = cell;
  hh(h, 0, hgates, 0);
  if (hn !== null) {
    for (let j = 0; j < hiddenSize; j++) {
      reset[j] = gate(Math.fround(igates[offset + j]! + hgates[j]!)) * h[j]!;
    }
    hn(reset, 0, hgates, 2 * hiddenSize);
  }
  finishGRUStepFloat32(cell, igates, offset, hgates, 0, h, 0);
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
