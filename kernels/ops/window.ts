/**
 * Windows over the steps of a sequence, for convolution and pooling: how many positions there are,
 * and which steps each covers.
 *
 * Each sequence is one batch row as [steps, channels], not [channels, steps] as in torch's Conv1d.
 *
 * @module
 */

/**
 * A window that moves over steps.
 *
 * @example
 * ```ts
 * import { MaxPool1d } from "@splitgate/splitgate";
 * import type { Window } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const window: Window = new MaxPool1d({ kernelSize: 2 }).window;
 * const { kernelSize, stride } = window;
 * const stepsBehind = (steps: number) => Math.floor((steps - kernelSize) / stride) + 1;
 * assertEquals(stepsBehind(20), 10);
 * ```
 */
export interface Window {
  /** Steps that it reads, 1 or more. */
  readonly kernelSize: number;
  /** Steps from one position to the next, 1 or more. */
  readonly stride: number;
  /** Distance between the steps that it reads, 1 or more. */
  readonly dilation: number;
  /** Steps of padding before the sequence. */
  readonly left: number;
  /** Steps of padding after it. */
  readonly right: number;
  /** Whether one more position may reach beyond the padding after the sequence. */
  readonly ceilMode: boolean;
}

/**
 * Steps from the first that a window reads to the last, both counted.
 *
 * @example
 * ```ts
 * import { windowExtent } from "./window.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(windowExtent({ kernelSize: 3, dilation: 2 }), 5);
 * ```
 */
export function windowExtent(
  { kernelSize, dilation }: Pick<Window, "kernelSize" | "dilation">,
): number {
  return (kernelSize - 1) * dilation + 1;
}

/**
 * Positions of a window on a sequence of `steps` steps, torch's `pooling_output_shape`; less than 1
 * where the window is wider than the padded sequence.
 *
 * @example
 * ```ts
 * import { windowSteps } from "./window.ts";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 3, stride: 2, dilation: 1, left: 1, right: 1, ceilMode: false };
 * assertEquals([1, 2, 3, 4].map((steps) => windowSteps(window, steps)), [1, 1, 2, 2]);
 * ```
 */
export function windowSteps(window: Window, steps: number): number {
  const { stride, left, right, ceilMode } = window;
  const rest = steps + left + right - windowExtent(window);
  const count = Math.floor((rest + (ceilMode ? stride - 1 : 0)) / stride) + 1;
  // The last one begins within the sequence, or in the padding before it.
  return ceilMode && (count - 1) * stride >= steps + left ? count - 1 : count;
}
