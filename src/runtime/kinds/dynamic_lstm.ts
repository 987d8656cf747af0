/**
 * Running LSTM with dynamic quantization.
 *
 * @module
 */
import {
  addGates,
  type CellFunctions,
  finishStepFloat32,
  floatCellFunctions,
  floatLSTMCell,
  LSTM_FUNCTIONS,
} from "../../../kernels/float/lstm.ts";
import { clamp, MAX_FLOAT32 } from "../../../kernels/numeric/requantize.ts";
import {
  DynamicRecurrent,
  type DynamicRecurrentProgram,
  isBounded,
  saturating,
} from "../dynamic_recurrent.ts";
import type { ModuleState, RunningKind } from "../kind.ts";

/** A dynamic LSTM's numbers. */
export interface DynamicLSTMProgram extends DynamicRecurrentProgram {
  /** Tells modules apart. */
  readonly kind: "DynamicLSTM";
  /** Which functions its cells have; torch.nn.LSTM's where there are none. */
  readonly functions?: CellFunctions;
}

/**
 * How LSTM runs with dynamic quantization.
 *
 * @example
 * ```ts
 * import { compileModel, LSTM, quantizeDynamic } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
 * import { assertEquals } from "@std/assert";
 * const model = quantizeDynamic(new LSTM({ inputSize: 2, hiddenSize: 3 }));
 * const program = loadProgram(compileModel(model), { kinds: [dynamicLSTM] });
 * assertEquals(program.outputSize, 3);
 * ```
 */
export const dynamicLSTM: RunningKind<DynamicLSTMProgram> = {
  kind: "DynamicLSTM",
  instantiate(program) {
    const { hiddenSize, functions = LSTM_FUNCTIONS } = program;
    const { activation, cellActivation } = functions;
    const float = floatCellFunctions(functions);
    const cell = floatLSTMCell(hiddenSize, {
      ...float,
      candidate: saturating(activation, float.candidate),
      cell: saturating(cellActivation, float.cell),
    });
    // A cell state can grow beyond float32 where what enters it has no bounds.
    const grows = !isBounded(activation);
    const finish = (state: ModuleState, units: number) => {
      const c = state.c as Float64Array;
      finishStepFloat32(cell, c, state.h as Float64Array, units);
      if (!grows) return;
      for (let k = units; k < units + hiddenSize; k++) {
        c[k] = clamp(c[k]!, -MAX_FLOAT32, MAX_FLOAT32);
      }
    };
    return new DynamicRecurrent(program, { gates: cell.gates, add: addGates, finish });
  },
};
