/**
 * The last step of each row's own length, of float32 sequences.
 *
 * @module
 */
import { lastStep } from "../../../kernels/ops/over_time.ts";
import { EndOfTime, type EndOptions } from "../end_of_time.ts";

/**
 * Ends time: the last step of each row's own length, `y[-1]` of torch where all rows are equally
 * long.
 *
 * @example
 * ```ts
 * import { LastStep, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const x = tensor([1, 2, 3, 4], [2, 1, 2]); // 2 steps, batch 1
 * assertEquals(new LastStep().forward(x), tensor([3, 4], [1, 2]));
 * ```
 */
export class LastStep extends EndOfTime {
  /** Name of the kind. */
  override readonly kind = "LastStep";

  /**
   * Checks the options.
   *
   * @throws {TypeError} If an option is unknown or no boolean.
   */
  constructor(options: EndOptions = {}) {
    super(options, lastStep);
  }
}
