/**
 * Running LSTM with dynamic quantization.
 *
 * @module
 */
import {
  type CellFunctions,
  finishStepFloat32,
  floatCellFunctions,
  LSTM_FUNCTIONS,
} from "../../../kernels/float/lstm.ts";
import { clamp, MAX_FLOAT32 } from "../../../kernels/numeric/requantize.ts";
import {
  DynamicRecurrent,
  type DynamicRecurrentProgram,
  isBounded,
  saturating,
} from "../dynamic_recurrent.ts";
import type { RunningKind } from "../kind.ts";

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
    const saturated = {
      ...float,
      candidate: saturating(activation, float.candidate),
      cell: saturating(cellActivation, float.cell),
    };
    // A cell state can grow beyond float32 where what enters it has no bounds.
    const grows = !isBounded(activation);
    return new DynamicRecurrent(program, (igates, at, hgates, hiddenAt, state, units) => {
      const h = state.h as Float64Array;
      const c = state.c as Float64Array;
      finishStepFloat32(igates, at, hgates, hiddenAt, hiddenSize, c, units, h, units, saturated);
      if (!grows) return;
      for (let k = units; k < units + hiddenSize; k++) {
        c[k] = clamp(c[k]!, -MAX_FLOAT32, MAX_FLOAT32);
      }
    });
  },
};
