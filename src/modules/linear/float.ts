/**
 * The float linear layer.
 *
 * @module
 */
import { withFloatKernels } from "../../../kernels/float/kernels.ts";
import { checkBoolean, checkFinite, checkInteger, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { checkOptions, checkTensor, MAX_SIZE, parameter } from "../../core/check.ts";
import { generatorOf, type Seed } from "../../core/generator.ts";
import { Module } from "../module.ts";

/**
 * Options of {@linkcode Linear}.
 *
 * @example
 * ```ts
 * import { Linear, type LinearOptions } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: LinearOptions = { inFeatures: 4, outFeatures: 2, bias: false };
 * assertEquals(new Linear(options).stateDict().get("weight")!.shape, [2, 4]); // as in PyTorch
 * ```
 */
export interface LinearOptions {
  /** Last dimension of x; columns of the weight. */
  readonly inFeatures: number;
  /** Last dimension of y; rows of the weight. */
  readonly outFeatures: number;
  /** true by default. */
  readonly bias?: boolean;
  /** Where the initial weights come from; 0 by default. */
  readonly seed?: Seed;
}

/**
 * torch.nn.Linear: y = x W^T + b. Each sum is rounded to float32 once.
 *
 * Weight and bias start uniform in ±1/sqrt(inFeatures), weight first, with the same bits as after
 * torch.manual_seed(seed).
 *
 * @example
 * ```ts
 * import { Linear, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 1 });
 * linear.loadStateDict(
 *   new Map([["weight", tensor([3, 4], [1, 2])], ["bias", tensor([0.5], [1])]]),
 * );
 * assertEquals([...linear.forward(tensor([1, 2], [1, 2])).data], [11.5]);
 * ```
 */
export class Linear extends Module {
  /** Name of the kind. */
  override readonly kind = "Linear";
  /** Last dimension of x; columns of the weight. */
  readonly inFeatures: number;
  /** Last dimension of y; rows of the weight. */
  readonly outFeatures: number;
  /** [outFeatures, inFeatures] */
  readonly weight: Float32Array;
  /** [outFeatures], or null. */
  readonly bias: Float32Array | null;

  /**
   * Allocates weight and bias and fills them from the seed.
   *
   * @throws {TypeError | RangeError} If an option is unknown, or no positive integer, boolean or
   * seed.
   */
  constructor(options: LinearOptions) {
    super();
    checkOptions("options", options, ["inFeatures", "outFeatures", "bias", "seed"]);
    const { bias = true, seed = 0 } = options;
    const inFeatures = checkInteger("inFeatures", options.inFeatures, 1, MAX_SIZE);
    const outFeatures = checkInteger("outFeatures", options.outFeatures, 1, MAX_SIZE);
    checkBoolean("bias", bias);
    const generator = generatorOf(seed);
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.weight = parameter("weight", [outFeatures, inFeatures]);
    this.bias = bias ? parameter("bias", [outFeatures]) : null;
    // The float32 bound of torch's kaiming_uniform_(a = sqrt(5)); checked for all inFeatures below
    // 200,000.
    const bound = 1 / Math.sqrt(inFeatures);
    for (const { data } of this.stateDict().values()) generator.uniform(data, -bound, bound);
  }

  /** `weight` and `bias`. */
  override stateDict(): Map<string, Tensor> {
    const { inFeatures, outFeatures } = this;
    const tensors = new Map<string, Tensor>([["weight", {
      data: this.weight,
      shape: [outFeatures, inFeatures],
    }]]);
    if (this.bias !== null) tensors.set("bias", { data: this.bias, shape: [outFeatures] });
    return tensors;
  }

  /**
   * Applies the layer to every row of x.
   *
   * @param x [..., inFeatures], finite.
   * @returns [..., outFeatures]
   * @throws {TypeError} If `x` is no float32 tensor.
   * @throws {RangeError} If a dimension is 0, the last is not inFeatures, or `x` or the result is
   * not finite.
   */
  forward(x: Tensor): Tensor {
    const { inFeatures, outFeatures } = this;
    checkTensor("x", x);
    if (x.shape.at(-1) !== inFeatures) failRange("x.shape", `[..., ${inFeatures}]`, x.shape);
    const count = x.data.length / inFeatures;
    const data = new Float32Array(count * outFeatures);
    withFloatKernels(count, ({ linear }) => linear(this)(x.data, 0, data, 0, count));
    checkFinite("y", data);
    return { data, shape: [...x.shape.slice(0, -1), outFeatures] };
  }
}

/**
 * A Linear followed by ReLU, as torch.ao.nn.intrinsic.LinearReLU; `prepare` fuses the two, so that
 * sums are rounded once.
 *
 * @example
 * ```ts
 * import { LinearReLU, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const linear = new LinearReLU({ inFeatures: 1, outFeatures: 2, bias: false });
 * linear.weight.set([1, -1]);
 * assertEquals([...linear.forward(tensor([3], [1, 1])).data], [3, 0]);
 * ```
 */
export class LinearReLU extends Linear {
  /**
   * Applies the layer and max(y, 0) to every row of x.
   *
   * @param x [..., inFeatures], finite.
   * @returns [..., outFeatures]
   * @throws {TypeError} If `x` is no float32 tensor.
   * @throws {RangeError} If a dimension is 0, the last is not inFeatures, or `x` or the result is
   * not finite.
   */
  override forward(x: Tensor): Tensor {
    const { data, shape } = super.forward(x);
    return { data: data.map((value) => value > 0 ? value : 0), shape };
  }
}
