/**
 * Concatenation of features in float32.
 *
 * @module
 */
import { concatFloat32 } from "../../../kernels/ops/concat.ts";
import { checkOptions, checkTensor } from "../../core/check.ts";
import { failRange, failType } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { Module } from "../module.ts";

/**
 * torch.cat over the last dimension: the features of two or more values, side by side.
 *
 * @example
 * ```ts
 * import { Concat, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const y = new Concat().forward([tensor([1, 2], [2, 1]), tensor([3, 4, 5, 6], [2, 2])]);
 * assertEquals(y, tensor([1, 3, 4, 2, 5, 6], [2, 3]));
 * ```
 */
export class Concat extends Module {
  /** Name of the kind. */
  override readonly kind = "Concat";

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
   * Concatenates features.
   *
   * @param inputs Two or more [..., features], finite, whose shapes differ only in the number of
   * features.
   * @returns [..., sum of the features]
   * @throws {TypeError} If `inputs` is no array, or one is no float32 tensor.
   * @throws {RangeError} If there are less than two, a dimension is 0 or differs, or a value is not
   * finite.
   */
  forward(inputs: readonly Tensor[]): Tensor {
    if (!Array.isArray(inputs)) failType("inputs", "an array of tensors", inputs);
    if (inputs.length < 2) failRange("inputs", "two tensors or more", inputs.length);
    inputs.forEach((x, i) => checkTensor(`inputs[${i}]`, x));
    const shapes = inputs.map((x: Tensor) => x.shape);
    const outer = shapes[0]!.slice(0, -1);
    shapes.forEach((shape, i) => {
      if (shape.length === 0 || shape.slice(0, -1).join() !== outer.join()) {
        failRange(`inputs[${i}].shape`, `[${[...outer, "features"].join(", ")}]`, shape);
      }
    });
    const width = shapes.reduce((sum, shape) => sum + shape.at(-1)!, 0);
    const rows = outer.reduce((product, n) => product * n, 1);
    const data = new Float32Array(rows * width);
    concatFloat32(inputs.map((x: Tensor) => x.data), rows, data);
    return { data, shape: [...outer, width] };
  }
}
