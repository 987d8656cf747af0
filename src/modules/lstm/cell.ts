/**
 * A quantized LSTM cell: integer weights, and qparams of its parts.
 *
 * @module
 */
import type { CellParameters, CellWeights } from "../../../kernels/packed/lower.ts";
import type { CellQParams } from "../../cells/lstm_parts.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";

/** Weights and qparams of one layer and direction. Rows in PyTorch's order: input, forget, cell, output gate. */
export interface QuantizedLstmCell extends CellWeights {
  /** Parameters of every part's output; null where a part stays float32. */
  readonly parts: CellQParams;
}

/** scale 1, zero point 0: what torch gives a state that nobody gave. */
export const IMPLICIT_STATE: PerTensorQParams = {
  dtype: "quint8",
  scale: 1,
  zeroPoint: 0,
  quantMin: 0,
  quantMax: 255,
};

/** Parameters of a cell's hidden state: its last part's. */
export function hiddenQParams({ parts }: QuantizedLstmCell): PerTensorQParams | null {
  return parts.proj === undefined ? parts.ogate_cy : parts.proj;
}

/** Whether packed rows take integers of these parameters: up to 24 bits, so that 2^20 products with int8 stay exact. */
export function packs(q: PerTensorQParams | null): boolean {
  return q === null || q.quantMax - q.quantMin <= 2 ** 24;
}

/**
 * Why the fast step does not run a cell, or null where it does: a part other than the projections that is not
 * quantized, a range beyond 24 bits, or a part that requantizes what it reads.
 */
export function slowPart({ parts }: QuantizedLstmCell): string | null {
  const { inputs, ...outputs } = parts;
  for (const name in inputs) return `${name}, which requantizes what it reads`;
  for (const [name, part] of Object.entries(outputs)) {
    for (const q of Array.isArray(part) ? part : [part]) {
      if (q === null) {
        if (name !== "igates" && name !== "hgates") return `${name}, which is not quantized`;
      } else if (q !== undefined && !packs(q)) {
        return `${name}, which has more than 24 bits`;
      }
    }
  }
  return null;
}

/** The parts as the fast step takes them, or null where it does not run them. */
export function fastParts(cell: QuantizedLstmCell): CellParameters | null {
  return slowPart(cell) === null ? cell.parts as CellParameters : null;
}
