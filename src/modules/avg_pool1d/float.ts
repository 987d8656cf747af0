/**
 * The float AvgPool1d.
 *
 * @module
 */
import { avgPool1dFloat32 } from "../../../kernels/ops/pooling.ts";
import { checkOptions } from "../../core/check.ts";
import { checkBoolean } from "../../core/errors.ts";
import { PoolModule } from "../pool.ts";
import { checkPoolPadding, type Padding, windowOf } from "../window.ts";

/**
 * Options of {@linkcode AvgPool1d}.
 *
 * @example
 * ```ts
 * import { AvgPool1d, type AvgPool1dOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: AvgPool1dOptions = { kernelSize: 2 }; // stride 2, as in PyTorch
 * assertEquals([...new AvgPool1d(options).forward(tensor([1, 3, 5, 9], [4, 1, 1])).data], [2, 7]);
 * ```
 */
export interface AvgPool1dOptions {
  /** Steps that a window reads. */
  readonly kernelSize: number;
  /** Steps from one window to the next; kernelSize by default. */
  readonly stride?: number;
  /** Steps of zero padding; 0 by default. As a number at most half the kernel. */
  readonly padding?: Padding;
  /** Whether a last window may reach beyond the end; false by default. */
  readonly ceilMode?: boolean;
  /** Whether padding counts as zeros in the mean, or is left out of it; true by default. */
  readonly countIncludePad?: boolean;
  /**
   * Whether x is [batch, steps, features] rather than [steps, batch, features]; false by default.
   */
  readonly batchFirst?: boolean;
}

/** Names of the options. */
export const AVG_POOL_OPTIONS: readonly string[] = [
  "kernelSize",
  "stride",
  "padding",
  "ceilMode",
  "countIncludePad",
  "batchFirst",
];

/**
 * torch.nn.AvgPool1d: the mean of each feature in each window of steps. Each is rounded to float32
 * once; torch sums in float32.
 *
 * Features are the last dimension and steps one before: torch's [batch, features, steps] has to be
 * transposed. `padding: "causal"` with a stride of 1 can run a step at a time.
 *
 * @example
 * ```ts
 * import { AvgPool1d, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const pool = new AvgPool1d({ kernelSize: 2, stride: 1, padding: "causal" });
 * assertEquals(pool.forward(tensor([2, 4, 8], [3, 1])), tensor([1, 3, 6], [3, 1]));
 * ```
 */
export class AvgPool1d extends PoolModule {
  /** Name of the kind. */
  override readonly kind = "AvgPool1d";
  /** Whether the zeros of the padding count. */
  readonly countIncludePad: boolean;

  /**
   * Checks the options.
   *
   * @throws {TypeError | RangeError} If an option is unknown or no positive integer, or torch
   * refuses the padding: it is more than half the kernel.
   */
  constructor(options: AvgPool1dOptions) {
    checkOptions("options", options, AVG_POOL_OPTIONS);
    const { kernelSize, stride = kernelSize, padding = 0, ceilMode = false } = options;
    const window = windowOf({ kernelSize, stride, padding, dilation: 1, ceilMode });
    checkPoolPadding("padding", window, padding);
    super(window, checkBoolean("batchFirst", options.batchFirst ?? false));
    this.countIncludePad = checkBoolean("countIncludePad", options.countIncludePad ?? true);
  }

  /** Computes one sequence. */
  protected override compute(x: Float32Array, size: number, out: Float32Array): void {
    avgPool1dFloat32(x, size, this, out);
  }
}
