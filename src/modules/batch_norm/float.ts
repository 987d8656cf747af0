/**
 * The float batch normalization.
 *
 * @module
 */
import { batchNormFloat32 } from "../../../kernels/ops/normalize.ts";
import { checkBoolean, checkInteger, failRange } from "../../core/errors.ts";
import { checkOptions, checkTensor, MAX_SIZE, parameter } from "../../core/check.ts";
import type { Tensor } from "../../core/tensor.ts";
import { checkEps } from "../check.ts";
import { Module, type StateDictRule } from "../module.ts";
import { finiteTensor } from "../observing.ts";
import { checkBatchNorm, WITHOUT_VARIANCE } from "./check.ts";

/**
 * Options of {@linkcode BatchNorm1d}.
 *
 * @example
 * ```ts
 * import { BatchNorm1d, type BatchNorm1dOptions } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: BatchNorm1dOptions = { numFeatures: 3, affine: false };
 * assertEquals(new BatchNorm1d(options).stateDict().has("weight"), false);
 * ```
 */
export interface BatchNorm1dOptions {
  /** Last dimension of x. */
  readonly numFeatures: number;
  /** Added to the variance; 1e-5 by default. */
  readonly eps?: number;
  /** Whether it has weight and bias; true by default. */
  readonly affine?: boolean;
}

/**
 * torch.nn.BatchNorm1d in evaluation mode: y = (x - runningMean) / sqrt(runningVar + eps) * weight
 * + bias, as `batchNormFloat32` of the kernels rounds it.
 *
 * Features are the last dimension here, as Linear and LSTM have them: x is [..., numFeatures].
 * torch's [batch, features] is the same; its [batch, features, steps] has to be transposed. Weight
 * and variance start as ones, bias and mean as zeros. torch's count `num_batches_tracked` is not
 * kept, since evaluation does not use it; `loadStateDict` accepts it.
 *
 * `prepare` folds it into the Linear or Conv1d before it, if it is that layer's only reader.
 *
 * @example
 * ```ts
 * import { BatchNorm1d, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const norm = new BatchNorm1d({ numFeatures: 2, eps: 0 });
 * norm.runningMean.set([1, 0]);
 * norm.runningVar.set([4, 1]);
 * assertEquals(norm.forward(tensor([5, 3], [1, 2])), tensor([2, 3], [1, 2]));
 * ```
 */
export class BatchNorm1d extends Module {
  /** Name of the kind. */
  override readonly kind = "BatchNorm1d";
  /** Last dimension of x. */
  readonly numFeatures: number;
  /** Added to the variance. */
  readonly eps: number;
  /** [numFeatures], or null. */
  readonly weight: Float32Array | null;
  /** [numFeatures], or null. */
  readonly bias: Float32Array | null;
  /** [numFeatures] */
  readonly runningMean: Float32Array;
  /** [numFeatures], not negative. */
  readonly runningVar: Float32Array;

  /**
   * Allocates mean, variance, weight and bias.
   *
   * @throws {TypeError | RangeError} If an option is unknown, numFeatures no positive integer, eps
   * negative or not finite, or affine no boolean.
   */
  constructor(options: BatchNorm1dOptions) {
    super();
    checkOptions("options", options, ["numFeatures", "eps", "affine"]);
    const { eps = 1e-5, affine = true } = options;
    const numFeatures = checkInteger("numFeatures", options.numFeatures, 1, MAX_SIZE);
    checkBoolean("affine", affine);
    this.numFeatures = numFeatures;
    this.eps = checkEps("eps", eps, true);
    this.weight = affine ? parameter("weight", [numFeatures]).fill(1) : null;
    this.bias = affine ? parameter("bias", [numFeatures]) : null;
    this.runningMean = parameter("running_mean", [numFeatures]);
    this.runningVar = parameter("running_var", [numFeatures]).fill(1);
  }

  /** `weight` and `bias` where it has them, `running_mean` and `running_var`. */
  override stateDict(): Map<string, Tensor> {
    const { weight, bias, runningMean, runningVar } = this;
    const tensors = new Map<string, Tensor>();
    const add = (name: string, data: Float32Array | null) => {
      if (data !== null) tensors.set(name, { data, shape: [data.length] });
    };
    add("weight", weight);
    add("bias", bias);
    add("running_mean", runningMean);
    add("running_var", runningVar);
    return tensors;
  }

  /** `num_batches_tracked` is accepted, and variances are not negative. */
  override stateDictRules(): Map<string, StateDictRule> {
    const hint = `${WITHOUT_VARIANCE}: torch's track_running_stats=False normalizes by the batch`;
    return new Map([
      ["num_batches_tracked", { unused: true }],
      ["running_mean", { hint }],
      ["running_var", { min: 0, hint }],
    ]);
  }

  /**
   * Normalizes every feature by its running mean and variance.
   *
   * @param x [..., numFeatures], finite.
   * @returns Of x's shape.
   * @throws {TypeError} If `x` is no float32 tensor.
   * @throws {RangeError} If a dimension is 0, the last is not numFeatures, a feature has no
   * variance (it is negative, or 0 without eps), or `x` or the result is not finite.
   */
  forward(x: Tensor): Tensor {
    checkTensor("x", x);
    if (x.shape.at(-1) !== this.numFeatures) {
      failRange("x.shape", `[..., ${this.numFeatures}]`, x.shape);
    }
    checkBatchNorm("BatchNorm1d", this, null);
    const data = new Float32Array(x.data.length);
    batchNormFloat32(x.data, this, data);
    return finiteTensor("y", data, [...x.shape]);
  }
}
