/**
 * Running windows that move over time: convolution, pooling, padding. A window that reads only the
 * past and moves by one step keeps its last inputs in a slot and can run a step at a time; any
 * other needs whole sequences, and may change their number of steps.
 *
 * @module
 */
import { type Window, windowExtent, windowSteps } from "../../kernels/ops/window.ts";
import { failRange } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { ModuleInstance, NodeProgram, RunningKind, Values } from "./kind.ts";
import type { ProjectingKernels } from "./projector.ts";

/** The program of a module that moves a window over time. */
export interface WindowProgram extends NodeProgram {
  /** The window. */
  readonly window: Window;
}

/** Whether a window gives as many steps as it reads, for any number of steps. */
export function keepsSteps(window: Window): boolean {
  const { stride, left, right } = window;
  return stride === 1 && left + right === windowExtent(window) - 1;
}

/** Whether the output at a step depends on no later step. */
export function isCausal(window: Window): boolean {
  return keepsSteps(window) && window.right === 0;
}

/** Smallest number of steps for which there is an output; 0 or less if padding suffices. */
export function minSteps(window: Window): number {
  const { left, right, stride, ceilMode } = window;
  return windowExtent(window) - left - right - (ceilMode ? stride - 1 : 0);
}

/**
 * Number of output steps for `steps` input steps; 0 for 0.
 *
 * @param row The batch row with this number of steps; -1 for all rows.
 * @throws {RangeError} If the window is wider than the padded sequence.
 */
export function countSteps(window: Window, name: string, row: number, steps: number): number {
  if (steps > 0 && steps < minSteps(window)) {
    const expected = `at least ${minSteps(window)} steps, for a window of ${windowExtent(window)}`;
    failRange(row < 0 ? name : `${name}[${row}]`, expected, steps);
  }
  return steps > 0 ? windowSteps(window, steps) : 0;
}

/** Describes a kind that moves a window. */
export interface MovingWindow<P extends WindowProgram> {
  /** Its name in programs. */
  readonly kind: string;
  /** Value of the padding; 0 by default. */
  padding?(q: PerTensorQParams | null): number;
  /** Instantiates it; rows are projected by the kernels if they can. */
  instantiate(program: P, kernels: ProjectingKernels | undefined): MovedWindow;
}

/** An instantiated window. */
export interface MovedWindow extends Pick<ModuleInstance, "infallible"> {
  /**
   * Computes one position.
   *
   * @param line Steps of one sequence with its padding, [steps, size].
   * @param from Where the window begins in it: position * stride * size.
   * @param out Receives a row from `to` on.
   * @param steps Steps of the sequence without padding.
   */
  move(line: Float64Array, from: number, out: Values, to: number, steps: number): void;
}

/** How a window runs: with a slot it continues from the previous call. */
export function movingWindow<P extends WindowProgram>(
  { kind, padding = () => 0, instantiate }: MovingWindow<P>,
): RunningKind<P> {
  return {
    kind,
    instantiate(program, kernels) {
      const { window, inputs: [port], output } = program;
      const { size, qparams } = port!;
      const { left, right, stride } = window;
      const blank = padding(qparams);
      const { move, infallible } = instantiate(program, kernels);
      let line = new Float64Array(0);
      let counts = new Int32Array(0);
      return {
        infallible,
        countSteps({ steps, lengths }, own) {
          own.steps = countSteps(window, "steps", -1, steps);
          own.lengths = null;
          if (lengths === null) return;
          if (counts.length !== lengths.length) counts = new Int32Array(lengths.length);
          for (let row = 0; row < counts.length; row++) {
            counts[row] = countSteps(window, "lengths", row, lengths[row]!);
          }
          own.lengths = counts;
        },
        // The last position may reach beyond the padding by less than the stride.
        reserve(_batch, steps) {
          const length = (left + steps + right + stride) * size;
          if (line.length < length) line = new Float64Array(length);
          return length * 8;
        },
        process(state, [x], out, { steps, batch, lengths }) {
          const values = line;
          const previous = state.x;
          const start = left * size;
          for (let row = 0; row < batch; row++) {
            const own = lengths === null ? steps : Math.min(steps, lengths[row]!);
            const end = start + own * size;
            for (let k = 0; k < start; k++) {
              values[k] = previous ? previous[row * start + k]! : blank;
            }
            for (let k = start, from = row * size; k < end; from += batch * size) {
              for (let i = 0; i < size; i++) values[k++] = x![from + i]!;
            }
            for (let k = end; k < end + (right + stride) * size; k++) values[k] = blank;
            const count = own > 0 ? windowSteps(window, own) : 0;
            for (let t = 0; t < count; t++) {
              move(values, t * stride * size, out, (t * batch + row) * output.size, own);
            }
            if (previous) {
              for (let k = 0; k < start; k++) previous[row * start + k] = values[own * size + k]!;
            }
          }
        },
      };
    },
  };
}
