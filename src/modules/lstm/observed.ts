/**
 * The observed LSTM, as far as it is an LSTM's.
 *
 * @module
 */
import type { OfLSTMParts } from "../../cells/lstm_parts.ts";
import type { Observer } from "../../observer/observer.ts";
import type { ObservedCell, ObservedRecurrent } from "../recurrent/observed.ts";
import type { CellObservers } from "../recurrent/observed_cell.ts";
import type { LSTM } from "./float.ts";

/** One layer and direction: its weights, and the observers of its parts. */
export interface ObservedLSTMCell extends ObservedCell {
  /** By part; of a gated part one a gate, the same four times where gates are fused. */
  readonly observers: OfLSTMParts<Observer | null> & Pick<CellObservers, "inputs">;
}

/** An LSTM whose parts are observed one by one, in both directions of every layer. */
export interface ObservedLSTM extends ObservedRecurrent<LSTM> {
  readonly cells: readonly (readonly ObservedLSTMCell[])[];
}
