/**
 * A quantized GRU as plain data.
 *
 * @module
 */
import type { GRUConventions } from "../../../kernels/float/gru.ts";
import type { GRUQParams } from "../../cells/gru_parts.ts";
import type { QuantizedCell } from "../recurrent/cell.ts";
import type { RecurrentModule } from "../recurrent/data.ts";

/** Weights and qparams of one layer and direction; gates reset, update, new. */
export interface QuantizedGRUCell extends QuantizedCell {
  /** Parameters of every part's output; null where a part stays float32. */
  readonly parts: GRUQParams;
}

/** A GRU of integers: int8 weights, and qparams of its own for every part of every cell. */
export interface GRUModule extends RecurrentModule, GRUConventions {
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly QuantizedGRUCell[])[];
}
