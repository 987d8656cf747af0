/**
 * Running UnitNorm: each row by its own length.
 *
 * @module
 */
import { unitNormFloat32 } from "../../../kernels/ops/normalize.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";
import { rowsModule } from "../rows.ts";

/** A unit normalization's numbers. */
export interface UnitNormProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "UnitNorm";
  /** Smallest divisor, for rows shorter than this. */
  readonly eps: number;
}

/**
 * How UnitNorm runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   Linear,
 *   prepare,
 *   Sequential,
 *   tensor,
 *   UnitNorm,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { unitNorm } from "@splitgate/splitgate/runtime/norm";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 4 });
 * const observed = prepare(new Sequential({ linear, last: new UnitNorm() }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25, 1, -0.5, 0.75, -2], [4, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [unitNorm] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const unitNorm: RunningKind<UnitNormProgram> = {
  kind: "UnitNorm",
  instantiate: (program) =>
    rowsModule((x, out, width) => unitNormFloat32(x, width, program.eps, out), program, true),
};
