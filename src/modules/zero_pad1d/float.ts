/**
 * The float ZeroPad1d.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import { checkBoolean, failType } from "../../core/errors.ts";
import { PoolModule } from "../pool.ts";
import { windowOf } from "../window.ts";

/**
 * Options of {@linkcode ZeroPad1d}.
 *
 * @example
 * ```ts
 * import { tensor, ZeroPad1d, type ZeroPad1dOptions } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: ZeroPad1dOptions = { padding: [1, 2] }; // steps before and behind
 * assertEquals([...new ZeroPad1d(options).forward(tensor([7], [1, 1, 1])).data], [0, 7, 0, 0]);
 * ```
 */
export interface ZeroPad1dOptions {
  /** Steps of zeros on both sides, or [before, after]. */
  readonly padding: number | readonly [number, number];
  /**
   * Whether x is [batch, steps, features] rather than [steps, batch, features]; false by default.
   */
  readonly batchFirst?: boolean;
}

/** Names of the options. */
export const ZERO_PAD_OPTIONS: readonly string[] = ["padding", "batchFirst"];

/**
 * torch.nn.ZeroPad1d: steps of zeros before and after a sequence. `prepare` makes it part of the
 * Conv1d or AvgPool1d that is its only reader, if the result is the same.
 *
 * Steps are the first dimension, or the second if batchFirst; in torch they are the last.
 *
 * @example
 * ```ts
 * import { tensor, ZeroPad1d } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const pad = new ZeroPad1d({ padding: [2, 0] });
 * assertEquals(pad.forward(tensor([5], [1, 1])), tensor([0, 0, 5], [3, 1]));
 * ```
 */
export class ZeroPad1d extends PoolModule {
  /** Name of the kind. */
  override readonly kind = "ZeroPad1d";

  /**
   * Checks the options.
   *
   * @throws {TypeError | RangeError} If an option is unknown, or no integer of 0 or more.
   */
  constructor(options: ZeroPad1dOptions) {
    checkOptions("options", options, ZERO_PAD_OPTIONS);
    const { padding, batchFirst = false } = options;
    if (typeof padding === "string") failType("padding", "a number or [before, after]", padding);
    const window = windowOf({ kernelSize: 1, stride: 1, padding, dilation: 1, ceilMode: false });
    super(window, checkBoolean("batchFirst", batchFirst));
  }

  /** Computes one sequence. */
  protected override compute(x: Float32Array, size: number, out: Float32Array): void {
    out.set(x, this.window.left * size);
  }
}
