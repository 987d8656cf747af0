/**
 * The mean over time, of float32 sequences.
 *
 * @module
 */
import { meanOverTimeFloat32 } from "../../../kernels/ops/over_time.ts";
import { EndOfTime, type EndOptions } from "../end_of_time.ts";

/**
 * Ends time: the mean of each feature over each row's own steps: summed in double in the order of
 * time, divided, and rounded to float32 once.
 *
 * @example
 * ```ts
 * import { MeanOverTime, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const x = tensor([1, 2, 3, 4], [2, 1, 2]); // 2 steps, batch 1
 * assertEquals(new MeanOverTime().forward(x), tensor([2, 3], [1, 2]));
 * ```
 */
export class MeanOverTime extends EndOfTime {
  /** Name of the kind. */
  override readonly kind = "MeanOverTime";

  /**
   * Checks the options.
   *
   * @throws {TypeError} If an option is unknown or no boolean.
   */
  constructor(options: EndOptions = {}) {
    super(options, meanOverTimeFloat32);
  }
}
