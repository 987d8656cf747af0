/**
 * The first step of each row, of float32 sequences.
 *
 * @module
 */
import { firstStep } from "../../../kernels/ops/over_time.ts";
import { EndOfTime, type EndOptions } from "../end_of_time.ts";

/**
 * Ends time: the first step of each row: `y[0]` of torch.
 *
 * @example
 * ```ts
 * import { FirstStep, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const x = tensor([1, 2, 3, 4], [2, 1, 2]); // 2 steps, batch 1
 * assertEquals(new FirstStep().forward(x), tensor([1, 2], [1, 2]));
 * ```
 */
export class FirstStep extends EndOfTime {
  /** Name of the kind. */
  override readonly kind = "FirstStep";

  /**
   * Checks the options.
   *
   * @throws {TypeError} If an option is unknown or no boolean.
   */
  constructor(options: EndOptions = {}) {
    super(options, firstStep);
  }
}
