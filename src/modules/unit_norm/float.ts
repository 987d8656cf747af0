/**
 * The float UnitNorm.
 *
 * @module
 */
import { unitNormFloat32 } from "../../../kernels/ops/normalize.ts";
import { checkOptions } from "../../core/check.ts";
import { ActivationModule } from "../activation.ts";
import { checkEps } from "../check.ts";

/**
 * Options of {@linkcode UnitNorm}.
 *
 * @example
 * ```ts
 * import { tensor, UnitNorm, type UnitNormOptions } from "@splitgate/splitgate";
 * import { assertAlmostEquals } from "@std/assert";
 * const options: UnitNormOptions = { eps: 1e-12 };
 * assertAlmostEquals(new UnitNorm(options).forward(tensor([3, 4], [1, 2])).data[1]!, 0.8, 1e-6);
 * ```
 */
export interface UnitNormOptions {
  /** Smallest divisor, above 0, for rows shorter than this; 1e-12 by default. */
  readonly eps?: number;
}

/**
 * torch.nn.functional.normalize over the last dimension, with p = 2: each row divided by its
 * length, as Keras' UnitNormalization.
 *
 * Integers are dequantized, normalized in float32, and quantized; all results lie in -1..1.
 *
 * @example
 * ```ts
 * import { tensor, UnitNorm } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new UnitNorm().forward(tensor([3, -4], [1, 2])), tensor([0.6, -0.8], [1, 2]));
 * ```
 */
export class UnitNorm extends ActivationModule {
  /** Name of the kind. */
  override readonly kind = "UnitNorm";
  /** Smallest divisor, for rows shorter than this. */
  readonly eps: number;

  /**
   * Checks eps.
   *
   * @throws {TypeError | RangeError} If an option is unknown, or eps no finite number above 0.
   */
  constructor(options: UnitNormOptions = {}) {
    super();
    checkOptions("options", options, ["eps"]);
    const { eps = 1e-12 } = options;
    this.eps = checkEps("eps", eps, false);
  }

  /** Computes it of each row. */
  override compute(x: Float32Array, out: Float32Array, width: number): void {
    unitNormFloat32(x, width, this.eps, out);
  }
}
