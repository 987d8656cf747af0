/**
 * The sum of two values in float32.
 *
 * @module
 */
import { checkOptions, checkTensor } from "../../core/check.ts";
import { checkFinite, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { Module } from "../module.ts";

/**
 * torch.add of two values of one shape: a residual connection, say.
 *
 * @example
 * ```ts
 * import { Add, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(
 *   new Add().forward(tensor([1, 2], [1, 2]), tensor([3, 5], [1, 2])),
 *   tensor([4, 7], [1, 2]),
 * );
 * ```
 */
export class Add extends Module {
  /** Name of the kind. */
  override readonly kind = "Add";

  /**
   * Has no options.
   *
   * @throws {TypeError} If one is given.
   */
  constructor(options: Readonly<Record<string, never>> = {}) {
    super();
    checkOptions("options", options, []);
  }

  /** None. */
  override stateDict(): Map<string, Tensor> {
    return new Map();
  }

  /**
   * Adds two tensors, each sum rounded to float32.
   *
   * @param a Finite.
   * @param b Finite, of the shape of `a`.
   * @returns a + b
   * @throws {TypeError} If one is no float32 tensor.
   * @throws {RangeError} If shapes differ, a dimension is 0, or a value or the result is not
   * finite.
   */
  forward(a: Tensor, b: Tensor): Tensor {
    checkTensor("a", a);
    checkTensor("b", b);
    if (a.shape.join() !== b.shape.join()) {
      failRange("b.shape", `[${a.shape.join(", ")}], as that of a`, b.shape);
    }
    const data = a.data.map((value, i) => value + b.data[i]!);
    checkFinite("y", data);
    return { data, shape: [...a.shape] };
  }
}
