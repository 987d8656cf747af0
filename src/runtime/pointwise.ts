/**
 * Running functions of one value: of integers by a table, of floats one by one.
 *
 * @module
 */
import { activationTable, lookup } from "../../kernels/numeric/activation.ts";
import { type Activation, floatFunction } from "../../kernels/numeric/float_functions.ts";
import { MAX_FLOAT32 } from "../../kernels/numeric/requantize.ts";
import { checkResults } from "./check_results.ts";
import type { NodeProgram, RunningKind } from "./kind.ts";

/** The program of a function. For relu and linear the output has the input's parameters. */
export interface PointwiseProgram extends NodeProgram {
  /** The function of each value. */
  readonly activation: Activation;
}

/** How a kind that computes a function of each value runs. */
export function pointwise(kind: string): RunningKind<PointwiseProgram> {
  return {
    kind,
    instantiate({ activation, inputs, output: { size, qparams: to } }) {
      const from = inputs[0]!.qparams;
      // Less their zero point, integers are mapped by these two functions just as floats are.
      const uniform = activation === "relu" || activation === "linear";
      if (from !== null && to !== null && !uniform) {
        const table = activationTable(activation, from, to);
        return {
          infallible: true,
          process(_state, [x], out, { steps, batch }) {
            for (let i = 0; i < steps * batch * size; i++) out[i] = lookup(table, x![i]!);
          },
        };
      }
      const float = floatFunction(activation);
      const infallible = Number.isFinite(float(MAX_FLOAT32) - float(-MAX_FLOAT32));
      return {
        infallible,
        process(_state, [x], out, call) {
          for (let i = 0; i < call.steps * call.batch * size; i++) out[i] = float(x![i]!);
          if (!infallible) checkResults(out, size, call);
        },
      };
    },
  };
}
