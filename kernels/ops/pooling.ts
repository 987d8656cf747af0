/**
 * Pooling over the steps of a sequence, as torch.nn.MaxPool1d and AvgPool1d and their quantized
 * operators compute it.
 *
 * @module
 */
import { clamp, roundHalfEven } from "../numeric/requantize.ts";
import type { Affine, Integers } from "../numeric/quantize.ts";
import type { Engine } from "./linear.ts";
import { type Window, windowSteps } from "./window.ts";

/**
 * The largest of each window's values by channel, for integers and floats; padding is ignored.
 *
 * @param x [steps, channels] of one sequence; every window covers at least one step of it.
 * @param out Receives [positions, channels].
 *
 * @example
 * ```ts
 * import { maxPool1d } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 2, stride: 2, dilation: 1, left: 0, right: 0, ceilMode: true };
 * const out = new Float32Array(2);
 * maxPool1d(Float32Array.of(-1, -3, -2), 1, window, out);
 * assertEquals([...out], [-1, -2]);
 * ```
 */
export function maxPool1d(
  x: Integers | Float32Array,
  channels: number,
  window: Window,
  out: Integers | Float32Array,
): void {
  const { kernelSize, stride, dilation, left } = window;
  const steps = x.length / channels;
  const count = windowSteps(window, steps);
  for (let position = 0, o = 0; position < count; position++) {
    for (let channel = 0; channel < channels; channel++, o++) {
      let largest = -Infinity;
      for (let tap = 0; tap < kernelSize; tap++) {
        const t = position * stride - left + tap * dilation;
        if (t < 0 || t >= steps) continue;
        const value = x[t * channels + channel]!;
        if (value > largest) largest = value;
      }
      out[o] = largest;
    }
  }
}

/**
 * How an average counts the steps of its windows.
 *
 * @example
 * ```ts
 * import type { AveragePool } from "@splitgate/splitgate/kernels";
 * const pool: AveragePool = {
 *   window: { kernelSize: 2, stride: 2, dilation: 1, left: 0, right: 0, ceilMode: false },
 *   countIncludePad: true, // zeros of padding count, as in PyTorch
 * };
 * ```
 */
export interface AveragePool {
  /** The window; its dilation is 1. */
  readonly window: Window;
  /** Whether padding counts as zeros, or not at all. */
  readonly countIncludePad: boolean;
}

/**
 * Divisor of the sum of a window's values: the steps within the sequence or, where padding counts,
 * within the padded sequence.
 *
 * @param position Which window.
 * @param steps Steps of the sequence.
 *
 * @example
 * ```ts
 * import { averageDivisor } from "./pooling.ts";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 3, stride: 2, dilation: 1, left: 1, right: 0, ceilMode: false };
 * assertEquals(averageDivisor({ window, countIncludePad: false }, 0, 9), 2);
 * assertEquals(averageDivisor({ window, countIncludePad: true }, 0, 9), 3);
 * ```
 */
export function averageDivisor(
  { window, countIncludePad }: AveragePool,
  position: number,
  steps: number,
): number {
  const { kernelSize, stride, left, right } = window;
  const start = position * stride - left;
  const end = Math.min(start + kernelSize, steps + right);
  return countIncludePad ? end - start : Math.min(end, steps) - Math.max(start, 0);
}

/**
 * Multiplier of the sum of a window's integers: `f(1 / divisor)`; in qnnpack's kernel for quint8,
 * which handles full windows only, `f(scale / f(scale * kernelSize))`.
 *
 * @param qnnpack Whether that kernel computes it.
 * @param scale Of the integers, float32.
 *
 * @example
 * ```ts
 * import { averageMultiplier } from "./pooling.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(averageMultiplier(false, 0.1, 4), 0.25);
 * ```
 */
export function averageMultiplier(qnnpack: boolean, scale: number, divisor: number): number {
  const own = Math.fround(scale);
  return Math.fround(qnnpack ? own / Math.fround(own * divisor) : 1 / divisor);
}

/**
 * Whether torch averages such integers by qnnpack's own kernel: quint8, more than one step, every
 * window full.
 *
 * @param divisor {@linkcode averageDivisor} of the window.
 *
 * @example
 * ```ts
 * import { averagesByQnnpack } from "./pooling.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(averagesByQnnpack("qnnpack", "quint8", 3, 3), true);
 * assertEquals(averagesByQnnpack("qnnpack", "quint8", 3, 2), false);
 * ```
 */
export function averagesByQnnpack(
  engine: Engine,
  dtype: string,
  kernelSize: number,
  divisor: number,
): boolean {
  return engine === "qnnpack" && dtype === "quint8" && kernelSize > 1 && divisor === kernelSize;
}

/**
 * The average of each window's values by channel: the sum in double, divided, rounded to float32
 * once.
 *
 * @param x float32 [steps, channels] of one sequence.
 * @param out Receives float32 [positions, channels].
 *
 * @example
 * ```ts
 * import { avgPool1dFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 2, stride: 1, dilation: 1, left: 1, right: 0, ceilMode: false };
 * const out = new Float32Array(2);
 * avgPool1dFloat32(Float32Array.of(1, 3), 1, { window, countIncludePad: true }, out);
 * assertEquals([...out], [0.5, 2]);
 * ```
 */
export function avgPool1dFloat32(
  x: Float32Array,
  channels: number,
  pool: AveragePool,
  out: Float32Array,
): void {
  averages({ data: x, channels, zeroPoint: 0 }, pool, (sum, divisor) => sum / divisor, out);
}

/**
 * Integers of a sequence, and their parameters, which the averages share.
 *
 * @example
 * ```ts
 * import type { PooledIntegers } from "@splitgate/splitgate/kernels";
 * import { perTensorAffine } from "@splitgate/splitgate";
 * const x: PooledIntegers = {
 *   data: Uint8Array.of(1, 3, 5, 9),
 *   qparams: perTensorAffine({ dtype: "quint8", scale: 0.5, zeroPoint: 0 }),
 * };
 * ```
 */
export interface PooledIntegers {
  /** [steps, channels] */
  readonly data: Integers;
  /** Their parameters and dtype. */
  readonly qparams: Affine & { readonly dtype: string };
}

/**
 * quantized avg_pool1d of torch: the exact sum less zero points, `f(f(sum) * averageMultiplier)`
 * rounded half to even, and the zero point. The parameters stay.
 *
 * torch's result for channels-last tensors, which its quantized convolutions give. (Of contiguous
 * ones torch adds the zero point before it rounds, and differs at halves.) Where qnnpack's kernel
 * would count padding although countIncludePad is false, fbgemm's rule is followed, which does not.
 *
 * @param engine Whose rounding.
 * @param out Receives [positions, channels].
 *
 * @example
 * ```ts
 * import { avgPool1dInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 2, stride: 1, dilation: 1, left: 0, right: 0, ceilMode: false };
 * const qparams = { dtype: "quint8", scale: 1, zeroPoint: 7, quantMin: 0, quantMax: 255 };
 * const out = new Uint8Array(1);
 * const x = { data: Uint8Array.of(59, 230), qparams };
 * avgPool1dInt8("fbgemm", x, 1, { window, countIncludePad: true }, out);
 * assertEquals(out[0], 145); // 137.5 becomes 138, and then the zero point is added
 * ```
 */
export function avgPool1dInt8(
  engine: Engine,
  { data, qparams }: PooledIntegers,
  channels: number,
  pool: AveragePool,
  out: Integers,
): void {
  const { dtype, scale, zeroPoint, quantMin, quantMax } = qparams;
  const average = (sum: number, divisor: number) => {
    const qnnpack = averagesByQnnpack(engine, dtype, pool.window.kernelSize, divisor);
    const multiplier = averageMultiplier(qnnpack, scale, divisor);
    const value = roundHalfEven(Math.fround(Math.fround(sum) * multiplier));
    return clamp(value + zeroPoint, quantMin, quantMax);
  };
  averages({ data, channels, zeroPoint }, pool, average, out);
}

/** Values [steps, channels] of one sequence. */
interface PooledSequence {
  readonly data: Integers | Float32Array;
  readonly channels: number;
  readonly zeroPoint: number;
}

/** Sums windows, and writes what `average` makes of each sum. */
function averages(
  { data: x, channels, zeroPoint }: PooledSequence,
  pool: AveragePool,
  average: (sum: number, divisor: number) => number,
  out: Integers | Float32Array,
): void {
  const { kernelSize, stride, left } = pool.window;
  const steps = x.length / channels;
  const count = windowSteps(pool.window, steps);
  for (let position = 0, o = 0; position < count; position++) {
    const divisor = averageDivisor(pool, position, steps);
    for (let channel = 0; channel < channels; channel++, o++) {
      let sum = 0;
      for (let tap = 0; tap < kernelSize; tap++) {
        const t = position * stride - left + tap;
        if (t >= 0 && t < steps) sum += x[t * channels + channel]! - zeroPoint;
      }
      out[o] = average(sum, divisor);
    }
  }
}
