/**
 * Running Linear: rows of integers or floats, projected.
 *
 * @module
 */
import { checkResults } from "../check_results.ts";
import type { NodeProgram, RunningKind } from "../kind.ts";
import { projectorFor, type ProjectorProgram } from "../projector.ts";

/** A linear layer's numbers. */
export interface LinearProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "Linear";
  /** Projects its rows. */
  readonly projector: ProjectorProgram;
  /** Whether negative results become 0. */
  readonly relu: boolean;
}

/** How Linear runs. */
export const linear: RunningKind<LinearProgram> = {
  kind: "Linear",
  instantiate({ projector, relu, inputs, output }, kernels) {
    const { size: width, qparams } = inputs[0]!;
    const { size } = output;
    const reals = output.qparams === null;
    const overflows = projector.float !== null && reals;
    // Integers are bounded below by their parameters.
    const floors = relu && reals;
    const project = projectorFor(projector, qparams, kernels, false);
    return {
      infallible: !overflows,
      process(_state, [x], out, call) {
        const rows = call.steps * call.batch;
        for (let r = 0; r < rows; r++) project(x!, r * width, out, r * size);
        if (floors) { for (let k = 0; k < rows * size; k++) if (!(out[k]! > 0)) out[k] = 0; }
        if (overflows) checkResults(out, size, call);
      },
    };
  },
};
