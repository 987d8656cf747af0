/**
 * Running LSTM: the fast step, fused and split, in TypeScript.
 *
 * @module
 */
import { lstmScratch, lstmStep, type StateBinding } from "../../../kernels/packed/lstm_cell.ts";
import { buildCell, type CellProgram } from "../../../kernels/packed/program.ts";
import type { RunningKind } from "../kind.ts";
import {
  type RecurrentCellProgram,
  recurrentInstance,
  type RecurrentProgram,
} from "../recurrent.ts";

/** One layer and direction of an LSTM. */
export type LSTMCellProgram = RecurrentCellProgram<CellProgram, StateBinding>;

/** An LSTM's numbers. */
export interface LSTMProgram extends RecurrentProgram<LSTMCellProgram> {
  /** Tells modules apart. */
  readonly kind: "LSTM";
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
}

/** How LSTM runs. */
export const lstm: RunningKind<LSTMProgram> = {
  kind: "LSTM",
  instantiate: (program) => recurrentInstance(program, 4, buildCell, lstmStep, lstmScratch),
};
