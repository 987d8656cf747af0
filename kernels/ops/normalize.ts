/**
 * BatchNorm1d (in eval mode) and LayerNorm, in float32 and in torch's quantized forms; folding of a
 * batch normalization into the weights before it; normalization of rows to length 1.
 *
 * @module
 */
import type { QuantizedInput, QuantizedOutput } from "../numeric/quantize.ts";
import { clamp, quantizeValue, reciprocal, roundHalfEven } from "../numeric/requantize.ts";

const f = Math.fround;

/**
 * Parameters and running statistics of a batch normalization: float32 [channels] each.
 *
 * @example
 * ```ts
 * import type { BatchNorm } from "@splitgate/splitgate/kernels";
 * import { BatchNorm1d } from "@splitgate/splitgate";
 * const norm: BatchNorm = new BatchNorm1d({ numFeatures: 4 }); // what a BatchNorm1d has
 * ```
 */
export interface BatchNorm {
  /** gamma; null for ones. */
  readonly weight: Float32Array | null;
  /** beta; null for zeros. */
  readonly bias: Float32Array | null;
  /** Mean of each channel. */
  readonly runningMean: Float32Array;
  /** Not negative. */
  readonly runningVar: Float32Array;
  /** Added to the variance. */
  readonly eps: number;
}

/** `f(1 / f(sqrt(f(var + f(eps)))))` of a channel. */
function inverseDeviation(norm: BatchNorm, channel: number): number {
  return f(1 / f(Math.sqrt(f(norm.runningVar[channel]! + f(norm.eps)))));
}

/**
 * Factor and summand of each channel of a batch normalization: float32 [channels].
 *
 * @example
 * ```ts
 * import { batchNormFactors, type BatchNormFactors } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const one = Float32Array.of(1), zero = Float32Array.of(0);
 * const norm = { weight: null, bias: one, runningMean: zero, runningVar: one, eps: 3 };
 * const { alpha, beta }: BatchNormFactors = batchNormFactors(norm, null); // y = alpha x + beta
 * assertEquals([alpha[0], beta[0]], [0.5, 1]);
 * ```
 */
export interface BatchNormFactors {
  /** Factor of each channel. */
  readonly alpha: Float32Array;
  /** Summand of each channel, added after the product is rounded to float32. */
  readonly beta: Float32Array;
}

/**
 * The factors of {@linkcode batchNormFloat32}, or of {@linkcode batchNormInt8} where scales are
 * given.
 *
 * @param scales Scales of its quantized input and output; null for float32.
 *
 * @example
 * ```ts
 * import { batchNormFactors } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const norm = {
 *   weight: null,
 *   bias: null,
 *   runningMean: Float32Array.of(1),
 *   runningVar: Float32Array.of(4),
 *   eps: 0,
 * };
 * const { alpha, beta } = batchNormFactors(norm, null);
 * assertEquals([...alpha, ...beta], [0.5, -0.5]);
 * ```
 */
export function batchNormFactors(
  norm: BatchNorm,
  scales: { readonly from: number; readonly to: number } | null,
): BatchNormFactors {
  const { weight, bias, runningMean } = norm;
  const channels = runningMean.length;
  const alpha = new Float32Array(channels);
  const beta = new Float32Array(channels);
  for (let channel = 0; channel < channels; channel++) {
    const inverse = inverseDeviation(norm, channel);
    const gamma = weight === null ? 1 : weight[channel]!;
    const own = bias === null ? 0 : bias[channel]!;
    const factor = f(inverse * gamma);
    if (scales === null) {
      alpha[channel] = factor;
      beta[channel] = own - f(runningMean[channel]! * factor);
    } else {
      const { from, to } = scales;
      alpha[channel] = factor * (f(from) / f(to));
      beta[channel] = f(own - f(f(runningMean[channel]! * inverse) * gamma)) / f(to);
    }
  }
  return { alpha, beta };
}

/**
 * One value of a batch normalization, `f(f(x * alpha) + beta)`: {@linkcode BatchNormFactors}.
 *
 * @param x A float32 value.
 *
 * @example
 * ```ts
 * import { batchNormValue } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(batchNormValue(5, 0.5, -0.5), 2);
 * ```
 */
export function batchNormValue(x: number, alpha: number, beta: number): number {
  return f(f(x * alpha) + beta);
}

/**
 * torch.nn.BatchNorm1d in eval mode over the last dimension: with `r = f(1 / f(sqrt(f(var +
 * eps))))`, `alpha = f(r * weight)` and `beta = f(bias - f(mean * alpha))`, `f(f(x * alpha) +
 * beta)`.
 *
 * torch's scalar code to the last bit; its vectorized code may fuse the products with the sums.
 *
 * @param x float32 [rows, channels].
 * @param out As long as `x`; may be `x`.
 *
 * @example
 * ```ts
 * import { batchNormFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const norm = {
 *   weight: null,
 *   bias: null,
 *   runningMean: Float32Array.of(1),
 *   runningVar: Float32Array.of(4),
 *   eps: 0,
 * };
 * const out = new Float32Array(2);
 * batchNormFloat32(Float32Array.of(1, 5), norm, out);
 * assertEquals([...out], [0, 2]);
 * ```
 */
export function batchNormFloat32(x: Float32Array, norm: BatchNorm, out: Float32Array): void {
  const { alpha, beta } = batchNormFactors(norm, null);
  const channels = alpha.length;
  for (let channel = 0; channel < channels; channel++) {
    for (let i = channel; i < x.length; i += channels) {
      out[i] = batchNormValue(x[i]!, alpha[channel]!, beta[channel]!);
    }
  }
}

/**
 * quantized::batch_norm1d and quantized::batch_norm1d_relu of torch over the last dimension: with
 * `r` as in {@linkcode batchNormFloat32} and `w = f(r * weight)`, `alpha = f(w * (scale /
 * outScale))` and `beta = f(f(bias - f(f(mean * r) * weight)) / outScale)`, both divided in double,
 * each integer becomes `clamp(rne(f(f(alpha * (x - zeroPoint)) + beta)) + outZeroPoint)`.
 *
 * torch's scalar code; its vectorized code fuses the product with the sum, which shows in about one
 * of 100,000 integers.
 *
 * @param x [rows, channels]
 * @param out As long as `x`.
 * @param relu Whether negative results become 0; false by default.
 *
 * @example
 * ```ts
 * import { batchNormInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const norm = {
 *   weight: Float32Array.of(2),
 *   bias: Float32Array.of(1),
 *   runningMean: Float32Array.of(0),
 *   runningVar: Float32Array.of(1),
 *   eps: 0,
 * };
 * const to = { scale: 0.5, zeroPoint: 10, quantMin: 0, quantMax: 255 };
 * const out = new Uint8Array(1);
 * const x = { data: Uint8Array.of(7), qparams: { scale: 0.5, zeroPoint: 4 } };
 * batchNormInt8(x, norm, { data: out, qparams: to });
 * assertEquals(out[0], 18); // 2 * 1.5 + 1 = 4
 * ```
 */
export function batchNormInt8(
  x: QuantizedInput,
  norm: BatchNorm,
  out: QuantizedOutput,
  relu = false,
): void {
  const { data, qparams: from } = x;
  const { data: integers, qparams: to } = out;
  const { alpha, beta } = batchNormFactors(norm, { from: from.scale, to: to.scale });
  const channels = alpha.length;
  const lo = relu ? Math.max(to.zeroPoint, to.quantMin) : to.quantMin;
  for (let channel = 0; channel < channels; channel++) {
    for (let i = channel; i < data.length; i += channels) {
      const y = batchNormValue(f(data[i]! - from.zeroPoint), alpha[channel]!, beta[channel]!);
      integers[i] = clamp(roundHalfEven(y) + to.zeroPoint, lo, to.quantMax);
    }
  }
}

/**
 * A weight and a bias, float32.
 *
 * @example
 * ```ts
 * import { foldBatchNorm, type FoldedWeight } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const one = Float32Array.of(1), zero = Float32Array.of(0);
 * const norm = { weight: null, bias: one, runningMean: zero, runningVar: one, eps: 3 };
 * const folded: FoldedWeight = foldBatchNorm("linear", Float32Array.of(2, 4), null, norm);
 * assertEquals([[...folded.weight], [...folded.bias]], [[1, 2], [1]]); // halved, and 1 more
 * ```
 */
export interface FoldedWeight {
  /** [outFeatures, ...], row-major. */
  readonly weight: Float32Array;
  /** [outFeatures] */
  readonly bias: Float32Array;
}

/**
 * Folds a batch normalization into the Linear or convolution before it, to the last bit of torch's
 * `fuse_linear_bn_weights` and `fuse_conv_bn_weights` (torch.nn.utils.fusion).
 *
 * With `r` as in {@linkcode batchNormFloat32} and `s = f(gamma * r)`, weights become `f(w * s)` and
 * a Linear's bias `f(f(f(b - mean) * s) + beta)`; a convolution's bias is multiplied by r, then by
 * gamma, `f(f(f(f(b - mean) * r) * gamma) + beta)`.
 *
 * @param before What the weight belongs to.
 * @param weight float32 [outFeatures, ...], row-major.
 * @param bias float32 [outFeatures], or null.
 * @param norm A batch normalization over outFeatures channels.
 *
 * @example
 * ```ts
 * import { foldBatchNorm } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const norm = {
 *   weight: Float32Array.of(3),
 *   bias: Float32Array.of(1),
 *   runningMean: Float32Array.of(2),
 *   runningVar: Float32Array.of(4),
 *   eps: 0,
 * };
 * const folded = foldBatchNorm("linear", Float32Array.of(2, 4), null, norm);
 * assertEquals([...folded.weight, ...folded.bias], [3, 6, -2]);
 * ```
 */
export function foldBatchNorm(
  before: "linear" | "convolution",
  weight: Float32Array,
  bias: Float32Array | null,
  norm: BatchNorm,
): FoldedWeight {
  const outFeatures = norm.runningMean.length;
  const width = weight.length / outFeatures;
  const folded = new Float32Array(weight.length);
  const foldedBias = new Float32Array(outFeatures);
  for (let row = 0; row < outFeatures; row++) {
    const inverse = inverseDeviation(norm, row);
    const gamma = norm.weight === null ? 1 : norm.weight[row]!;
    const beta = norm.bias === null ? 0 : norm.bias[row]!;
    const scale = f(gamma * inverse);
    for (let i = row * width; i < (row + 1) * width; i++) folded[i] = weight[i]! * scale;
    const centered = f((bias === null ? 0 : bias[row]!) - norm.runningMean[row]!);
    const scaled = before === "linear" ? f(centered * scale) : f(f(centered * inverse) * gamma);
    foldedBias[row] = scaled + beta;
  }
  return { weight: folded, bias: foldedBias };
}

/**
 * Parameters of a layer normalization: float32 [width] each.
 *
 * @example
 * ```ts
 * import type { LayerNorm } from "@splitgate/splitgate/kernels";
 * import { LayerNorm as Module } from "@splitgate/splitgate";
 * const norm: LayerNorm = new Module({ normalizedShape: 4 }); // what a LayerNorm has
 * ```
 */
export interface LayerNorm {
  /** gamma; null for ones. */
  readonly weight: Float32Array | null;
  /** beta; null for zeros. */
  readonly bias: Float32Array | null;
  /** Added to the variance, positive. */
  readonly eps: number;
}

/**
 * torch.nn.LayerNorm over the last dimension, in double and rounded to float32 once: the mean, then
 * the mean of squared differences from it, each summed in the row's order; `(x - mean) / sqrt(var +
 * eps) * weight + bias`. Every operation is one that IEEE 754 fixes, the square root included,
 * which all engines take from the processor.
 *
 * torch's own sums are in float32, in an order that depends on the CPU's vectors, and less exact
 * than this.
 *
 * @param x float32 [rows, width].
 * @param width 1 or more.
 * @param out As long as `x`; may be `x`.
 *
 * @example
 * ```ts
 * import { layerNormFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * layerNormFloat32(Float32Array.of(1, 5), 2, { weight: null, bias: null, eps: 1e-12 }, out);
 * assertEquals([...out], [-1, 1]);
 * ```
 */
export function layerNormFloat32(
  x: Float32Array,
  width: number,
  norm: LayerNorm,
  out: Float32Array,
): void {
  const { weight, bias, eps } = norm;
  for (let row = 0; row < x.length; row += width) {
    let sum = 0;
    for (let i = row; i < row + width; i++) sum += x[i]!;
    const mean = sum / width;
    let squares = 0;
    for (let i = row; i < row + width; i++) {
      const difference = x[i]! - mean;
      squares += difference * difference;
    }
    const deviation = Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) {
      const scaled = (x[row + i]! - mean) / deviation * (weight === null ? 1 : weight[i]!);
      out[row + i] = scaled + (bias === null ? 0 : bias[i]!);
    }
  }
}

/**
 * quantized::layer_norm of torch over the last dimension, for both engines. Of the row's integers,
 * zero point included, the exact sums `S` and `Q` of values and squares give `m = f(f(S) / width)`,
 * `v = max(f(f(f(Q) / width) - f(m * m)), 0)` and, the square root and both divisions by it in
 * double, `d = f(scale / sqrt(f(f(v * scale) * scale) + eps))`. Then `y = f(f(f(f(f(x - zeroPoint)
 * - f(m - zeroPoint)) * d) * weight) + bias)`, quantized.
 *
 * torch's integers for quint8 and qint8 at every width and position; wider integers follow the same
 * rule.
 *
 * @param x [rows, width]; the sum of a row's squared integers is below 2^53.
 * @param width 1 or more.
 * @param out As long as `x`; may be the same array.
 *
 * @example
 * ```ts
 * import { layerNormInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const to = { scale: 1 / 64, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const norm = { weight: null, bias: null, eps: 1e-5 };
 * const out = new Uint8Array(2);
 * const x = { data: Uint8Array.of(100, 140), qparams: { scale: 0.1, zeroPoint: 7 } };
 * layerNormInt8(x, 2, norm, { data: out, qparams: to });
 * assertEquals([...out], [64, 192]);
 * ```
 */
export function layerNormInt8(
  x: QuantizedInput,
  width: number,
  norm: LayerNorm,
  out: QuantizedOutput,
): void {
  const { weight, bias, eps } = norm;
  const { data, qparams: { zeroPoint } } = x;
  const { data: integers, qparams: to } = out;
  const scale = f(x.qparams.scale);
  const inverse = reciprocal(to.scale);
  for (let row = 0; row < data.length; row += width) {
    let sum = 0;
    let squares = 0;
    for (let i = row; i < row + width; i++) {
      sum += data[i]!;
      squares += data[i]! * data[i]!;
    }
    const mean = f(f(sum) / f(width));
    const centeredMean = f(mean - f(zeroPoint));
    const variance = Math.max(f(f(f(squares) / f(width)) - f(mean * mean)), 0);
    const factor = f(scale / Math.sqrt(f(f(variance * scale) * scale) + eps));
    for (let i = 0; i < width; i++) {
      const normal = f(f(f(data[row + i]! - zeroPoint) - centeredMean) * factor);
      const y = f(
        f(normal * (weight === null ? 1 : weight[i]!)) + (bias === null ? 0 : bias[i]!),
      );
      integers[row + i] = quantizeValue(y, inverse, to.zeroPoint, to.quantMin, to.quantMax);
    }
  }
}

/**
 * Rows divided by their length: `f(x / max(sqrt(sum of x²), eps))`, in double until the end.
 *
 * @param x Rows of `width` values.
 * @param out As long as `x`; may be `x`.
 * @param eps Smallest divisor, above 0; shorter rows are divided by it.
 *
 * @example
 * ```ts
 * import { unitNormFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * unitNormFloat32(Float32Array.of(3, -4), 2, 1e-12, out);
 * assertEquals([...out], [Math.fround(0.6), Math.fround(-0.8)]);
 * ```
 */
export function unitNormFloat32(
  x: Float32Array,
  width: number,
  eps: number,
  out: Float32Array,
): void {
  for (let row = 0; row < x.length; row += width) {
    let squares = 0;
    for (let i = row; i < row + width; i++) squares += x[i]! * x[i]!;
    const length = Math.max(Math.sqrt(squares), eps);
    for (let i = row; i < row + width; i++) out[i] = x[i]! / length;
  }
}
