/**
 * Running AvgPool1d.
 *
 * @module
 */
import { clamp, roundHalfEven } from "../../../kernels/numeric/requantize.ts";
import type { Engine } from "../../../kernels/ops/linear.ts";
import {
  averageDivisor,
  averageMultiplier,
  averagesByQnnpack,
} from "../../../kernels/ops/pooling.ts";
import type { RunningKind } from "../kind.ts";
import { movingWindow, type WindowProgram } from "../window.ts";

/** An average's numbers. */
export interface AvgPool1dProgram extends WindowProgram {
  /** Tells modules apart. */
  readonly kind: "AvgPool1d";
  /** Whether padding counts as zeros, or not at all. */
  readonly countIncludePad: boolean;
  /** Whose rounding it has. */
  readonly engine: Engine;
}

/**
 * How AvgPool1d runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   AvgPool1d,
 *   Linear,
 *   prepare,
 *   Sequential,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { avgPool1d } from "@splitgate/splitgate/runtime/conv";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 4 });
 * const observed = prepare(new Sequential({ linear, last: new AvgPool1d({ kernelSize: 2 }) }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25, 1, -0.5, 0.75, -2], [4, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [avgPool1d] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const avgPool1d: RunningKind<AvgPool1dProgram> = movingWindow({
  kind: "AvgPool1d",
  instantiate(program) {
    const { window: { kernelSize, stride }, output: { size, qparams: q }, engine } = program;
    return {
      infallible: true,
      move(line, from, out, to, steps) {
        const divisor = averageDivisor(program, from / (stride * size), steps);
        const multiplier = q &&
          averageMultiplier(
            averagesByQnnpack(engine, q.dtype, kernelSize, divisor),
            q.scale,
            divisor,
          );
        for (let i = 0; i < size; i++) {
          let sum = 0;
          for (let tap = 0; tap < kernelSize; tap++) sum += line[from + tap * size + i]!;
          out[to + i] = q === null ? Math.fround(sum / divisor) : clamp(
            roundHalfEven(Math.fround(Math.fround(sum) * multiplier!)),
            q.quantMin - q.zeroPoint,
            q.quantMax - q.zeroPoint,
          );
        }
      },
    };
  },
});
