/**
 * The float ReLU.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import { PointwiseModule } from "../pointwise.ts";

/**
 * torch.nn.ReLU: max(x, 0).
 *
 * `prepare` fuses it into a Linear or Conv1d that has no other reader, as
 * torch.ao.quantization.fuse_modules does (sums are then rounded once). Elsewhere integers become
 * max(q, zero point) with the same parameters, as torch.relu of a quantized tensor.
 *
 * @example
 * ```ts
 * import { ReLU, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new ReLU().forward(tensor([-1, 2], [1, 2])), tensor([0, 2], [1, 2]));
 * ```
 */
export class ReLU extends PointwiseModule {
  /** Name of the kind. */
  override readonly kind = "ReLU";
  /** The function. */
  override readonly activation = "relu";

  /**
   * Checks that there is no option.
   *
   * @throws {TypeError} If there is one.
   */
  constructor(options: Record<never, never> = {}) {
    super();
    checkOptions("options", options, []);
  }
}
