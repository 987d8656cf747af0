/**
 * Running Add: integers by either rounding family's sum, or floats.
 *
 * @module
 */
import {
  dequantizedSum,
  type FixedPointAdd,
  fixedPointSum,
} from "../../../kernels/ops/elementwise.ts";
import { clamp, quantizeValue, reciprocal } from "../../../kernels/numeric/requantize.ts";
import { checkResults } from "../check_results.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";

/** A sum's numbers. */
export interface AddProgram extends NodeProgram {
  /** qnnpack's constants; null where it rounds as fbgemm, or gives float32. */
  readonly fixedPoint: FixedPointAdd | null;
}

/**
 * How Add runs.
 *
 * @example
 * ```ts
 * import {
 *   Add,
 *   compileModel,
 *   convert,
 *   getPreset,
 *   Graph,
 *   Linear,
 *   prepare,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { add } from "@splitgate/splitgate/runtime/joins";
 * import { assertEquals } from "@std/assert";
 * const graph = new Graph({
 *   a: { module: new Linear({ inFeatures: 2, outFeatures: 3 }), inputs: "input" },
 *   b: { module: new Linear({ inFeatures: 2, outFeatures: 3 }), inputs: "input" },
 *   both: { module: new Add(), inputs: ["a", "b"] },
 * });
 * const observed = prepare(graph, getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25], [2, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [add] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const add: RunningKind<AddProgram> = {
  kind: "Add",
  instantiate({ inputs, output: { size, qparams }, fixedPoint }) {
    if (qparams === null) {
      return {
        process(_state, [a, b], out, call) {
          for (let i = 0; i < call.steps * call.batch * size; i++) {
            out[i] = Math.fround(a![i]! + b![i]!);
          }
          checkResults(out, size, call);
        },
      };
    }
    const lo = qparams.quantMin - qparams.zeroPoint;
    const hi = qparams.quantMax - qparams.zeroPoint;
    if (fixedPoint !== null) {
      const { multiplierA, multiplierB, step } = fixedPoint;
      return {
        infallible: true,
        process(_state, [a, b], out, { steps, batch }) {
          for (let i = 0; i < steps * batch * size; i++) {
            out[i] = clamp(fixedPointSum(a![i]!, b![i]!, multiplierA, multiplierB, step), lo, hi);
          }
        },
      };
    }
    const [scaleA, scaleB] = inputs.map((input) => input.qparams!.scale);
    const inverse = reciprocal(qparams.scale);
    return {
      infallible: true,
      process(_state, [a, b], out, { steps, batch }) {
        for (let i = 0; i < steps * batch * size; i++) {
          const sum = dequantizedSum(a![i]!, scaleA!, b![i]!, scaleB!);
          out[i] = quantizeValue(sum, inverse, 0, lo, hi);
        }
      },
    };
  },
};
