/**
 * Running LogSoftmax: each float32 row by itself.
 *
 * @module
 */
import { logSoftmaxFloat32 } from "../../../kernels/ops/softmax.ts";
import type { RunningKind } from "../kind.ts";
import { rowsModule } from "../rows.ts";

/**
 * How LogSoftmax runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   Linear,
 *   LogSoftmax,
 *   prepare,
 *   Sequential,
 *   tensor,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { logSoftmax } from "@splitgate/splitgate/runtime/softmax";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 4 });
 * const observed = prepare(new Sequential({ linear, last: new LogSoftmax() }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25, 1, -0.5, 0.75, -2], [4, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [logSoftmax] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const logSoftmax: RunningKind = {
  kind: "LogSoftmax",
  instantiate: (program) => rowsModule(logSoftmaxFloat32, program, false),
};
