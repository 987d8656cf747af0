/**
 * Running Conv1d: the values under each window are projected, one group of channels at a time.
 *
 * @module
 */
import { checkResult } from "../../core/errors.ts";
import { projectorFor, type ProjectorProgram } from "../projector.ts";
import type { RunningKind } from "../kind.ts";
import { movingWindow, type WindowProgram } from "../window.ts";

/** A convolution's numbers. */
export interface Conv1dProgram extends WindowProgram {
  /** Tells modules apart. */
  readonly kind: "Conv1d";
  /** Projects one window of each group; values are ordered by step, then channel. */
  readonly projectors: readonly ProjectorProgram[];
  /** Whether negative results become 0. */
  readonly relu: boolean;
}

/**
 * How Conv1d runs.
 *
 * @example
 * ```ts
 * import { compileModel, Conv1d, convert, getPreset, prepare, tensor } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { conv1d } from "@splitgate/splitgate/runtime/conv";
 * import { assertEquals } from "@std/assert";
 * const conv = new Conv1d({ inChannels: 1, outChannels: 2, kernelSize: 3, padding: "causal" });
 * const observed = prepare(conv, getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2], [3, 1, 1]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [conv1d] });
 * assertEquals(program.looksAhead, false);
 * ```
 */
export const conv1d: RunningKind<Conv1dProgram> = movingWindow({
  kind: "Conv1d",
  instantiate({ window: { kernelSize, dilation }, projectors, relu, inputs, output }, kernels) {
    const { size, qparams: taken } = inputs[0]!;
    const { size: width, qparams } = output;
    const overflows = projectors[0]!.float !== null && qparams === null;
    // Integers are bounded below by their parameters.
    const floors = relu && qparams === null;
    const groups = projectors.length;
    const channels = size / groups;
    const rows = width / groups;
    const project = projectors.map((each) => projectorFor(each, taken, kernels, false));
    // Consecutive steps with all their channels form a window without copying.
    const covered = groups > 1 || dilation > 1 ? new Float64Array(kernelSize * channels) : null;
    return {
      infallible: !overflows,
      move(line, from, out, to) {
        for (let group = 0; group < groups; group++) {
          if (covered !== null) {
            let at = from + group * channels;
            for (let k = 0; k < covered.length; at += dilation * size) {
              for (let i = 0; i < channels; i++) covered[k++] = line[at + i]!;
            }
            project[group]!(covered, 0, out, to + group * rows);
          } else project[group]!(line, from, out, to);
        }
        for (let k = to; k < to + width; k++) {
          if (floors && !(out[k]! > 0)) out[k] = 0;
          if (overflows) checkResult(out[k]!);
        }
      },
    };
  },
});
