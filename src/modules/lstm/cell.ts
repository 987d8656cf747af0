/**
 * A quantized LSTM cell: integer weights, and qparams of its parts.
 *
 * @module
 */
import type { CellParameters, CellWeights } from "../../../kernels/packed/lower.ts";
import type { CellQParams } from "../../cells/lstm_parts.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { packs } from "../lower_projector.ts";

/**
 * Weights and qparams of one layer and direction. Rows in PyTorch's order: input, forget, cell,
 * output gate.
 */
export interface QuantizedLSTMCell extends CellWeights {
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
export function hiddenQParams({ parts }: QuantizedLSTMCell): PerTensorQParams | null {
  return parts.proj === undefined ? parts.ogate_cy : parts.proj;
}

/**
 * The part of a cell that the fast step does not run, and what would help; null where it runs them
 * all: a part other than the projections that is not quantized, a range beyond 24 bits, or a part
 * that requantizes what it reads.
 */
export function slowPart({ parts }: QuantizedLSTMCell): string | null {
  const [requantizes] = Object.keys(parts.inputs ?? {});
  if (requantizes !== undefined) {
    return `${requantizes} requantizes what it reads: give its producer the same observer`;
  }
  for (const [name, part] of Object.entries(parts)) {
    for (const q of Array.isArray(part) ? part : [part]) {
      if (q === null && name !== "igates" && name !== "hgates") {
        return `${name} is not quantized: give it an observer`;
      }
      if (!packs(q ?? null)) return `${name} has more than 24 bits: give it an observer of fewer`;
    }
  }
  return null;
}

/** The parts as the fast step takes them, or null where it does not run them. */
export function fastParts(cell: QuantizedLSTMCell): CellParameters | null {
  return slowPart(cell) === null ? cell.parts as CellParameters : null;
}
