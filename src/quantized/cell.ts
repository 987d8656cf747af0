/**
 * A quantized LSTM cell: integer weights, qparams of its parts, and what they become when made ready to run.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import type { CellParameters } from "../../kernels/prepare.ts";
import type { CellQParams } from "../lstm_parts.ts";

/** Weights and qparams of one layer and direction. Rows in PyTorch's order: input, forget, cell, output gate. */
export interface QuantizedLstmCell {
  /** [4 * hiddenSize, inputSize] */
  readonly weightIh: LinearWeight;
  /** [4 * hiddenSize, hiddenSize] */
  readonly weightHh: LinearWeight;
  /** [4 * hiddenSize] or null. */
  readonly biasIh: Float32Array | null;
  readonly biasHh: Float32Array | null;
  readonly parts: CellQParams;
}

/**
 * The parts as the fast step takes them, or null where it does not run them: a part other than the projections
 * that is not quantized, or a range beyond 24 bits with a zero point.
 */
export function fastParts(parts: CellQParams): CellParameters | null {
  for (const [name, part] of Object.entries(parts)) {
    for (const q of Array.isArray(part) ? part : [part]) {
      if (q === null) {
        if (name !== "igates" && name !== "hgates") return null;
      } else if (q.zeroPoint !== 0 && q.quantMax - q.quantMin > 16777216) {
        return null;
      }
    }
  }
  return parts as CellParameters;
}

export type { Engine };
