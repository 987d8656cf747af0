/**
 * The float Softmax.
 *
 * @module
 */
import { softmaxFloat32 } from "../../../kernels/ops/softmax.ts";
import { checkOptions } from "../../core/check.ts";
import { failRange, failType } from "../../core/errors.ts";
import { ActivationModule } from "../activation.ts";

/**
 * Options of {@linkcode Softmax} and {@linkcode LogSoftmax}.
 *
 * @example
 * ```ts
 * import { Softmax, type SoftmaxOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: SoftmaxOptions = { dim: -1 }; // over features, the one dimension that there is
 * assertEquals([...new Softmax(options).forward(tensor([1, 1], [1, 2])).data], [0.5, 0.5]);
 * ```
 */
export interface SoftmaxOptions {
  /** The dimension that is summed over; only -1, the last one, which holds features. */
  readonly dim?: -1;
}

/** Requires the only dimension that is summed over. */
export function checkDim(options: SoftmaxOptions): void {
  checkOptions("options", options, ["dim"]);
  const { dim = -1 } = options as { dim?: unknown };
  if (dim === -1) return;
  (typeof dim === "number" ? failRange : failType)("dim", "-1, the last dimension", dim);
}

/**
 * torch.nn.Softmax over the last dimension: exp(x - max) / sum, with the same bits in every engine.
 *
 * On integers as torch.ao.nn.quantized.Softmax, whose output has fixed parameters, as
 * {@linkcode Sigmoid}'s; under qnnpack, from quint8 to quint8, in its fixed point.
 *
 * @example
 * ```ts
 * import { Softmax, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(new Softmax().forward(tensor([3, 3], [1, 2])), tensor([0.5, 0.5], [1, 2]));
 * ```
 */
export class Softmax extends ActivationModule {
  /** Name of the kind. */
  override readonly kind = "Softmax";

  /**
   * Checks the dimension.
   *
   * @throws {TypeError} If an option is unknown, or the dimension no number.
   * @throws {RangeError} If it is not -1.
   */
  constructor(options: SoftmaxOptions = {}) {
    super();
    checkDim(options);
  }

  /** Computes it of each row. */
  override compute(x: Float32Array, out: Float32Array, width: number): void {
    softmaxFloat32(x, out, width);
  }
}
