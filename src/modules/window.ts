/**
 * Shared by modules that move a window over time: options, shapes, rows of different lengths, and
 * their part of a model file.
 *
 * Steps beyond a sequence's length count as padding, so that results are those of the row alone.
 *
 * @module
 */
import { type Window, windowExtent } from "../../kernels/ops/window.ts";
import { checkLengths, checkOptions, checkTensor } from "../core/check.ts";
import { checkBoolean, checkInteger, failRange, failType } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import { countSteps, isCausal, keepsSteps, minSteps } from "../runtime/window.ts";
import type { Port, Slot } from "../runtime/kind.ts";
import type { ModuleReader } from "./file.ts";

/**
 * Options of `forward` of modules that move a window.
 *
 * @example
 * ```ts
 * import { MaxPool1d, tensor } from "@splitgate/splitgate";
 * import type { WindowForwardOptions } from "@splitgate/splitgate/modules";
 * const x = tensor([1, 2, 3, 9, 4, 9, 4, 9], [4, 2, 1]); // [steps, batch, features]
 * const options: WindowForwardOptions = { lengths: [4, 2] }; // the second row ends after two steps
 * new MaxPool1d({ kernelSize: 2 }).forward(x, options);
 * ```
 */
export interface WindowForwardOptions {
  /** Number of valid steps of each batch row, 1..steps, in any order; all of them by default. */
  readonly lengths?: ArrayLike<number>;
}

/**
 * Steps of padding: on both sides, or [before, after]. "valid" is none; "same" keeps the number of
 * steps, with an odd step of padding at the end; "causal" keeps it with all padding at the
 * beginning, so that no step looks ahead.
 *
 * @example
 * ```ts
 * import { Conv1d } from "@splitgate/splitgate";
 * import type { Padding } from "@splitgate/splitgate/modules";
 * const paddings: Padding[] = [0, "same", "causal", [2, 0]]; // [before, after]: here as "causal"
 * for (const padding of paddings) {
 *   new Conv1d({ inChannels: 1, outChannels: 1, kernelSize: 3, padding });
 * }
 * ```
 */
export type Padding = number | "valid" | "same" | "causal" | readonly [number, number];

/** Options of a window, by PyTorch's names. */
export interface WindowOptions {
  readonly kernelSize: unknown;
  readonly stride: unknown;
  readonly padding: unknown;
  readonly dilation: unknown;
  readonly ceilMode: unknown;
}

/** Largest value of a window's options. */
const MAX_STEPS = 2 ** 20;

/** Steps of padding before and after a sequence. */
function sides(
  name: string,
  padding: unknown,
  stride: number,
  total: number,
): [unknown, unknown] {
  if (typeof padding === "number") return [padding, padding];
  if (Array.isArray(padding) && padding.length === 2) return [padding[0], padding[1]];
  if (padding === "valid") return [0, 0];
  if (padding === "causal") return [total, 0];
  if (padding !== "same") {
    const expected = 'a number, "valid", "same", "causal" or [before, after]';
    return (typeof padding === "string" ? failRange : failType)(name, expected, padding);
  }
  // torch refuses it, too: the amount would depend on the number of steps.
  if (stride !== 1) failRange("stride", '1, since the padding is "same"', stride);
  const before = Math.floor(total / 2);
  return [before, total - before];
}

/**
 * Checks a window's options.
 *
 * @param prefix Prefix of their names in messages.
 */
export function windowOf(options: WindowOptions, prefix = ""): Window {
  const whole = (key: keyof WindowOptions) =>
    checkInteger(`${prefix}${key}`, options[key], 1, MAX_STEPS);
  const [kernelSize, stride, dilation] = [whole("kernelSize"), whole("stride"), whole("dilation")];
  const extent = windowExtent({ kernelSize, dilation });
  if (extent > MAX_STEPS) {
    failRange(`${prefix}dilation`, `a window of at most ${MAX_STEPS} steps`, extent);
  }
  const padding = `${prefix}padding`;
  const [left, right] = sides(padding, options.padding, stride, extent - 1);
  return {
    kernelSize,
    stride,
    dilation,
    left: checkInteger(padding, left, 0, MAX_STEPS),
    right: checkInteger(padding, right, 0, MAX_STEPS),
    ceilMode: checkBoolean(`${prefix}ceilMode`, options.ceilMode),
  };
}

/**
 * Throws if a pooling window could cover padding only: equal padding must be at most half the
 * kernel, torch's limit; different sides must each be less than the window.
 */
export function checkPoolPadding(name: string, window: Window, padding: unknown): void {
  const { left, right, dilation } = window;
  const half = Math.floor(windowExtent(window) / 2);
  if (typeof padding === "number" && padding > half) {
    failRange(name, `at most half the kernel, ${half}`, padding);
  }
  const max = windowExtent(window) - 1;
  checkInteger(name, left, 0, max);
  checkInteger(name, right, 0, max);
  if (dilation > 1 && left + right > 0 && minSteps(window) < dilation && !isCausal(window)) {
    const expected = `less, so that no window finds padding alone at a dilation of ${dilation}`;
    failRange(name, expected, [left, right]);
  }
}

/** Layout of a tensor's rows. */
export interface Rows {
  readonly steps: number;
  readonly batch: number;
  /** Whether they are [batch, steps, ...]. */
  readonly batchFirst: boolean;
  /** Steps of each batch row; null where all have all steps. */
  readonly lengths: ArrayLike<number> | null;
}

/** Steps of each row after a window; unchanged without one. */
export function lengthsAfter(
  window: Window | undefined,
  lengths: ArrayLike<number> | null,
): ArrayLike<number> | null {
  if (window === undefined || lengths === null || keepsSteps(window)) return lengths;
  return Array.from(lengths, (steps, b) => countSteps(window, "lengths", b, steps));
}

/** Runs a window over rows. */
export interface Moving<T> {
  readonly window: Window;
  /** Input width. */
  readonly size: number;
  /** Output width. */
  readonly width: number;
  /** Allocates an array. */
  make(length: number): T;
  /** Runs one sequence, [steps, size] to [positions, width]. */
  compute(x: T, out: T): void;
}

type Numbers = Uint8Array | Int8Array | Int32Array | Float32Array;

/**
 * Runs a window over each row; values beyond its length are those of the array that `make` returns.
 */
export function moveOverRows<T extends Numbers>(data: T, rows: Rows, moving: Moving<T>): T {
  const { steps, batch, batchFirst, lengths } = rows;
  const { window, size, width } = moving;
  const maxSteps = countSteps(window, "x.shape", -1, steps);
  const out = moving.make(maxSteps * batch * width);
  for (let b = 0; b < batch; b++) {
    const own = lengths === null ? steps : lengths[b]!;
    const x = moving.make(own * size);
    for (let t = 0; t < own; t++) {
      const from = (batchFirst ? b * steps + t : t * batch + b) * size;
      x.set(data.subarray(from, from + size), t * size);
    }
    const count = countSteps(window, "lengths", b, own);
    const y = moving.make(count * width);
    moving.compute(x, y);
    for (let t = 0; t < count; t++) {
      const to = (batchFirst ? b * maxSteps + t : t * batch + b) * width;
      out.set(y.subarray(t * width, (t + 1) * width), to);
    }
  }
  return out;
}

/** Layout of a tensor [steps, batch, size] or [steps, size], with checked lengths. */
export function rowsOf(
  { shape }: { readonly shape: readonly number[] },
  size: number | null,
  { batchFirst, lengths }: { batchFirst: boolean; lengths: ArrayLike<number> | undefined },
): Rows & { readonly shapeOf: (steps: number, width: number) => number[] } {
  const batched = shape.length === 3;
  if ((!batched && shape.length !== 2) || (size !== null && shape.at(-1) !== size)) {
    const width = size ?? "features";
    const layout = batchFirst ? "batch, steps" : "steps, batch";
    failRange("x.shape", `[${layout}, ${width}] or [steps, ${width}]`, shape);
  }
  const swap = batched && batchFirst;
  const steps = shape[swap ? 1 : 0]!;
  const batch = batched ? shape[swap ? 0 : 1]! : 1;
  return {
    steps,
    batch,
    batchFirst: swap,
    lengths: lengths === undefined ? null : checkLengths(lengths, batch, steps),
    shapeOf: (steps, width) =>
      batched ? swap ? [batch, steps, width] : [steps, batch, width] : [steps, width],
  };
}

/**
 * Runs a window over a float tensor.
 *
 * @param width Required input width; null for any.
 * @param moving The window for a given input width.
 */
export function forwardWindow(
  x: Tensor,
  options: WindowForwardOptions,
  { batchFirst }: { readonly batchFirst: boolean },
  width: number | null,
  moving: (size: number) => Omit<Moving<Float32Array>, "size" | "make">,
): Tensor {
  checkTensor("x", x);
  checkOptions("options", options, ["lengths"]);
  const { shapeOf, ...rows } = rowsOf(x, width, { batchFirst, lengths: options.lengths });
  const size = x.shape.at(-1)!;
  const own = moving(size);
  const steps = countSteps(own.window, "x.shape", -1, rows.steps);
  const make = (length: number) => new Float32Array(length);
  const data = moveOverRows(x.data, rows, { ...own, size, make });
  return { data, shape: shapeOf(steps, own.width) };
}

/**
 * The slot of a window: the inputs that the next step needs. There is none if the window is a
 * single step, or looks ahead.
 *
 * @param initial Value of the padding.
 */
export function windowSlots(
  { left }: Window,
  { size, qparams }: Port,
  initial = 0,
): readonly Slot[] {
  return left === 0 ? [] : [{ name: "x", size: left * size, groups: [qparams], initial }];
}

/** A window's fields in a fixed order, for fingerprints. */
export function windowNumbers(window: Window): readonly unknown[] {
  const { kernelSize, stride, dilation, left, right, ceilMode } = window;
  return [kernelSize, stride, dilation, left, right, ceilMode];
}

/** A window as a model file's JSON holds it. */
export function writeWindow(window: Window): Record<string, unknown> {
  const { kernelSize, stride, dilation, left, right, ceilMode } = window;
  return {
    kernelSize,
    stride,
    padding: [left, right],
    dilation,
    ...ceilMode && { ceilMode },
  };
}

/** Reads a window that {@linkcode writeWindow} wrote, without checking it. */
export function readWindow(file: ModuleReader): Window {
  const [left, right] = file.list("padding", file.field("padding"), 2) as number[];
  return {
    kernelSize: file.field("kernelSize") as number,
    stride: file.field("stride") as number,
    dilation: file.field("dilation") as number,
    left: left!,
    right: right!,
    ceilMode: file.option("ceilMode"),
  };
}

/** Requires a window with integer fields. */
export function checkWindow(name: string, { left, right, ...rest }: Window): Window {
  return windowOf({ ...rest, padding: [left, right] }, `${name}.`);
}
