/**
 * The float MaxPool1d.
 *
 * @module
 */
import { maxPool1d } from "../../../kernels/ops/pooling.ts";
import { checkOptions } from "../../core/check.ts";
import { checkBoolean } from "../../core/errors.ts";
import { PoolModule } from "../pool.ts";
import { checkPoolPadding, type Padding, windowOf } from "../window.ts";

/**
 * Options of {@linkcode MaxPool1d}.
 *
 * @example
 * ```ts
 * import { MaxPool1d, type MaxPool1dOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: MaxPool1dOptions = { kernelSize: 2, stride: 1 };
 * assertEquals([...new MaxPool1d(options).forward(tensor([1, 3, 2], [3, 1, 1])).data], [3, 3]);
 * ```
 */
export interface MaxPool1dOptions {
  /** Steps that a window reads. */
  readonly kernelSize: number;
  /** Steps from one window to the next; kernelSize by default. */
  readonly stride?: number;
  /**
   * Steps of padding, which is never the maximum; 0 by default. As a number at most half the
   * kernel.
   */
  readonly padding?: Padding;
  /** Distance between the steps that a window reads; 1 by default. */
  readonly dilation?: number;
  /** Whether a last window may reach beyond the end; false by default. */
  readonly ceilMode?: boolean;
  /**
   * Whether x is [batch, steps, features] rather than [steps, batch, features]; false by default.
   */
  readonly batchFirst?: boolean;
}

/** Names of the options. */
export const MAX_POOL_OPTIONS: readonly string[] = [
  "kernelSize",
  "stride",
  "padding",
  "dilation",
  "ceilMode",
  "batchFirst",
];

/**
 * torch.nn.MaxPool1d: the largest value of each feature in each window of steps.
 *
 * Features are the last dimension and steps one before: torch's [batch, features, steps] has to be
 * transposed.
 *
 * @example
 * ```ts
 * import { MaxPool1d, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const pool = new MaxPool1d({ kernelSize: 2 });
 * assertEquals(pool.forward(tensor([3, 1, -2, -5], [4, 1])), tensor([3, -2], [2, 1]));
 * ```
 */
export class MaxPool1d extends PoolModule {
  /** Name of the kind. */
  override readonly kind = "MaxPool1d";

  /**
   * Checks the options.
   *
   * @throws {TypeError | RangeError} If an option is unknown or no positive integer, or torch
   * refuses the padding: it is more than half the kernel.
   */
  constructor(options: MaxPool1dOptions) {
    checkOptions("options", options, MAX_POOL_OPTIONS);
    const { kernelSize, stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } =
      options;
    const window = windowOf({ kernelSize, stride, padding, dilation, ceilMode });
    checkPoolPadding("padding", window, padding);
    super(window, checkBoolean("batchFirst", options.batchFirst ?? false));
  }

  /** Computes one sequence. */
  protected override compute(x: Float32Array, size: number, out: Float32Array): void {
    maxPool1d(x, size, this.window, out);
  }
}
