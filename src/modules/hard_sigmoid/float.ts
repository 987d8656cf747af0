/**
 * The float HardSigmoid.
 *
 * @module
 */
import type { Activation } from "../../../kernels/numeric/float_functions.ts";
import { checkFloat32, checkOptions } from "../../core/check.ts";
import { PointwiseModule } from "../pointwise.ts";

/**
 * Options of {@linkcode HardSigmoid}. Without any it is torch.nn.Hardsigmoid, to the last bit.
 *
 * @example
 * ```ts
 * import { HardSigmoid, type HardSigmoidOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: HardSigmoidOptions = { slope: 0.25, offset: 0.5 }; // clip(0.25 x + 0.5)
 * const { data } = new HardSigmoid(options).forward(tensor([-9, 0, 1], [1, 3]));
 * assertEquals([...data], [0, 0.5, 0.75]);
 * ```
 */
export interface HardSigmoidOptions {
  /**
   * Factor of x: 0.2 in Keras 2 and by default in ONNX, 1/6 in Keras 3, and here if only the offset
   * is given.
   */
  readonly slope?: number;
  /** Summand: 0.5 by default, as in all of these. */
  readonly offset?: number;
}

/**
 * torch.nn.Hardsigmoid: clip(x + 3, 0, 6) / 6; with options clip(slope x + offset, 0, 1), as Keras
 * and ONNX have it. Each step in float32.
 *
 * On integers its output has fixed parameters, as {@linkcode Sigmoid}'s.
 *
 * @example
 * ```ts
 * import { HardSigmoid, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const x = tensor([-3, 0, 2.5], [1, 3]);
 * assertEquals(new HardSigmoid().forward(x), tensor([0, 0.5, 5.5 / 6], [1, 3]));
 * assertEquals(
 *   new HardSigmoid({ slope: 0.2, offset: 0.5 }).forward(x),
 *   tensor([0, 0.5, 1], [1, 3]),
 * );
 * ```
 */
export class HardSigmoid extends PointwiseModule {
  /** Name of the kind. */
  override readonly kind = "HardSigmoid";
  /** Factor of x, a float32 number. */
  readonly slope: number;
  /** Summand, a float32 number. */
  readonly offset: number;
  /** The function. */
  override readonly activation: Activation;

  /**
   * Checks slope and offset.
   *
   * @throws {TypeError} If an option is unknown, or no number.
   * @throws {RangeError} If one is not finite in float32.
   */
  constructor(options: HardSigmoidOptions = {}) {
    super();
    checkOptions("options", options, ["slope", "offset"]);
    const { slope = 1 / 6, offset = 0.5 } = options;
    this.slope = checkFloat32("slope", slope);
    this.offset = checkFloat32("offset", offset);
    this.activation = options.slope === undefined && options.offset === undefined
      ? "hardSigmoid"
      : { name: "hardSigmoid", slope: this.slope, offset: this.offset };
  }
}
