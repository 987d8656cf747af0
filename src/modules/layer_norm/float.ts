/**
 * The float layer normalization.
 *
 * @module
 */
import { layerNormFloat32 } from "../../../kernels/ops/normalize.ts";
import { checkBoolean, checkInteger, failRange } from "../../core/errors.ts";
import { checkOptions, checkTensor, MAX_SIZE, parameter } from "../../core/check.ts";
import type { Tensor } from "../../core/tensor.ts";
import { checkEps } from "../check.ts";
import { Module } from "../module.ts";
import { finiteTensor } from "../observing.ts";

/**
 * Options of {@linkcode LayerNorm}.
 *
 * @example
 * ```ts
 * import { LayerNorm, type LayerNormOptions } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: LayerNormOptions = { normalizedShape: 8, bias: false };
 * assertEquals([...new LayerNorm(options).stateDict().keys()], ["weight"]);
 * ```
 */
export interface LayerNormOptions {
  /** Last dimension of x, the one that is normalized. */
  readonly normalizedShape: number;
  /** Added to the variance, above 0; 1e-5 by default. */
  readonly eps?: number;
  /** Whether it has a weight, and a bias where `bias` is true; true by default. */
  readonly elementwiseAffine?: boolean;
  /** Whether it has a bias beside the weight; true by default. */
  readonly bias?: boolean;
}

/**
 * torch.nn.LayerNorm over the last dimension: y = (x - mean) / sqrt(variance + eps) * weight +
 * bias, of each row's own mean and variance, computed in double and rounded to float32 once.
 *
 * @example
 * ```ts
 * import { LayerNorm, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const norm = new LayerNorm({ normalizedShape: 2, eps: 1e-12 });
 * norm.weight!.set([1, 3]);
 * assertEquals(norm.forward(tensor([1, 5], [1, 2])), tensor([-1, 3], [1, 2]));
 * ```
 */
export class LayerNorm extends Module {
  /** Name of the kind. */
  override readonly kind = "LayerNorm";
  /** Last dimension of x. */
  readonly normalizedShape: number;
  /** Added to the variance. */
  readonly eps: number;
  /** [normalizedShape], or null. */
  readonly weight: Float32Array | null;
  /** [normalizedShape], or null. */
  readonly bias: Float32Array | null;

  /**
   * Allocates the weight, of ones, and the bias, of zeros.
   *
   * @throws {TypeError | RangeError} If an option is unknown, normalizedShape no positive integer,
   * eps not above 0 or not finite, or another one no boolean.
   */
  constructor(options: LayerNormOptions) {
    super();
    const known = ["normalizedShape", "eps", "elementwiseAffine", "bias"];
    checkOptions("options", options, known);
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = options;
    const size = checkInteger("normalizedShape", options.normalizedShape, 1, MAX_SIZE);
    checkBoolean("elementwiseAffine", elementwiseAffine);
    checkBoolean("bias", bias);
    this.normalizedShape = size;
    this.eps = checkEps("eps", eps, false);
    this.weight = elementwiseAffine ? parameter("weight", [size]).fill(1) : null;
    this.bias = elementwiseAffine && bias ? parameter("bias", [size]) : null;
  }

  /** `weight` and `bias`, where it has them. */
  override stateDict(): Map<string, Tensor> {
    const { weight, bias, normalizedShape } = this;
    const tensors = new Map<string, Tensor>();
    if (weight !== null) tensors.set("weight", { data: weight, shape: [normalizedShape] });
    if (bias !== null) tensors.set("bias", { data: bias, shape: [normalizedShape] });
    return tensors;
  }

  /**
   * Normalizes every row of x.
   *
   * @param x [..., normalizedShape], finite.
   * @returns Of x's shape.
   * @throws {TypeError} If `x` is no float32 tensor.
   * @throws {RangeError} If a dimension is 0, the last is not normalizedShape, or `x` or the result
   * is not finite.
   */
  forward(x: Tensor): Tensor {
    const { normalizedShape } = this;
    checkTensor("x", x);
    if (x.shape.at(-1) !== normalizedShape) {
      failRange("x.shape", `[..., ${normalizedShape}]`, x.shape);
    }
    const data = new Float32Array(x.data.length);
    layerNormFloat32(x.data, normalizedShape, this, data);
    return finiteTensor("y", data, [...x.shape]);
  }
}
