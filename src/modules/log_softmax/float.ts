/**
 * The float LogSoftmax.
 *
 * @module
 */
import { logSoftmaxFloat32 } from "../../../kernels/ops/softmax.ts";
import { ActivationModule } from "../activation.ts";
import { checkDim, type SoftmaxOptions } from "../softmax/float.ts";

/**
 * torch.nn.LogSoftmax over the last dimension: x - max - log(sum of exp(x - max)), with the same
 * bits in every engine. In a quantized model, too, it runs in float32 on dequantized values, since
 * torch has no integer form.
 *
 * @example
 * ```ts
 * import { LogSoftmax, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(
 *   new LogSoftmax().forward(tensor([3, 3], [1, 2])),
 *   tensor([-Math.LN2, -Math.LN2], [1, 2]),
 * );
 * ```
 */
export class LogSoftmax extends ActivationModule {
  /** Name of the kind. */
  override readonly kind = "LogSoftmax";

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
    logSoftmaxFloat32(x, out, width);
  }
}
