/**
 * Checks shared by all forms of a batch normalization.
 *
 * @module
 */
import {
  type BatchNorm,
  type BatchNormFactors,
  batchNormFactors,
} from "../../../kernels/ops/normalize.ts";
import { isFloat32Array } from "../../../kernels/numeric/typed_array.ts";
import { checkFinite, failRange, failType } from "../../core/errors.ts";
import { checkEps } from "../check.ts";

/** The hint of messages about variances that are missing, too few or negative. */
export const WITHOUT_VARIANCE = "a batch-norm without variance cannot be evaluated";

/**
 * Requires float32 arrays of one length, finite; variances that are not negative, and more than 0
 * with eps; and factors within float32's range. Returns the factors.
 *
 * @param scales Scales of its quantized input and output; null for float32.
 * @throws {TypeError} If an array is no Float32Array.
 * @throws {RangeError} Naming the array, or the feature.
 */
export function checkBatchNorm(
  name: string,
  norm: BatchNorm,
  scales: { readonly from: number; readonly to: number } | null,
): BatchNormFactors {
  const { weight, bias, runningMean, runningVar, eps } = norm;
  checkEps(`${name}.eps`, eps, true);
  const features = runningMean?.length;
  const arrays = { running_mean: runningMean, running_var: runningVar, weight, bias };
  for (const [key, array] of Object.entries(arrays)) {
    if (array === null && (key === "weight" || key === "bias")) continue;
    const hint = key === "running_var" ? ` (${WITHOUT_VARIANCE})` : "";
    if (!isFloat32Array(array)) failType(`${name}.${key}`, `a Float32Array${hint}`, array);
    if (array.length === 0 || array.length !== features) {
      failRange(`${name}.${key}`, `${features || "1 or more"} elements${hint}`, array.length);
    }
    // A NaN variance is refused below.
    if (key !== "running_var") checkFinite(`${name}.${key}`, array);
  }
  runningVar.forEach((variance, i) => {
    const sum = Math.fround(variance + Math.fround(eps));
    if (variance >= 0 && sum > 0 && sum < Infinity) return;
    const expected = `0 or more, and more than 0 with eps = ${eps} (${WITHOUT_VARIANCE})`;
    failRange(`${name}.running_var[${i}]`, expected, variance);
  });
  const factors = batchNormFactors(norm, scales);
  for (const array of [factors.alpha, factors.beta]) {
    const at = array.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) {
      const expected = "a weight, bias, mean and variance, and scales, whose factors float32 holds";
      failRange(`${name}: feature ${at}`, expected, array[at]);
    }
  }
  return factors;
}
