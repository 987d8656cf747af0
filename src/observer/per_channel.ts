/**
 * Minimum and maximum for each index of one axis.
 *
 * @module
 */
import { checkInteger, failRange, failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import type { DType } from "../core/dtype.ts";
import { perChannelAffine, type PerChannelQParams } from "../core/qparams.ts";
import { averageStep, type MovingAverageOptions } from "./moving_average.ts";
import {
  type CalculateOptions,
  checkPositive,
  checkRange,
  type ObserverOptions,
  PER_CHANNEL_SCHEMES,
  type RangeConfig,
  resolveOptions,
  scaleAndZeroPoint,
  UNIFORM_KEYS,
  UniformObserver,
} from "./observer.ts";

const f = Math.fround;

/**
 * Options of the per-channel observers.
 *
 * @example
 * ```ts
 * import { PerChannelMinMaxObserver, type PerChannelOptions } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const columns: PerChannelOptions = { dtype: "qint8", qscheme: "perChannelSymmetric", chAxis: 1 };
 * const observer = new PerChannelMinMaxObserver(columns);
 * observer.observe(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
 * assertEquals(observer.calculateQParams().scales.length, 3);
 * ```
 */
export interface PerChannelOptions extends ObserverOptions {
  /** The dimension whose index is the channel; 0 by default. */
  chAxis?: number;
}

/** Options of {@linkcode MovingAveragePerChannelMinMaxObserver}. */
export interface MovingAveragePerChannelOptions extends PerChannelOptions, MovingAverageOptions {}

/**
 * Per-channel parameters whose zero points are real numbers: `real = scale * (q - zeroPoint)`.
 *
 * @example
 * ```ts
 * import { type FloatQParams, PerChannelMinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const rows = new PerChannelMinMaxObserver({ qscheme: "perChannelAffineFloatQParams" });
 * rows.observe(Float32Array.of(1, 256, -2, 508), [2, 2]); // an Embedding's rows
 * const { scales, zeroPoints }: FloatQParams = rows.calculateFloatQParams();
 * assertEquals([[...scales], [...zeroPoints]], [[1, 2], [-1, 1]]);
 * ```
 */
export interface FloatQParams {
  /** Storage dtype. */
  readonly dtype: DType;
  /** float32, one a channel, positive. */
  readonly scales: Float32Array;
  /** float32, one a channel; need not be whole or within quantMin..quantMax. */
  readonly zeroPoints: Float32Array;
  /** The dimension whose index is the channel. */
  readonly axis: number;
  /** Smallest integer. */
  readonly quantMin: number;
  /** Largest integer. */
  readonly quantMax: number;
}

/**
 * What the two per-channel observers share; they differ in how a new tensor's range joins the old
 * one.
 *
 * @example Float zero points, as for an embedding
 * ```ts
 * import { PerChannelMinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { PerChannelObserver } from "./per_channel.ts";
 * import { assert, assertEquals } from "@std/assert";
 * const rows = new PerChannelMinMaxObserver({ qscheme: "perChannelAffineFloatQParams" });
 * rows.observe(Float32Array.of(1, 256, -2, 508), [2, 2]);
 * assert(rows instanceof PerChannelObserver);
 * const { scales, zeroPoints } = rows.calculateFloatQParams();
 * assertEquals([[...scales], [...zeroPoints]], [[1, 2], [-1, 1]]);
 * ```
 */
export abstract class PerChannelObserver extends UniformObserver {
  /** The dimension whose index is the channel. */
  readonly chAxis: number;
  #min: Float32Array = new Float32Array(0);
  #max: Float32Array = new Float32Array(0);

  /**
   * For the two subclasses.
   *
   * @param config Checked options.
   */
  protected constructor(config: RangeConfig, chAxis: number | undefined) {
    super(config);
    this.chAxis = checkInteger("chAxis", chAxis ?? 0, 0, 7);
  }

  /** The ends of a channel after the first tensor. */
  protected abstract join(
    min: number,
    max: number,
    currentMin: number,
    currentMax: number,
  ): [min: number, max: number];

  /** Takes each channel's minimum and maximum of a tensor and joins them to those so far. */
  protected override update(
    data: Float32Array,
    shape: readonly number[] | undefined,
  ): void {
    if (shape === undefined) {
      failType("shape", "the shape, which tells the channels apart", shape);
    }
    if (shape.length < 2 || shape.length <= this.chAxis) {
      const rank = Math.max(2, this.chAxis + 1);
      failRange(
        "shape",
        `${rank} or more dimensions for channel axis ${this.chAxis}`,
        shape,
      );
    }
    const channels = shape[this.chAxis]!;
    if (this.seen && channels !== this.#min.length) {
      failRange(
        `shape[${this.chAxis}]`,
        `${this.#min.length} channels as before`,
        channels,
      );
    }
    let inner = 1;
    for (let i = this.chAxis + 1; i < shape.length; i++) inner *= shape[i]!;
    const min = new Float32Array(channels).fill(Infinity);
    const max = new Float32Array(channels).fill(-Infinity);
    let channel = 0;
    for (let start = 0; start < data.length; start += inner) {
      for (let i = start; i < start + inner; i++) {
        if (data[i]! < min[channel]!) min[channel] = data[i]!;
        if (data[i]! > max[channel]!) max[channel] = data[i]!;
      }
      if (++channel === channels) channel = 0;
    }
    if (this.seen) {
      for (let c = 0; c < channels; c++) {
        [min[c], max[c]] = this.join(
          this.#min[c]!,
          this.#max[c]!,
          min[c]!,
          max[c]!,
        );
      }
    }
    this.#min = min;
    this.#max = max;
  }

  /**
   * The quantization parameters for what was seen, one scale and zero point a channel. Of an
   * observer without data and with `allowUnseen`: one channel, scale 1 and zero point 0, as in
   * torch.
   *
   * @throws {RangeError} If no data was seen (unless `allowUnseen`), or the scheme is
   * perChannelAffineFloatQParams, for which see
   * {@linkcode PerChannelObserver.calculateFloatQParams}.
   */
  override calculateQParams(options?: CalculateOptions): PerChannelQParams {
    if (this.qscheme === "perChannelAffineFloatQParams") {
      failRange(
        "qscheme",
        "integer zero points (calculateFloatQParams gives float ones)",
        this.qscheme,
      );
    }
    this.checkSeen(options);
    const scales: number[] = [];
    const zeroPoints: number[] = [];
    for (let c = 0; c < this.#min.length; c++) {
      const [scale, zeroPoint] = scaleAndZeroPoint(
        this.#min[c]!,
        this.#max[c]!,
        this.config,
      );
      scales.push(scale);
      zeroPoints.push(zeroPoint);
    }
    if (!this.seen) {
      scales.push(1);
      zeroPoints.push(0);
    }
    const { chAxis: axis } = this;
    const { dtype, wholeMin: quantMin, wholeMax: quantMax } = this.config;
    return perChannelAffine({
      dtype,
      scales,
      zeroPoints,
      axis,
      quantMin,
      quantMax,
    });
  }

  /**
   * The parameters for what was seen under the scheme perChannelAffineFloatQParams, which
   * embeddings use: the scale spans the channel's own range, which need not contain 0, and is 1
   * where it is not above eps.
   *
   * @throws {RangeError} If no data was seen (unless `allowUnseen`), the scheme is another one, or
   * a range is wider than float32 holds.
   */
  calculateFloatQParams(options?: CalculateOptions): FloatQParams {
    if (this.qscheme !== "perChannelAffineFloatQParams") {
      failRange("qscheme", "perChannelAffineFloatQParams", this.qscheme);
    }
    this.checkSeen(options);
    const channels = this.seen ? this.#min.length : 1;
    const scales = new Float32Array(channels).fill(1);
    const zeroPoints = new Float32Array(channels);
    const { dtype, quantMin, quantMax, chAxis: axis, eps } = this;
    for (let c = 0; c < this.#min.length; c++) {
      const range = f(this.#max[c]! - this.#min[c]!);
      if (range === Infinity) {
        failRange(`range of channel ${c}`, "a finite float32 value", range);
      }
      const scale = f(range / f(quantMax - quantMin));
      if (scale > eps) scales[c] = scale;
      zeroPoints[c] = -this.#min[c]! / scales[c]!;
    }
    const { wholeMin, wholeMax } = this.config;
    return { dtype, scales, zeroPoints, axis, quantMin: wholeMin, quantMax: wholeMax };
  }

  /** Whether there are channels yet: a tensor has been observed or ranges set. */
  override get seen(): boolean {
    return this.#min.length > 0;
  }

  /** A copy of the channels' minima; empty before any data. */
  override get minVal(): Float32Array {
    return this.#min.slice();
  }

  /** A copy of the channels' maxima; empty before any data. */
  override get maxVal(): Float32Array {
    return this.#max.slice();
  }

  /**
   * Replaces the channels' ranges by recorded ones, one minimum and maximum a channel, rounded to
   * float32.
   */
  override setRange(min: ArrayLike<number>, max: ArrayLike<number>): void {
    for (const [name, value] of [["min", min], ["max", max]] as const) {
      if (typeof value !== "object" || value === null || !("length" in value)) {
        failType(name, "an array with one number a channel", value);
      }
    }
    if (min.length !== max.length || min.length === 0) {
      failRange("max", `1 or more channels, as many as min`, max.length);
    }
    const lows = new Float32Array(min.length);
    const highs = new Float32Array(min.length);
    for (let c = 0; c < lows.length; c++) {
      [lows[c], highs[c]] = checkRange(min[c], max[c], `[${c}]`);
    }
    this.#min = lows;
    this.#max = highs;
  }

  /** Forgets the ranges and the number of channels. */
  override reset(): void {
    super.reset();
    this.#min = new Float32Array(0);
    this.#max = new Float32Array(0);
  }
}

/**
 * Keeps the smallest and largest value ever seen of each channel;
 * torch.ao.quantization.PerChannelMinMaxObserver, bit for bit.
 *
 * @example
 * ```ts
 * import { PerChannelMinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const observer = new PerChannelMinMaxObserver({
 *   dtype: "qint8",
 *   qscheme: "perChannelSymmetric",
 * });
 * observer.observe(new Float32Array([-1, 0.5, 2, 3]), [2, 2]);
 * assertEquals([...observer.calculateQParams().scales], [1, 3].map((x) => Math.fround(x / 127.5)));
 * ```
 */
export class PerChannelMinMaxObserver extends PerChannelObserver {
  /** `"PerChannelMinMaxObserver"`. */
  override readonly kind: string = "PerChannelMinMaxObserver";

  /**
   * Makes an observer that has seen nothing; the first tensor sets the number of channels.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind, or the dtype is none of
   * quint8, qint8, qint32.
   * @throws {RangeError} If an option's value is out of range.
   */
  constructor(options: PerChannelOptions = {}) {
    checkOptions("options", options, [...UNIFORM_KEYS, "chAxis"]);
    super(resolveOptions(options, PER_CHANNEL_SCHEMES), options.chAxis);
  }

  /** The wider of both ranges. */
  protected override join(
    min: number,
    max: number,
    currentMin: number,
    currentMax: number,
  ): [number, number] {
    return [Math.min(min, currentMin), Math.max(max, currentMax)];
  }
}

/**
 * Averages each channel's minima and maxima as {@linkcode MovingAverageMinMaxObserver} does;
 * torch.ao.quantization.MovingAveragePerChannelMinMaxObserver, bit for bit.
 *
 * @example
 * ```ts
 * import { MovingAveragePerChannelMinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const observer = new MovingAveragePerChannelMinMaxObserver({
 *   averagingConstant: 0.5,
 *   chAxis: 1,
 * });
 * observer.observe(new Float32Array([-1, 0, 1, 2]), [2, 2]);
 * observer.observe(new Float32Array([-3, 0, 1, 4]), [2, 2]);
 * assertEquals([[...observer.minVal], [...observer.maxVal]], [[-2, 0], [1, 3]]);
 * ```
 */
export class MovingAveragePerChannelMinMaxObserver extends PerChannelObserver {
  /** `"MovingAveragePerChannelMinMaxObserver"`. */
  override readonly kind: string = "MovingAveragePerChannelMinMaxObserver";
  /** Weight of each new tensor. */
  readonly averagingConstant: number;

  /**
   * Makes an observer that has seen nothing; the first tensor sets the number of channels.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind, or the dtype is none of
   * quint8, qint8, qint32.
   * @throws {RangeError} If an option's value is out of range.
   */
  constructor(options: MovingAveragePerChannelOptions = {}) {
    checkOptions("options", options, [
      ...UNIFORM_KEYS,
      "chAxis",
      "averagingConstant",
    ]);
    super(resolveOptions(options, PER_CHANNEL_SCHEMES), options.chAxis);
    this.averagingConstant = checkPositive(
      "averagingConstant",
      options.averagingConstant ?? 0.01,
      1,
    );
  }

  /** Both ends moved towards the new ones by `averagingConstant` of the distance. */
  protected override join(
    min: number,
    max: number,
    currentMin: number,
    currentMax: number,
  ): [number, number] {
    return [
      averageStep("minVal", min, currentMin, this.averagingConstant),
      averageStep("maxVal", max, currentMax, this.averagingConstant),
    ];
  }
}
