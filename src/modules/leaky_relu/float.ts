/**
 * The float LeakyReLU.
 *
 * @module
 */
import type { LeakyReLUFunction } from "../../../kernels/numeric/float_functions.ts";
import { checkFloat32, checkOptions } from "../../core/check.ts";
import { PointwiseModule } from "../pointwise.ts";

/**
 * Options of {@linkcode LeakyReLU}.
 *
 * @example
 * ```ts
 * import { LeakyReLU, type LeakyReLUOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: LeakyReLUOptions = { negativeSlope: 0.25 };
 * assertEquals([...new LeakyReLU(options).forward(tensor([-4, 4], [1, 2])).data], [-1, 4]);
 * ```
 */
export interface LeakyReLUOptions {
  /** Factor of negative values; 0.01 by default. */
  readonly negativeSlope?: number;
}

/**
 * torch.nn.LeakyReLU: x where it is positive, else negativeSlope x.
 *
 * On integers as torch.ao.nn.quantized.LeakyReLU: dequantized, computed in float32, and quantized
 * to the parameters of its own observer, the QConfig's `activation`.
 *
 * @example
 * ```ts
 * import { LeakyReLU, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const leaky = new LeakyReLU({ negativeSlope: 0.25 });
 * assertEquals(leaky.forward(tensor([-2, 2], [1, 2])), tensor([-0.5, 2], [1, 2]));
 * ```
 */
export class LeakyReLU extends PointwiseModule {
  /** Name of the kind. */
  override readonly kind = "LeakyReLU";
  /** Factor of negative values, a float32 number. */
  readonly negativeSlope: number;
  /** The function. */
  override readonly activation: LeakyReLUFunction;

  /**
   * Checks the slope.
   *
   * @throws {TypeError} If an option is unknown, or the slope no number.
   * @throws {RangeError} If the slope is not finite in float32.
   */
  constructor(options: LeakyReLUOptions = {}) {
    super();
    checkOptions("options", options, ["negativeSlope"]);
    const { negativeSlope = 0.01 } = options;
    this.negativeSlope = checkFloat32("negativeSlope", negativeSlope);
    this.activation = { name: "leakyRelu", negativeSlope: this.negativeSlope };
  }
}
