/**
 * A quantized LSTM as plain data.
 *
 * @module
 */
import type { CellFunctions } from "../../../kernels/float/lstm.ts";
import type { LSTMQParams } from "../../cells/lstm_parts.ts";
import type { QuantizedCell } from "../recurrent/cell.ts";
import type { RecurrentModule } from "../recurrent/data.ts";

/** Weights and qparams of one layer and direction; gates input, forget, cell, output. */
export interface QuantizedLSTMCell extends QuantizedCell {
  /** Parameters of every part's output; null where a part stays float32. */
  readonly parts: LSTMQParams;
}

/** An LSTM of integers: int8 weights, and qparams of its own for every part of every cell. */
export interface LSTMModule extends RecurrentModule, CellFunctions {
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly QuantizedLSTMCell[])[];
}
