/**
 * The maximum over time, of float32 sequences.
 *
 * @module
 */
import { maxOverTime } from "../../../kernels/ops/over_time.ts";
import { EndOfTime, type EndOptions } from "../end_of_time.ts";

/**
 * Ends time: the largest value of each feature over each row's own steps: `y.amax(0)` of torch.
 *
 * @example
 * ```ts
 * import { MaxOverTime, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const x = tensor([1, 2, 3, 4], [2, 1, 2]); // 2 steps, batch 1
 * assertEquals(new MaxOverTime().forward(x), tensor([3, 4], [1, 2]));
 * ```
 */
export class MaxOverTime extends EndOfTime {
  /** Name of the kind. */
  override readonly kind = "MaxOverTime";

  /**
   * Checks the options.
   *
   * @throws {TypeError} If an option is unknown or no boolean.
   */
  constructor(options: EndOptions = {}) {
    super(options, maxOverTime);
  }
}
