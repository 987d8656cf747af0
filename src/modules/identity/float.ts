/**
 * The float Identity.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import { PointwiseModule } from "../pointwise.ts";

/**
 * torch.nn.Identity: returns x. `prepare` removes it.
 *
 * @example
 * ```ts
 * import { Identity, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new Identity().forward(tensor([-1, 2], [1, 2])), tensor([-1, 2], [1, 2]));
 * ```
 */
export class Identity extends PointwiseModule {
  /** Name of the kind. */
  override readonly kind = "Identity";
  /** The function. */
  override readonly activation = "linear";

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
