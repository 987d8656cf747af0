/**
 * The float Tanh.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import { PointwiseModule } from "../pointwise.ts";

/**
 * torch.nn.Tanh: the hyperbolic tangent, rounded to float32 once.
 *
 * On integers its output has fixed parameters, as in torch, independent of the QConfig's
 * `activation`: scale 2/256 and zero point 128 for quint8, and scale 2/n for other dtypes with n
 * integers.
 *
 * @example
 * ```ts
 * import { Tanh, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new Tanh().forward(tensor([0, -200], [1, 2])), tensor([0, -1], [1, 2]));
 * ```
 */
export class Tanh extends PointwiseModule {
  /** Name of the kind. */
  override readonly kind = "Tanh";
  /** The function. */
  override readonly activation = "tanh";

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
