/**
 * Running LogSoftmax: float32 rows, each for itself.
 *
 * @module
 */
import { logSoftmaxFloat32 } from "../../../kernels/ops/softmax.ts";
import type { RunningKind } from "../kind.ts";
import { rowsModule } from "../rows.ts";

/** How LogSoftmax runs. */
export const logSoftmax: RunningKind = {
  kind: "LogSoftmax",
  instantiate: (program) => rowsModule(logSoftmaxFloat32, program, false),
};
