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
 * On integers its output has fixed parameters, as torch's: whatever the QConfig's `activation`
 * observes, scale 2/256 and zero point 128 for quint8, and in other dtypes a range of n integers at
 * scale 2/n.
 *
 * @example
 * ```ts
 * import { Tanh, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new Tanh().forward(tensor([0, -200], [1, 2])), tensor([0, -1], [1, 2]));
 * ```
 */
export class Tanh extends PointwiseModule {
  /** Tells modules apart. */
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
