/**
 * The float Sigmoid.
 *
 * @module
 */
import { checkOptions } from "../../core/check.ts";
import { PointwiseModule } from "../pointwise.ts";

/**
 * torch.nn.Sigmoid: 1 / (1 + exp(-x)), each step in float32.
 *
 * On integers its output has fixed parameters, as in torch, independent of the QConfig's
 * `activation`: scale 1/256 and zero point 0 for quint8, and scale 1/n for other dtypes with n
 * integers.
 *
 * @example
 * ```ts
 * import { Sigmoid, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new Sigmoid().forward(tensor([0, -200], [1, 2])), tensor([0.5, 0], [1, 2]));
 * ```
 */
export class Sigmoid extends PointwiseModule {
  /** Name of the kind. */
  override readonly kind = "Sigmoid";
  /** The function. */
  override readonly activation = "sigmoid";

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
