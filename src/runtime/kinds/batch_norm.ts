/**
 * Running BatchNorm1d: each feature multiplied and added to.
 *
 * @module
 */
import { clamp, roundHalfEven } from "../../../kernels/numeric/requantize.ts";
import { batchNormValue } from "../../../kernels/ops/normalize.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";
import { rowsModule } from "../rows.ts";

/** A batch normalization's numbers. */
export interface BatchNorm1dProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "BatchNorm1d";
  /**
   * Factor of each feature; between integers it converts steps of the input to steps of the output.
   */
  readonly alpha: Float32Array;
  /** Summand of each feature. */
  readonly beta: Float32Array;
}

/**
 * How BatchNorm1d runs.
 *
 * @example
 * ```ts
 * import {
 *   BatchNorm1d,
 *   compileModel,
 *   convert,
 *   getPreset,
 *   prepare,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { batchNorm1d } from "@splitgate/splitgate/runtime/norm";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new BatchNorm1d({ numFeatures: 2 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, 1], [1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [batchNorm1d] });
 * assertEquals(program.outputSize, 2);
 * ```
 */
export const batchNorm1d: RunningKind<BatchNorm1dProgram> = {
  kind: "BatchNorm1d",
  instantiate(program) {
    const { alpha, beta, inputs: [input], output: { size, qparams: to } } = program;
    if (input!.qparams === null || to === null) {
      const compute = (x: Float32Array, out: Float32Array): void => {
        for (let k = 0; k < size; k++) out[k] = batchNormValue(x[k]!, alpha[k]!, beta[k]!);
      };
      return rowsModule(compute, program, to !== null);
    }
    const lo = to.quantMin - to.zeroPoint;
    const hi = to.quantMax - to.zeroPoint;
    return {
      infallible: true,
      process(_state, [x], out, { steps, batch }) {
        for (let at = 0; at < steps * batch * size; at += size) {
          for (let k = 0; k < size; k++) {
            const y = batchNormValue(Math.fround(x![at + k]!), alpha[k]!, beta[k]!);
            out[at + k] = clamp(roundHalfEven(y), lo, hi);
          }
        }
      },
    };
  },
};
