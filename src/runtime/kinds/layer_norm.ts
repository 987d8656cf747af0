/**
 * Running LayerNorm: each row by its own mean and variance.
 *
 * @module
 */
import { layerNormFloat32, layerNormInt8 } from "../../../kernels/ops/normalize.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";
import { type RowsFunction, rowsModule } from "../rows.ts";

/** A layer normalization's numbers. */
export interface LayerNormProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "LayerNorm";
  /**
   * Whether it goes from integers to integers as torch's quantized::layer_norm does; else through
   * float32.
   */
  readonly integers: boolean;
  /** [size], or null for ones. */
  readonly weight: Float32Array | null;
  /** [size], or null for zeros. */
  readonly bias: Float32Array | null;
  /** Added to the variance. */
  readonly eps: number;
}

/**
 * How LayerNorm runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   LayerNorm,
 *   prepare,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { layerNorm } from "@splitgate/splitgate/runtime/norm";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LayerNorm({ normalizedShape: 2 }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, 1], [1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [layerNorm] });
 * assertEquals(program.outputSize, 2);
 * ```
 */
export const layerNorm: RunningKind<LayerNormProgram> = {
  kind: "LayerNorm",
  instantiate(program) {
    const { integers, weight, bias, eps, inputs: [input], output: { size, qparams: to } } = program;
    const norm = { weight, bias, eps };
    if (!integers) {
      const compute: RowsFunction = (x, out, width) => layerNormFloat32(x, width, norm, out);
      return rowsModule(compute, program, to !== null);
    }
    // A row of integers with their zero points, which are part of torch's sums.
    const row = new Int32Array(size);
    const from = { data: row, qparams: input!.qparams! };
    const given = { data: row, qparams: to! };
    const { zeroPoint } = from.qparams;
    return {
      infallible: true,
      process(_state, [x], out, { steps, batch }) {
        for (let at = 0; at < steps * batch * size; at += size) {
          for (let k = 0; k < size; k++) row[k] = x![at + k]! + zeroPoint;
          layerNormInt8(from, size, norm, given);
          for (let k = 0; k < size; k++) out[at + k] = row[k]! - to!.zeroPoint;
        }
      },
    };
  },
};
