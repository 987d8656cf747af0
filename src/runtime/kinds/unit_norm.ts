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
  /** What a row is divided by where it is shorter. */
  readonly eps: number;
}

/** How UnitNorm runs. */
export const unitNorm: RunningKind<UnitNormProgram> = {
  kind: "UnitNorm",
  instantiate: (program) =>
    rowsModule((x, out, width) => unitNormFloat32(x, width, program.eps, out), program, true),
};
