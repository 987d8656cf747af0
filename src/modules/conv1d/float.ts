/**
 * The float convolution.
 *
 * @module
 */
import { conv1dFloat32 } from "../../../kernels/ops/convolution.ts";
import type { Window } from "../../../kernels/ops/window.ts";
import { checkOptions, MAX_SIZE, parameter } from "../../core/check.ts";
import { checkBoolean, checkFinite, checkInteger, failRange } from "../../core/errors.ts";
import { generatorOf, type Seed } from "../../core/generator.ts";
import type { Tensor } from "../../core/tensor.ts";
import { Module } from "../module.ts";
import { forwardWindow, type Padding, type WindowForwardOptions, windowOf } from "../window.ts";

/**
 * Options of {@linkcode Conv1d}.
 *
 * @example
 * ```ts
 * import { Conv1d, type Conv1dOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: Conv1dOptions = {
 *   inChannels: 3,
 *   outChannels: 8,
 *   kernelSize: 5,
 *   padding: "causal", // reads no step to come, so that a session can step
 * };
 * const x = tensor(new Float32Array(60), [20, 1, 3]);
 * assertEquals(new Conv1d(options).forward(x).shape, [20, 1, 8]);
 * ```
 */
export interface Conv1dOptions {
  /** Last dimension of x. */
  readonly inChannels: number;
  /** Last dimension of y. */
  readonly outChannels: number;
  /** Steps that a window reads. */
  readonly kernelSize: number;
  /** Steps from one window to the next; 1 by default. */
  readonly stride?: number;
  /** Steps of zero padding; 0 by default. */
  readonly padding?: Padding;
  /** Distance between the steps that a window reads; 1 by default. */
  readonly dilation?: number;
  /** Number of channel groups; 1 by default. */
  readonly groups?: number;
  /** Whether there is a bias; true by default. */
  readonly bias?: boolean;
  /**
   * Whether x is [batch, steps, inChannels] rather than [steps, batch, inChannels]; false by
   * default.
   */
  readonly batchFirst?: boolean;
  /** Where the initial weights come from; 0 by default. */
  readonly seed?: Seed;
}

const NAMES = [
  "inChannels",
  "outChannels",
  "kernelSize",
  "stride",
  "padding",
  "dilation",
  "groups",
  "bias",
  "batchFirst",
  "seed",
];

/** Requires a number of groups that divides both numbers of channels. */
export function checkGroups(name: string, groups: unknown, inner: number, outer: number): number {
  const count = checkInteger(name, groups, 1, MAX_SIZE);
  if (inner % count !== 0 || outer % count !== 0) {
    failRange(name, `a divisor of inChannels = ${inner} and outChannels = ${outer}`, groups);
  }
  return count;
}

/**
 * torch.nn.Conv1d over steps of time, with padding of zeros. Each sum, including the bias, is
 * accumulated in double and rounded to float32 once; torch sums in float32.
 *
 * Channels are the last dimension, like the features of Linear and LSTM: transpose torch's [batch,
 * channels, steps] to [batch, steps, channels] with batchFirst. The weight has torch's shape,
 * [outChannels, inChannels / groups, kernelSize].
 *
 * With `padding: "causal"` and a stride of 1 it reads no future steps: a session keeps its last
 * inputs and can run it a step at a time. Otherwise it needs whole sequences, and gives
 * floor((steps + padding - dilation * (kernelSize - 1) - 1) / stride) + 1 steps for them.
 *
 * Weight and bias start uniform in ±1/sqrt(inChannels / groups * kernelSize), weight first, with
 * the same bits as after torch.manual_seed(seed).
 *
 * @example
 * ```ts
 * import { Conv1d, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const conv = new Conv1d({ inChannels: 1, outChannels: 1, kernelSize: 2, padding: "causal" });
 * conv.loadStateDict(
 *   new Map([["weight", tensor([10, 1], [1, 1, 2])], ["bias", tensor([0.5], [1])]]),
 * );
 * assertEquals([...conv.forward(tensor([1, 2, 3], [3, 1])).data], [1.5, 12.5, 23.5]);
 * ```
 */
export class Conv1d extends Module {
  /** Name of the kind. */
  override readonly kind = "Conv1d";
  /** Last dimension of x. */
  readonly inChannels: number;
  /** Last dimension of y. */
  readonly outChannels: number;
  /** The window; padding as numbers of steps before and after. */
  readonly window: Window;
  /** Number of channel groups. */
  readonly groups: number;
  /** Whether x is [batch, steps, inChannels] rather than [steps, batch, inChannels]. */
  readonly batchFirst: boolean;
  /** [outChannels, inChannels / groups, kernelSize] */
  readonly weight: Float32Array;
  /** [outChannels], or null. */
  readonly bias: Float32Array | null;

  /**
   * Allocates weight and bias and fills them from the seed.
   *
   * @throws {TypeError | RangeError} If an option is unknown or no positive integer, boolean or
   * seed, padding is negative, "same" with a stride, or of another kind, or groups does not divide
   * the channels.
   */
  constructor(options: Conv1dOptions) {
    super();
    checkOptions("options", options, NAMES);
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, seed = 0 } = options;
    const inChannels = checkInteger("inChannels", options.inChannels, 1, MAX_SIZE);
    const outChannels = checkInteger("outChannels", options.outChannels, 1, MAX_SIZE);
    const { kernelSize } = options;
    this.window = windowOf({ kernelSize, stride, padding, dilation, ceilMode: false });
    this.groups = checkGroups("groups", groups, inChannels, outChannels);
    this.batchFirst = checkBoolean("batchFirst", options.batchFirst ?? false);
    checkBoolean("bias", bias);
    const generator = generatorOf(seed);
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.weight = parameter("weight", [outChannels, inChannels / groups, kernelSize]);
    this.bias = bias ? parameter("bias", [outChannels]) : null;
    // As Linear's.
    const bound = 1 / Math.sqrt(inChannels / groups * kernelSize);
    for (const { data } of this.stateDict().values()) generator.uniform(data, -bound, bound);
  }

  /** `weight` and `bias`. */
  override stateDict(): Map<string, Tensor> {
    const { inChannels, outChannels, groups, window: { kernelSize } } = this;
    const tensors = new Map<string, Tensor>([["weight", {
      data: this.weight,
      shape: [outChannels, inChannels / groups, kernelSize],
    }]]);
    if (this.bias !== null) tensors.set("bias", { data: this.bias, shape: [outChannels] });
    return tensors;
  }

  /**
   * Applies the layer to sequences.
   *
   * @param x [steps, batch, inChannels], [batch, steps, inChannels] if batchFirst, or
   * [steps, inChannels] unbatched; finite.
   * @param options.lengths Steps of each batch row; all by default. Steps beyond a row's length
   * count as padding, so that results are those of the row alone.
   * @returns Of x's layout, outChannels wide, with as many steps as the window has positions; 0
   * beyond those of a row.
   * @throws {TypeError} If `x` is no float32 tensor or an option is unknown.
   * @throws {RangeError} If a shape does not fit, a dimension is 0, a length is out of range, a row
   * is shorter than the window, or `x` or the result is not finite.
   */
  forward(x: Tensor, options: WindowForwardOptions = {}): Tensor {
    const { window, inChannels, outChannels } = this;
    const y = forwardWindow(x, options, this, inChannels, () => ({
      window,
      width: outChannels,
      compute: (row, out) => conv1dFloat32(row, inChannels, this, out),
    }));
    checkFinite("y", y.data);
    return y;
  }
}

/**
 * A Conv1d followed by ReLU, as torch.ao.nn.intrinsic.ConvReLU1d; `prepare` fuses the two, so that
 * sums are rounded once.
 *
 * @example
 * ```ts
 * import { Conv1dReLU, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const conv = new Conv1dReLU({ inChannels: 1, outChannels: 2, kernelSize: 1, bias: false });
 * conv.weight.set([1, -1]);
 * assertEquals([...conv.forward(tensor([3], [1, 1])).data], [3, 0]);
 * ```
 */
export class Conv1dReLU extends Conv1d {
  /**
   * Applies the layer and max(y, 0) to sequences.
   *
   * @throws {TypeError | RangeError} As {@linkcode Conv1d.forward}.
   */
  override forward(x: Tensor, options: WindowForwardOptions = {}): Tensor {
    const { data, shape } = super.forward(x, options);
    return { data: data.map((value) => value > 0 ? value : 0), shape };
  }
}

/** A convolution with the sizes of another, some replaced, and new weights. */
export function convLike(
  { inChannels, outChannels, window, groups, bias, batchFirst }: Conv1d,
  Kind: typeof Conv1d,
  other: { readonly padding?: readonly [number, number]; readonly bias?: boolean } = {},
): Conv1d {
  const { kernelSize, stride, dilation, left, right } = window;
  return new Kind({
    inChannels,
    outChannels,
    kernelSize,
    stride,
    padding: other.padding ?? [left, right],
    dilation,
    groups,
    bias: other.bias ?? bias !== null,
    batchFirst,
  });
}
