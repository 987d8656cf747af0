/**
 * Running LSTM: the fast step, fused and split, in TypeScript.
 *
 * @module
 */
import { lstmScratch, lstmStep, type StateBinding } from "../../../kernels/packed/lstm_cell.ts";
import { buildCell, type CellProgram } from "../../../kernels/packed/program.ts";
import type { Image, RunningKind } from "../kind.ts";
import {
  type RecurrentCellProgram,
  recurrentInstance,
  type RecurrentProgram,
} from "../recurrent.ts";

/** One layer and direction of an LSTM. */
export interface LSTMCellProgram extends RecurrentCellProgram<CellProgram, StateBinding> {
  /**
   * The smallest integer that a hidden state can be, less the zero point, a given initial one
   * included.
   */
  readonly min: number;
  /** The largest one. */
  readonly max: number;
  /** Whether float32 takes every integer of a step: then SIMD kernels run it. */
  readonly float32: boolean;
}

/** An LSTM's numbers. */
export interface LSTMProgram extends RecurrentProgram<LSTMCellProgram> {
  /** Tells modules apart. */
  readonly kind: "LSTM";
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
  /** What `compileModel` was given kernels for; absent where it was not. */
  readonly image?: Image;
}

/** How LSTM runs. */
export const lstm: RunningKind<LSTMProgram> = {
  kind: "LSTM",
  instantiate: (program) => recurrentInstance(program, 4, buildCell, lstmStep, lstmScratch),
};
