/**
 * A quantized recurrent cell: integer weights, and qparams of its parts.
 *
 * @module
 */
import type { CellWeights } from "../../../kernels/packed/lower.ts";
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import { type Cell, type CellQParams, ofPart, type PartName, rowSpan } from "../../cells/cell.ts";
import type { Part } from "../../cells/cell.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { packs } from "../lower_projector.ts";

/** Weights and qparams of one layer and direction. Rows are in PyTorch's order, grouped by gate. */
export interface QuantizedCell extends CellWeights {
  /** Parameters of every part's output; null where a part stays float32. */
  readonly parts: CellQParams;
}

/** Scale 1, zero point 0: torch's parameters of an implicit initial state. */
export const IMPLICIT_STATE: PerTensorQParams = {
  dtype: "quint8",
  scale: 1,
  zeroPoint: 0,
  quantMin: 0,
  quantMax: 255,
};

/** Parameters of a cell's state, the hidden state by default. */
export function stateQParams(
  { states }: Cell,
  { parts }: QuantizedCell,
  state: number = 0,
): PerTensorQParams | null {
  return ofPart(parts, states[state]!.part)[0]!;
}

/** The rows of a weight that belong to the given gates, out of `gates`, with their scales. */
export function gateRows(
  weight: LinearWeight,
  gates: number,
  [from, to]: readonly [number, number],
): LinearWeight {
  const { data, inFeatures, outFeatures, scales, zeroPoints } = weight;
  const rows = outFeatures / gates;
  // There may be one scale for the whole tensor, or one a gate.
  const channels = scales.length / gates;
  const [first, end] = scales.length === 1 ? [0, 1] : [from * channels, to * channels];
  return {
    ...weight,
    data: data.subarray(from * rows * inFeatures, to * rows * inFeatures),
    outFeatures: (to - from) * rows,
    scales: scales.subarray(first, end),
    zeroPoints: zeroPoints.subarray(first, end),
  };
}

/** Weight and bias of a linear part; of one gate if it runs split. */
export function partWeight(
  cell: Cell,
  { weightIh, weightHh, weightHr, biasIh, biasHh }: CellWeights,
  part: Part,
  gate: number,
): { readonly weight: LinearWeight; readonly bias: Float32Array | null } {
  const span = rowSpan(cell, part, gate);
  if (span === null) return { weight: weightHr!, bias: null };
  const [whole, bias] = part.weight === "ih" ? [weightIh, biasIh] : [weightHh, biasHh];
  const gates = cell.gates.length;
  const rows = whole.outFeatures / gates;
  return {
    weight: gateRows(whole, gates, span),
    bias: bias && bias.subarray(span[0] * rows, span[1] * rows),
  };
}

/**
 * The part of a cell that the fast step cannot run, and the remedy; null if it can run all. It
 * cannot run a part that is not quantized unless only sums read it, a range beyond 24 bits, or a
 * part that requantizes an input.
 *
 * @param floats Parts that the fast step runs in float32 too.
 */
export function slowPart(
  { parts }: QuantizedCell,
  floats: readonly PartName[],
): string | null {
  const { inputs = {}, ...own } = parts;
  const [requantizes] = Object.keys(inputs);
  if (requantizes !== undefined) {
    return `${requantizes} requantizes what it reads: give its producer the same observer`;
  }
  for (const name of Object.keys(own) as PartName[]) {
    for (const q of ofPart(parts, name)) {
      if (q === null && !floats.includes(name)) {
        return `${name} is not quantized: give it an observer`;
      }
      if (!packs(q)) return `${name} has more than 24 bits: give it an observer of fewer`;
    }
  }
  return null;
}
