/**
 * Running Linear with dynamic quantization.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../../kernels/ops/linear.ts";
import { checkResult } from "../../core/errors.ts";
import { DynamicRows } from "../dynamic_rows.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";

/** A dynamic linear layer's numbers. */
export interface DynamicLinearProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "DynamicLinear";
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** int8 [outFeatures, inFeatures] */
  readonly weight: LinearWeight;
  /** [outFeatures] or null. */
  readonly bias: Float32Array | null;
  /** Whether negative results become 0. */
  readonly relu: boolean;
}

/**
 * How Linear runs with dynamic quantization: all valid rows of a call share one range.
 *
 * @example
 * ```ts
 * import { compileModel, Linear, quantizeDynamic } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { dynamicLinear } from "@splitgate/splitgate/runtime/dynamic";
 * import { assertEquals } from "@std/assert";
 * const model = quantizeDynamic(new Linear({ inFeatures: 2, outFeatures: 3 }));
 * const program = loadProgram(compileModel(model), { kinds: [dynamicLinear] });
 * assertEquals(program.outputSize, 3);
 * ```
 */
export const dynamicLinear: RunningKind<DynamicLinearProgram> = {
  kind: "DynamicLinear",
  instantiate({ engine, weight, bias, relu }) {
    const linear = new DynamicRows(engine, weight, bias, relu);
    const { inFeatures, outFeatures } = weight;
    return {
      mixesSteps: true,
      reserve: (batch, steps) => linear.reserve(batch * steps),
      process(_state, inputs, out, { steps, batch, lengths }) {
        const x = inputs[0]!;
        const count = steps * batch;
        let rows = 0;
        for (let r = 0; r < count; r++) {
          if (lengths !== null && Math.floor(r / batch) >= lengths[r % batch]!) continue;
          for (let k = 0; k < inFeatures; k++) {
            linear.x[rows * inFeatures + k] = x[r * inFeatures + k]!;
          }
          rows++;
        }
        linear.run(rows);
        rows = 0;
        for (let r = 0; r < count; r++) {
          if (lengths !== null && Math.floor(r / batch) >= lengths[r % batch]!) continue;
          for (let k = 0; k < outFeatures; k++) {
            const y = linear.y[rows * outFeatures + k]!;
            checkResult(y);
            out[r * outFeatures + k] = y;
          }
          rows++;
        }
      },
    };
  },
};
