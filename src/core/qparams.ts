/**
 * Quantization parameters, per tensor and per channel.
 *
 * @module
 */
import { type DType, dtypeRange } from "./dtype.ts";
import { checkGiven, checkInteger, failRange, failType } from "./errors.ts";

/**
 * One scale and zero point for a whole tensor: `real = scale * (q - zeroPoint)`, q in
 * quantMin..quantMax.
 *
 * @example
 * ```ts
 * import { perTensorAffine, type PerTensorQParams } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const q: PerTensorQParams = perTensorAffine({ dtype: "quint8", scale: 0.5, zeroPoint: 10 });
 * const real = (integer: number) => (integer - q.zeroPoint) * q.scale;
 * assertEquals([q.quantMin, q.quantMax].map(real), [-5, 122.5]); // what can be represented
 * ```
 */
export interface PerTensorQParams {
  /** What the integers are stored in. */
  readonly dtype: DType;
  /** A positive, finite float32 value. */
  readonly scale: number;
  /** The integer that stands for 0, in quantMin..quantMax. */
  readonly zeroPoint: number;
  /** Smallest integer, below quantMax and within the dtype. */
  readonly quantMin: number;
  /** Largest integer, within the dtype. */
  readonly quantMax: number;
}

/**
 * One scale and zero point for each index along `axis`.
 *
 * @example
 * ```ts
 * import { perChannelAffine, type PerChannelQParams } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * // int8 weights of three outputs: a scale for each row.
 * const rows: PerChannelQParams = perChannelAffine({ dtype: "qint8", scales: [0.5, 0.25, 1] });
 * assertEquals([rows.axis, [...rows.scales]], [0, [0.5, 0.25, 1]]);
 * ```
 */
export interface PerChannelQParams {
  /** What the integers are stored in. */
  readonly dtype: DType;
  /** float32, one a channel, positive and finite. */
  readonly scales: Float32Array;
  /** One a channel, each in quantMin..quantMax. */
  readonly zeroPoints: Int32Array;
  /** The dimension whose index is the channel. */
  readonly axis: number;
  /** Smallest integer, of all channels. */
  readonly quantMin: number;
  /** Largest integer, of all channels. */
  readonly quantMax: number;
}

/**
 * Quantization parameters of a tensor.
 *
 * @example
 * ```ts
 * import { perChannelAffine, perTensorAffine, type QParams } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const scalesOf = (q: QParams) => "scales" in q ? [...q.scales] : [q.scale];
 * assertEquals(scalesOf(perTensorAffine({ dtype: "qint8", scale: 2, zeroPoint: 0 })), [2]);
 * assertEquals(scalesOf(perChannelAffine({ dtype: "qint8", scales: [1, 2] })), [1, 2]);
 * ```
 */
export type QParams = PerTensorQParams | PerChannelQParams;

/**
 * Whether the parameters are per channel.
 *
 * @example
 * ```ts
 * import { perChannelAffine } from "@splitgate/splitgate";
 * import { isPerChannel } from "./qparams.ts";
 * import { assert } from "@std/assert";
 * assert(isPerChannel(perChannelAffine({ dtype: "qint8", scales: [0.5, 0.25] })));
 * ```
 */
export function isPerChannel(qparams: QParams): qparams is PerChannelQParams {
  return "scales" in qparams;
}

function checkRange(
  dtype: DType,
  quantMin?: number,
  quantMax?: number,
): [number, number] {
  const [min, max] = dtypeRange(dtype);
  const lo = checkInteger("quantMin", quantMin ?? min, min, max);
  return [lo, checkInteger("quantMax", quantMax ?? max, lo + 1, max)];
}

function checkScale(name: string, scale: unknown): number {
  const rounded = Math.fround(scale as number);
  // Kernels multiply by the reciprocal.
  if (
    typeof scale !== "number" ||
    !(rounded > 0 && rounded < Infinity && Math.fround(1 / rounded) < Infinity)
  ) {
    (typeof scale === "number" ? failRange : failType)(
      name,
      "a positive float32 value with a finite reciprocal",
      scale,
    );
  }
  return rounded;
}

/**
 * Builds and checks per-tensor parameters; the scale is rounded to float32.
 *
 * @param options.dtype The storage dtype.
 * @param options.scale The real size of one step: finite and above 2^-128, so that its reciprocal
 * is finite too.
 * @param options.zeroPoint The integer that stands for 0, in quantMin..quantMax.
 * @param options.quantMin Smallest integer; the dtype's own by default.
 * @param options.quantMax Largest integer; the dtype's own by default.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If the scale is not finite or not above 2^-128, or an integer is out of
 * range.
 *
 * @example A 16-bit range
 * ```ts
 * import { perTensorAffine } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const gates = perTensorAffine({
 *   dtype: "qint32",
 *   scale: 2 ** -11,
 *   zeroPoint: 0,
 *   quantMin: -32768,
 *   quantMax: 32767,
 * });
 * assertEquals(gates.scale, 2 ** -11);
 * ```
 */
export function perTensorAffine(
  options: {
    dtype: DType;
    scale: number;
    zeroPoint: number;
    quantMin?: number;
    quantMax?: number;
  },
): PerTensorQParams {
  checkGiven(options);
  const { dtype, scale, zeroPoint } = options;
  const [quantMin, quantMax] = checkRange(dtype, options.quantMin, options.quantMax);
  return {
    dtype,
    scale: checkScale("scale", scale),
    zeroPoint: checkInteger("zeroPoint", zeroPoint, quantMin, quantMax),
    quantMin,
    quantMax,
  };
}

/**
 * Builds and checks per-channel parameters; scales are rounded to float32.
 *
 * @param options.scales One scale a channel, finite and above 2^-128.
 * @param options.zeroPoints One zero point a channel; all 0 by default.
 * @param options.axis The dimension whose index is the channel; 0 by default.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If a scale or zero point is out of range, or their numbers differ.
 *
 * @example
 * ```ts
 * import { perChannelAffine } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const rows = perChannelAffine({ dtype: "qint8", scales: [0.5, 0.25] });
 * assertEquals([...rows.zeroPoints], [0, 0]);
 * ```
 */
export function perChannelAffine(
  options: {
    dtype: DType;
    scales: ArrayLike<number>;
    zeroPoints?: ArrayLike<number>;
    axis?: number;
    quantMin?: number;
    quantMax?: number;
  },
): PerChannelQParams {
  checkGiven(options);
  const [quantMin, quantMax] = checkRange(
    options.dtype,
    options.quantMin,
    options.quantMax,
  );
  const channels = options.scales?.length;
  if (!Number.isInteger(channels)) failType("scales", "an array of numbers", options.scales);
  const points = options.zeroPoints ?? new Int32Array(channels);
  if (points.length !== channels) {
    failRange("zeroPoints", `${channels} values, one a scale`, points.length);
  }
  const scales = new Float32Array(channels);
  const zeroPoints = new Int32Array(channels);
  for (let i = 0; i < channels; i++) {
    scales[i] = checkScale(`scales[${i}]`, options.scales[i]);
    zeroPoints[i] = checkInteger(
      `zeroPoints[${i}]`,
      points[i],
      quantMin,
      quantMax,
    );
  }
  const axis = checkInteger("axis", options.axis ?? 0, 0, 7);
  return { dtype: options.dtype, scales, zeroPoints, axis, quantMin, quantMax };
}

/**
 * Whether two sets of per-tensor parameters are the same.
 *
 * @example
 * ```ts
 * import { perTensorAffine } from "@splitgate/splitgate";
 * import { sameQParams } from "./qparams.ts";
 * import { assert } from "@std/assert";
 * const q = perTensorAffine({ dtype: "qint8", scale: 0.5, zeroPoint: 0 });
 * assert(sameQParams(q, { ...q }) && !sameQParams(q, { ...q, zeroPoint: 1 }));
 * ```
 */
export function sameQParams(a: PerTensorQParams, b: PerTensorQParams): boolean {
  return a.dtype === b.dtype && a.scale === b.scale && a.zeroPoint === b.zeroPoint &&
    a.quantMin === b.quantMin &&
    a.quantMax === b.quantMax;
}
