/**
 * The float Dropout.
 *
 * @module
 */
import { checkFloat32, checkOptions } from "../../core/check.ts";
import { failRange } from "../../core/errors.ts";
import { PointwiseModule } from "../pointwise.ts";

/**
 * Options of {@linkcode Dropout}.
 *
 * @example
 * ```ts
 * import { Dropout, type DropoutOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: DropoutOptions = { p: 0.3 };
 * const { data } = new Dropout(options).forward(tensor([1, 2], [1, 2]));
 * assertEquals([...data], [1, 2]); // as in eval()
 * ```
 */
export interface DropoutOptions {
  /** Share of values that training leaves out, 0..1; 0.5 by default. It has no effect here. */
  readonly p?: number;
}

/**
 * torch.nn.Dropout in evaluation mode: returns x. `prepare` removes it.
 *
 * @example
 * ```ts
 * import { Dropout, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new Dropout({ p: 0.1 }).forward(tensor([-1, 2], [1, 2])), tensor([-1, 2], [1, 2]));
 * ```
 */
export class Dropout extends PointwiseModule {
  /** Name of the kind. */
  override readonly kind = "Dropout";
  /** Share of values that training leaves out. */
  readonly p: number;
  /** The function. */
  override readonly activation = "linear";

  /**
   * Checks the share.
   *
   * @throws {TypeError} If an option is unknown, or the share no number.
   * @throws {RangeError} If it is not within 0..1.
   */
  constructor(options: DropoutOptions = {}) {
    super();
    checkOptions("options", options, ["p"]);
    const { p = 0.5 } = options;
    checkFloat32("p", p);
    if (p < 0 || p > 1) failRange("p", "a number in 0..1", p);
    this.p = p;
  }
}
