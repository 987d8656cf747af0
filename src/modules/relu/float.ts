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
 * Behind a Linear that nothing else reads, `prepare` makes it part of that, as
 * torch.ao.quantization.fuse_modules does (linear_relu: sums are rounded once). Elsewhere integers
 * become max(q, zero point) with the same parameters, as torch.relu of a quantized tensor, in as
 * many bits as they have.
 *
 * @example
 * ```ts
 * import { ReLU, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new ReLU().forward(tensor([-1, 2], [1, 2])), tensor([0, 2], [1, 2]));
 * ```
 */
export class ReLU extends PointwiseModule {
  /** Tells modules apart. */
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
