/**
 * The dynamically quantized linear operator: float32 in and out, the input quantized by its own
 * range at each call.
 *
 * @module
 */
import { channelOf, dotInt8, type Engine, type LinearParameters } from "./linear.ts";
import {
  clamp,
  fmaFloat32,
  quantizeValue,
  reciprocal,
  roundHalfEven,
} from "../numeric/requantize.ts";

const f = Math.fround;
const SMALL_SCALE = /* @__PURE__ */ f(6.1e-5); // about the smallest normal float16

/**
 * What a float32 tensor is dynamically quantized with, to quint8.
 *
 * @example
 * ```ts
 * import { chooseQParamsDynamic, type DynamicQParams } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const found: DynamicQParams = chooseQParamsDynamic(-51, 204, false, "fbgemm");
 * assertEquals(found, { scale: 1, zeroPoint: 51 }); // for values of -51 to 204
 * ```
 */
export interface DynamicQParams {
  /** A float32 value. */
  readonly scale: number;
  /** The integer that 0 becomes, 0..255. */
  readonly zeroPoint: number;
}

/**
 * Scale and zero point of a tensor from its range: PyTorch's ChooseQuantizationParams
 * (aten/src/ATen/native/quantized/cpu/QuantUtils.h) for quint8 without preserved sparsity.
 *
 * The range is widened to hold 0 and divided in double. A scale that has no finite reciprocal
 * becomes 0.1, a scale below 6.1e-5 becomes that, with the range stretched to it.
 *
 * @param min Smallest value, a finite float32.
 * @param max Largest value, a finite float32 not below `min`.
 * @param reduceRange Whether to use 0..127 only; qnnpack ignores it, as in PyTorch.
 *
 * @example
 * ```ts
 * import { chooseQParamsDynamic } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals(chooseQParamsDynamic(-51, 204, false, "fbgemm"), { scale: 1, zeroPoint: 51 });
 * ```
 */
export function chooseQParamsDynamic(
  min: number,
  max: number,
  reduceRange: boolean,
  engine: Engine,
): DynamicQParams {
  const quantMax = reduceRange && engine === "fbgemm" ? 127 : 255;
  const hi = Math.max(max, 0);
  let lo = Math.min(min, 0);
  let scale = (hi - lo) / quantMax;
  if (f(scale) === 0 || reciprocal(scale) === Infinity) scale = 0.1;
  if (scale < SMALL_SCALE) {
    lo = f(hi === 0 ? -SMALL_SCALE * quantMax : lo * f(SMALL_SCALE / f(scale)));
    scale = SMALL_SCALE;
  }
  // PyTorch takes `quantMax - hi / scale` where that adds the smaller terms: there both are within
  // rounding of 0.
  return { scale: f(scale), zeroPoint: roundHalfEven(clamp(-lo / scale, 0, quantMax)) };
}

/**
 * Quantizes a float32 tensor to quint8 as the dynamic linear operator of each engine does: qnnpack
 * as {@linkcode quantizeValue}, fbgemm with the zero point added before rounding,
 * `clamp(rne(fma(x, inv(scale), zeroPoint)), 0, 255)`.
 *
 * @param x Finite float32 values; huge ones saturate.
 * @param out As long as `x`.
 *
 * @example The two rules differ on ties
 * ```ts
 * import { quantizeDynamic } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const x = Float32Array.of(0.5), q = new Uint8Array(1), qparams = { scale: 1, zeroPoint: 3 };
 * quantizeDynamic("fbgemm", x, q, qparams);
 * assertEquals(q[0], 4); // rne(3.5)
 * quantizeDynamic("qnnpack", x, q, qparams);
 * assertEquals(q[0], 3); // rne(0.5) + 3
 * ```
 */
export function quantizeDynamic(
  engine: Engine,
  x: Float32Array,
  out: Uint8Array,
  { scale, zeroPoint }: DynamicQParams,
): void {
  const inverse = reciprocal(scale);
  for (let i = 0; i < x.length; i++) {
    out[i] = engine === "qnnpack"
      ? quantizeValue(x[i]!, inverse, zeroPoint, 0, 255)
      : clamp(roundHalfEven(fmaFloat32(x[i]!, inverse, zeroPoint)), 0, 255);
  }
}

/**
 * How {@linkcode linearDynamicInt8} quantizes its input.
 *
 * @example
 * ```ts
 * import { type DynamicQuantization, linearDynamicInt8 } from "@splitgate/splitgate/kernels";
 * const weight = {
 *   data: Int8Array.of(2, -1),
 *   outFeatures: 1,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(0.5),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const quantization: DynamicQuantization = {
 *   reduceRange: true, // 7 bits, as torch on x86
 *   integers: new Uint8Array(2), // kept from call to call
 * };
 * const out = new Float32Array(1);
 * linearDynamicInt8("fbgemm", Float32Array.of(1, -1), { weight, bias: null }, out, quantization);
 * ```
 */
export interface DynamicQuantization {
  /** See {@linkcode chooseQParamsDynamic}; false by default. */
  readonly reduceRange?: boolean;
  /** Receives the quantized input; as long as it, or longer. A new array by default. */
  readonly integers?: Uint8Array;
}

/**
 * The dynamically quantized linear operator: quantized::linear_dynamic and
 * quantized::linear_relu_dynamic of torch.
 *
 * With `m = f(scale * weightScale)`, fbgemm gives `fma(f(sum), m, bias)` and qnnpack
 * `f(f(f(sum) * m) + bias)`. The range is that of the whole input, so that the rows of a batch
 * share it.
 *
 * @param engine Whose rounding.
 * @param x float32 [rows, inFeatures], finite.
 * @param out Receives float32 [rows, outFeatures]; infinities where results overflow, but never
 * NaN.
 *
 * @example
 * ```ts
 * import { linearDynamicInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(2, -1),
 *   outFeatures: 1,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(0.5),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const out = new Float32Array(1);
 * linearDynamicInt8(
 *   "fbgemm",
 *   Float32Array.of(255, 4),
 *   { weight, bias: Float32Array.of(0.25) },
 *   out,
 * );
 * assertEquals(out[0], 253.25);
 * ```
 */
export function linearDynamicInt8(
  engine: Engine,
  x: Float32Array,
  linear: LinearParameters,
  out: Float32Array,
  quantization: DynamicQuantization = {},
): void {
  const { weight, bias, relu = false } = linear;
  const { inFeatures, outFeatures, scales } = weight;
  const { reduceRange = false, integers = new Uint8Array(x.length) } = quantization;
  let min = 0;
  let max = 0;
  for (let i = 0; i < x.length; i++) {
    if (x[i]! < min) min = x[i]!;
    else if (x[i]! > max) max = x[i]!;
  }
  const qparams = chooseQParamsDynamic(min, max, reduceRange, engine);
  quantizeDynamic(engine, x, integers, qparams);
  for (let i = 0, o = 0; i < x.length; i += inFeatures) {
    for (let row = 0; row < outFeatures; row++, o++) {
      const sum = f(dotInt8(integers, i, qparams.zeroPoint, weight, row));
      const multiplier = f(qparams.scale * scales[channelOf(weight, row)]!);
      const add = bias === null ? 0 : bias[row]!;
      // A step beyond float32 makes any sum infinite but 0, of which it would make NaN.
      const y = sum === 0 && multiplier === Infinity
        ? 0 + add
        : engine === "fbgemm"
        ? fmaFloat32(sum, multiplier, add)
        : f(f(sum * multiplier) + add);
      out[o] = relu && !(y > 0) ? 0 : y;
    }
  }
}
