/**
 * Convolution over the steps of a sequence, plain: a linear operator on what a window covers, in
 * float32, and of integers as torch's quantized::conv1d and quantized::conv1d_relu compute it.
 *
 * A window's values are ordered by step, then channel, as in a sequence; torch's weights order them
 * by channel, then step.
 *
 * @module
 */
import { linearFloat32 } from "../float/linear.ts";
import type { QuantizedInput, QuantizedOutput } from "../numeric/quantize.ts";
import { type Engine, linearInt8, linearInt8Float32, type LinearWeight } from "./linear.ts";
import { type Window, windowSteps } from "./window.ts";

/**
 * What a convolution does, besides its weight and bias.
 *
 * @example
 * ```ts
 * import { conv1dFloat32, type Convolution } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const causal: Convolution = {
 *   window: { kernelSize: 2, stride: 1, dilation: 1, left: 1, right: 0, ceilMode: false },
 *   groups: 1,
 * };
 * const out = new Float32Array(3);
 * const weights = { weight: Float32Array.of(10, 1), bias: null };
 * conv1dFloat32(Float32Array.of(1, 2, 3), 1, { ...causal, ...weights }, out);
 * assertEquals([...out], [1, 12, 23]);
 * ```
 */
export interface Convolution {
  /** The window that moves over the sequence. */
  readonly window: Window;
  /** Number of channel groups; divides both the input and the output channels. */
  readonly groups: number;
}

/**
 * Rows of numbers with the two inner dimensions swapped: [rows, a, b] to [rows, b, a].
 *
 * @example
 * ```ts
 * import { swapInner } from "./convolution.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(swapInner(Int8Array.of(1, 2, 3, 4, 5, 6), 2, 3), Int8Array.of(1, 4, 2, 5, 3, 6));
 * ```
 */
export function swapInner<T extends Int8Array | Float32Array>(data: T, a: number, b: number): T {
  const out = data.slice() as T;
  const size = a * b;
  for (let i = 0; i < data.length; i++) {
    const inner = i % size;
    out[i - inner + (inner % b) * a + Math.floor(inner / b)] = data[i]!;
  }
  return out;
}

/**
 * The values under each window, for one group: [positions, kernelSize * channels / groups].
 *
 * @param x [steps, channels] of one sequence.
 * @param padding Value of the padding before and after it.
 *
 * @example
 * ```ts
 * import { windowRows } from "./convolution.ts";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 2, stride: 1, dilation: 1, left: 1, right: 0, ceilMode: false };
 * const rows = windowRows(Float32Array.of(1, 2, 3, 4), 2, { window, groups: 2 }, 1, 0);
 * assertEquals([...rows], [0, 2, 2, 4]);
 * ```
 */
export function windowRows<T extends Uint8Array | Int8Array | Int32Array | Float32Array>(
  x: T,
  channels: number,
  { window, groups }: Convolution,
  group: number,
  padding: number,
): T {
  const { kernelSize, stride, dilation, left } = window;
  const perGroup = channels / groups;
  const steps = x.length / channels;
  const count = windowSteps(window, steps);
  const Kind = x.constructor as new (length: number) => T;
  const rows = new Kind(count * kernelSize * perGroup);
  for (let position = 0, o = 0; position < count; position++) {
    for (let tap = 0; tap < kernelSize; tap++) {
      const t = position * stride - left + tap * dilation;
      const from = t * channels + group * perGroup;
      for (let i = 0; i < perGroup; i++, o++) {
        rows[o] = t >= 0 && t < steps ? x[from + i]! : padding;
      }
    }
  }
  return rows;
}

/**
 * The weight rows of one group, each reordered by step, then channel.
 *
 * @param weight Its rows in torch's order, [channels / groups, kernelSize].
 *
 * @example
 * ```ts
 * import { groupWeight } from "./convolution.ts";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
 *   outFeatures: 2,
 *   inFeatures: 4,
 *   perChannel: true,
 *   scales: Float32Array.of(0.5, 0.25),
 *   zeroPoints: Int32Array.of(0, 0),
 * };
 * const { data, scales } = groupWeight(weight, 2, 2, 1);
 * assertEquals(data, Int8Array.of(5, 7, 6, 8));
 * assertEquals([...scales], [0.25]);
 * ```
 */
export function groupWeight(
  weight: LinearWeight,
  kernelSize: number,
  groups: number,
  group: number,
): LinearWeight {
  const { outFeatures, inFeatures, perChannel, scales, zeroPoints } = weight;
  const rows = outFeatures / groups;
  const data = weight.data.subarray(group * rows * inFeatures, (group + 1) * rows * inFeatures);
  const perRow = scales.length === 1 ? [0, 1] : [group * rows, (group + 1) * rows];
  return {
    data: swapInner(data, inFeatures / kernelSize, kernelSize),
    outFeatures: rows,
    inFeatures,
    perChannel,
    scales: scales.slice(...perRow),
    zeroPoints: zeroPoints.slice(...perRow),
  };
}

/** Writes the rows of one group among those of all. */
function interleave(
  from: ArrayLike<number>,
  group: number,
  groups: number,
  width: number,
  out: { [i: number]: number },
): void {
  for (let i = 0; i < from.length; i++) {
    const column = i % width;
    out[(i - column) * groups + group * width + column] = from[i]!;
  }
}

/**
 * torch.nn.functional.conv1d of one sequence: each sum is accumulated in double by step, then
 * channel, the bias last, and rounded to float32 once.
 *
 * torch sums in float32 in an unspecified order, and differs by its rounding errors.
 *
 * @param x float32 [steps, channels].
 * @param weight float32 [outChannels, channels / groups, kernelSize], as torch has it.
 * @param bias float32 [outChannels], or null.
 * @param out Receives float32 [positions, outChannels].
 *
 * @example
 * ```ts
 * import { conv1dFloat32 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 2, stride: 1, dilation: 1, left: 1, right: 0, ceilMode: false };
 * const x = Float32Array.of(1, 2, 3);
 * const out = new Float32Array(3);
 * conv1dFloat32(
 *   x,
 *   1,
 *   { weight: Float32Array.of(10, 1), bias: null, window, groups: 1 },
 *   out,
 * );
 * assertEquals([...out], [1, 12, 23]);
 * ```
 */
export function conv1dFloat32(
  x: Float32Array,
  channels: number,
  convolution: Convolution & { readonly weight: Float32Array; readonly bias: Float32Array | null },
  out: Float32Array,
): void {
  const { window: { kernelSize }, groups, weight, bias } = convolution;
  const perGroup = channels / groups;
  const inFeatures = perGroup * kernelSize;
  const rows = weight.length / inFeatures / groups;
  for (let group = 0; group < groups; group++) {
    const given = windowRows(x, channels, convolution, group, 0);
    const from = group * rows;
    const own = weight.subarray(from * inFeatures, (from + rows) * inFeatures);
    const layer = {
      weight: swapInner(own, perGroup, kernelSize),
      bias: bias && bias.subarray(from, from + rows),
      inFeatures,
      outFeatures: rows,
    };
    const y = new Float32Array(given.length / inFeatures * rows);
    for (let i = 0, o = 0; i < given.length; i += inFeatures, o += rows) {
      linearFloat32(layer, given, i, y, o);
    }
    interleave(y, group, groups, rows, out);
  }
}

/**
 * A quantized convolution's numbers.
 *
 * @example
 * ```ts
 * import { conv1dInt8, type ConvolutionParameters } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const convolution: ConvolutionParameters = {
 *   window: { kernelSize: 2, stride: 1, dilation: 1, left: 0, right: 0, ceilMode: false },
 *   groups: 1,
 *   weight: {
 *     data: Int8Array.of(2, -1), // [out, kernel, in / groups]
 *     outFeatures: 1,
 *     inFeatures: 2,
 *     perChannel: false,
 *     scales: Float32Array.of(0.5),
 *     zeroPoints: Int32Array.of(0),
 *   },
 *   bias: null,
 * };
 * const x = { data: Uint8Array.of(12, 10), qparams: { scale: 1, zeroPoint: 10 } };
 * const qparams = { scale: 0.5, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const out = { data: new Uint8Array(1), qparams };
 * conv1dInt8("fbgemm", x, 1, convolution, out);
 * assertEquals([...out.data], [4]);
 * ```
 */
export interface ConvolutionParameters extends Convolution {
  /** int8 [outChannels, channels / groups * kernelSize], a row's numbers in torch's order. */
  readonly weight: LinearWeight;
  /** float32 [outChannels], or null. */
  readonly bias: Float32Array | null;
  /** Whether negative results become 0; false by default. */
  readonly relu?: boolean;
}

/**
 * quantized::conv1d and quantized::conv1d_relu of torch, of one sequence: what a window covers goes
 * through quantized::linear, and padding is the zero point.
 *
 * torch's result wherever its int32 accumulator does not overflow; other dtypes and wider sums
 * follow the same rule.
 *
 * @param engine Whose rounding.
 * @param x [steps, channels]
 * @param channels Values a step.
 * @param out [positions, outChannels]; null parameters give float32, as `linearInt8Float32` does.
 *
 * @example
 * ```ts
 * import { conv1dInt8 } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const window = { kernelSize: 2, stride: 1, dilation: 1, left: 0, right: 0, ceilMode: false };
 * const weight = {
 *   data: Int8Array.of(2, -1),
 *   outFeatures: 1,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(0.5),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const out = new Uint8Array(1);
 * conv1dInt8(
 *   "fbgemm",
 *   { data: Uint8Array.of(12, 10), qparams: { scale: 1, zeroPoint: 10 } },
 *   1,
 *   { window, groups: 1, weight, bias: Float32Array.of(1) },
 *   { data: out, qparams: { scale: 0.5, zeroPoint: 0, quantMin: 0, quantMax: 255 } },
 * );
 * assertEquals(out[0], 6);
 * ```
 */
export function conv1dInt8(
  engine: Engine,
  { data, qparams }: QuantizedInput,
  channels: number,
  convolution: ConvolutionParameters,
  out: QuantizedOutput | { readonly data: Float32Array; readonly qparams: null },
): void {
  const { window: { kernelSize }, groups, bias, relu = false } = convolution;
  for (let group = 0; group < groups; group++) {
    const weight = groupWeight(convolution.weight, kernelSize, groups, group);
    const { outFeatures: rows, inFeatures } = weight;
    const given = windowRows(data, channels, convolution, group, qparams.zeroPoint);
    const added = bias && bias.subarray(group * rows, (group + 1) * rows);
    const x = { data: given, qparams };
    const size = given.length / inFeatures * rows;
    if (out.qparams === null) {
      const y = new Float32Array(size);
      linearInt8Float32(engine, x, { weight, bias: added, relu }, y);
      interleave(y, group, groups, rows, out.data);
    } else {
      const y = out.data.slice(0, size);
      linearInt8(engine, x, { weight, bias: added, relu }, { data: y, qparams: out.qparams });
      interleave(y, group, groups, rows, out.data);
    }
  }
}
