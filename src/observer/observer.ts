/**
 * What all observers share: the base classes, factories, and the step from a range to scale and
 * zero point.
 *
 * @module
 */
import { clamp, roundHalfEven } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { type DType, dtypeRange } from "../core/dtype.ts";
import { checkBoolean, checkFinite, checkInteger, failRange, failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import { perTensorAffine, type PerTensorQParams, type QParams } from "../core/qparams.ts";
import { shapeSize } from "../core/tensor.ts";
import { ValueStatistics } from "./statistics.ts";

const f = Math.fround;

/**
 * How scales and zero points are chosen; torch's qscheme of the same name.
 *
 * @example
 * ```ts
 * import { MinMaxObserver, type QScheme } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const qscheme: QScheme = "perTensorSymmetric"; // torch.per_tensor_symmetric
 * const observer = new MinMaxObserver({ dtype: "qint8", qscheme });
 * observer.observe(Float32Array.of(-1, 0.5));
 * assertEquals(observer.calculateQParams().zeroPoint, 0);
 * ```
 */
export type QScheme =
  | "perTensorAffine"
  | "perTensorSymmetric"
  | "perChannelAffine"
  | "perChannelSymmetric"
  | "perChannelAffineFloatQParams";

/**
 * Options that every observer of a range takes.
 *
 * @example
 * ```ts
 * import { MinMaxObserver, type ObserverOptions } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const sevenBits: ObserverOptions = { dtype: "quint8", reduceRange: true }; // as torch on x86
 * const observer = new MinMaxObserver(sevenBits);
 * observer.observe(Float32Array.of(0, 127));
 * assertEquals(observer.calculateQParams().scale, 1);
 * ```
 */
export interface ObserverOptions {
  /** Storage dtype; quint8 by default. */
  dtype?: DType;
  /** perTensorAffine or perChannelAffine by default, as the class is. */
  qscheme?: QScheme;
  /**
   * Halves the range that the observed values are spread over: 0..127 for quint8, -64..63 for
   * qint8, a custom range's ends floor-divided by 2. As in torch it has no effect on qint32 without
   * a custom range, and integers beyond the half stay usable: the parameters' quantMin and quantMax
   * are those of the whole range.
   */
  reduceRange?: boolean;
  /** Smallest integer. Give both ends or neither; the range must contain 0. */
  quantMin?: number;
  /** Largest integer. */
  quantMax?: number;
  /** Smallest scale; 2^-23 by default. */
  eps?: number;
}

/**
 * Options of {@linkcode Observer.calculateQParams}.
 *
 * @example
 * ```ts
 * import { type CalculateOptions, MinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals, assertThrows } from "@std/assert";
 * const observer = new MinMaxObserver({}); // has seen no data
 * assertThrows(() => observer.calculateQParams());
 * const options: CalculateOptions = { allowUnseen: true }; // as torch, which warns
 * assertEquals(observer.calculateQParams(options).scale, 1);
 * ```
 */
export interface CalculateOptions {
  /** Give scale 1 and zero point 0 for an observer without data, as torch does with a warning. */
  allowUnseen?: boolean;
}

/**
 * Makes new observers with fixed arguments; see {@linkcode Observer.withArgs}.
 *
 * @example
 * ```ts
 * import { getPreset, type QConfig } from "@splitgate/splitgate";
 * import { HistogramObserver, type ObserverFactory } from "@splitgate/splitgate/qconfig";
 * // Makes an observer of its own for each value.
 * const activation: ObserverFactory = HistogramObserver.withArgs({ dtype: "quint8", bins: 1024 });
 * const qconfig: QConfig = { ...getPreset("fbgemm"), activation };
 * ```
 */
export type ObserverFactory<T extends Observer = Observer> = {
  (): T;
  /** The class's name, equal to {@linkcode Observer.kind}. */
  readonly observerName: string;
  /** The arguments that each new observer gets. */
  readonly args: object;
};

/**
 * Collects statistics of the tensors it is shown and gives quantization parameters for them.
 *
 * @example An observer of one's own
 * ```ts
 * import type { PerTensorQParams } from "@splitgate/splitgate";
 * import { Observer } from "@splitgate/splitgate/qconfig";
 * import { calculateQParams } from "./observer.ts";
 * import { Linear, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, nodeQParams } from "@splitgate/splitgate/reference";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { assertEquals } from "@std/assert";
 *
 * class MeanObserver extends Observer { // the range within `factor` times the mean magnitude
 *   readonly kind = "MeanObserver";
 *   readonly dtype = "quint8";
 *   #sum = 0;
 *   #count = 0;
 *   constructor(readonly options: { factor: number }) {
 *     super();
 *   }
 *   protected update(data: Float32Array): void {
 *     for (const value of data) this.#sum += Math.abs(value);
 *     this.#count += data.length;
 *   }
 *   calculateQParams(): PerTensorQParams {
 *     const end = this.options.factor * this.#sum / this.#count;
 *     return calculateQParams(-end, end);
 *   }
 *   get seen(): boolean {
 *     return this.#count > 0;
 *   }
 *   override reset(): void {
 *     super.reset();
 *     this.#sum = this.#count = 0;
 *   }
 * }
 *
 * const input = MeanObserver.withArgs({ factor: 3 });
 * const observed = prepare(new Linear({ inFeatures: 2, outFeatures: 3 }), {
 *   ...fbgemmQConfig,
 *   input,
 * });
 * observed.forward(tensor([-85, 0, 85, 0], [2, 2]));
 * assertEquals(nodeQParams(convertToReference(observed).nodes[1]!)!.scale, 1);
 * ```
 */
export abstract class Observer {
  /** The class's name, as in torch. */
  abstract readonly kind: string;
  /** Storage dtype of the parameters; undefined if the value stays float. */
  abstract readonly dtype: DType | undefined;
  #statistics = new ValueStatistics();

  /**
   * Takes one tensor into account. An empty one changes nothing.
   *
   * @param data Float32 values, row-major.
   * @param shape Their shape; needed by per-channel observers only.
   * @throws {TypeError} If `data` is no Float32Array, or `shape` no array.
   * @throws {RangeError} If a value is NaN or infinite, or `shape` does not fit `data`. Nothing has
   * changed then.
   */
  observe(data: Float32Array, shape?: readonly number[]): void {
    if (!isFloat32Array(data)) {
      failType("data", "a Float32Array", data);
    }
    if (shape !== undefined) {
      if (!Array.isArray(shape)) {
        failType("shape", "an array of integers", shape);
      }
      const size = shapeSize(shape);
      if (size !== data.length) {
        failRange(
          "data",
          `${size} elements for shape [${shape.join(", ")}]`,
          data.length,
        );
      }
    }
    const statistics = new ValueStatistics();
    if (!statistics.add(data)) checkFinite("data", data);
    if (data.length === 0) return;
    this.update(data, shape);
    this.#statistics.merge(statistics);
  }

  /** Statistics of all values seen, also of those that do not influence the parameters. */
  get statistics(): ValueStatistics {
    return this.#statistics;
  }

  /** {@linkcode Observer.observe} for checked, non-empty data. */
  protected abstract update(
    data: Float32Array,
    shape: readonly number[] | undefined,
  ): void;

  /**
   * The quantization parameters for what was seen.
   *
   * @throws {RangeError} If no data was seen (unless `allowUnseen`), or no positive finite scale
   * fits the range.
   */
  abstract calculateQParams(options?: CalculateOptions): QParams;

  /** Whether there is something to calculate parameters from. */
  abstract get seen(): boolean;

  /** Forgets what was seen; overriding methods call it. */
  reset(): void {
    this.#statistics = new ValueStatistics();
  }

  /**
   * Smallest value so far, one a channel if per channel; undefined for observers that keep no
   * range.
   */
  get minVal(): number | Float32Array | undefined {
    return undefined;
  }

  /** Largest value so far, like {@linkcode Observer.minVal}. */
  get maxVal(): number | Float32Array | undefined {
    return undefined;
  }

  /**
   * Replaces what was seen by a recorded range.
   *
   * @throws {TypeError} If the observer's state is not a range, or an end is of the wrong kind.
   * @throws {RangeError} If an end is not finite, or min is above max.
   */
  setRange(
    _min: number | ArrayLike<number>,
    _max: number | ArrayLike<number>,
  ): void {
    throw new TypeError(`${this.kind}: has no range to set`);
  }

  /**
   * A factory of observers of this class with the given arguments, torch's `with_args`. The
   * arguments are checked at once.
   *
   * @param options What the constructor takes; copied.
   * @throws {TypeError | RangeError} What the constructor throws, the class's name before the
   * message.
   *
   * @example
   * ```ts
   * import { MinMaxObserver } from "@splitgate/splitgate/qconfig";
   * import { assertEquals } from "@std/assert";
   * const factory = MinMaxObserver.withArgs({ dtype: "qint8", qscheme: "perTensorSymmetric" });
   * assertEquals(factory.observerName, "MinMaxObserver");
   * assertEquals(factory().dtype, "qint8");
   * ```
   */
  static withArgs<C extends new (options: never) => Observer>(
    this: C,
    options: NonNullable<ConstructorParameters<C>[0]>,
  ): ObserverFactory<InstanceType<C>> {
    if (typeof options !== "object" || options === null) {
      failType(`${this.name}.withArgs: options`, "an object of options", options);
    }
    const args = Object.freeze({ ...options as object });
    const create = () => new this(args as never) as InstanceType<C>;
    try {
      return Object.assign(create, { observerName: create().kind, args });
    } catch (cause) {
      // A QConfig has several factories: the message says which of them got the wrong argument.
      const { message } = cause as Error;
      if (cause instanceof TypeError) {
        throw new TypeError(`${this.name}.withArgs: ${message}`, { cause });
      }
      if (cause instanceof RangeError) {
        throw new RangeError(`${this.name}.withArgs: ${message}`, { cause });
      }
      throw cause;
    }
  }
}

/** The options of {@linkcode ObserverOptions}, by name. */
export const UNIFORM_KEYS: readonly string[] = [
  "dtype",
  "qscheme",
  "reduceRange",
  "quantMin",
  "quantMax",
  "eps",
];

/** Requires a finite number in (0, max] and returns it. */
export function checkPositive(
  name: string,
  value: unknown,
  max: number,
): number {
  if (typeof value !== "number") failType(name, "a positive number", value);
  if (!(value > 0 && value <= max)) {
    failRange(name, `a number above 0, up to ${max}`, value);
  }
  return value;
}

/**
 * The checked form of {@linkcode ObserverOptions}: what maps a range to parameters.
 *
 * @example
 * ```ts
 * import { MinMaxObserver, type RangeConfig } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * class Told extends MinMaxObserver {
 *   get range(): RangeConfig {
 *     return this.config; // what an observer of one's own computes parameters for
 *   }
 * }
 * const { quantMax, wholeMax } = new Told({ dtype: "quint8", reduceRange: true }).range;
 * assertEquals([quantMax, wholeMax], [127, 255]);
 * ```
 */
export interface RangeConfig {
  /** Storage dtype. */
  readonly dtype: DType;
  /** One of the schemes that the class takes. */
  readonly qscheme: QScheme;
  /** Whether quantMin..quantMax is half of wholeMin..wholeMax. */
  readonly reduceRange: boolean;
  /**
   * The smallest of the integers that the observed range is spread over: halved if `reduceRange`.
   */
  readonly quantMin: number;
  /** The largest of them. */
  readonly quantMax: number;
  /** The smallest of the integers that may be used: not halved. */
  readonly wholeMin: number;
  /** The largest of them. */
  readonly wholeMax: number;
  /** Whether quantMin and quantMax were given. */
  readonly customRange: boolean;
  /** Smallest scale, a float32 value. */
  readonly eps: number;
}

/** Checks options and works out the range of integers as torch's calculate_qmin_qmax does. */
export function resolveOptions(
  options: ObserverOptions,
  schemes: readonly QScheme[],
): RangeConfig {
  const dtype = options.dtype ?? "quint8";
  const [lowest, highest] = dtypeRange(dtype);
  const qscheme = options.qscheme ?? schemes[0]!;
  if (!schemes.includes(qscheme)) {
    (typeof qscheme === "string" ? failRange : failType)(
      "qscheme",
      schemes.join(" or "),
      qscheme,
    );
  }
  const reduceRange = checkBoolean("reduceRange", options.reduceRange ?? false);
  const eps = f(checkPositive("eps", options.eps ?? 2 ** -23, 2 ** 127));
  if (eps === 0) {
    failRange("eps", "a number that float32 can tell from 0", options.eps);
  }
  const customRange = options.quantMin !== undefined ||
    options.quantMax !== undefined;
  let quantMin = lowest;
  let quantMax = highest;
  if (customRange) {
    if (options.quantMin === undefined || options.quantMax === undefined) {
      failType(
        options.quantMin === undefined ? "quantMin" : "quantMax",
        "both ends of a custom range",
        undefined,
      );
    }
    quantMin = checkInteger("quantMin", options.quantMin, lowest, highest);
    quantMax = checkInteger("quantMax", options.quantMax, lowest, highest);
    if (quantMin >= quantMax) {
      failRange("quantMax", `an integer above quantMin ${quantMin}`, quantMax);
    }
    if (quantMin > 0) {
      failRange("quantMin", "a range that contains 0", quantMin);
    }
    if (quantMax < 0) {
      failRange("quantMax", "a range that contains 0", quantMax);
    }
  }
  const wholeMin = quantMin;
  const wholeMax = quantMax;
  if (reduceRange) {
    const symmetric = qscheme === "perTensorSymmetric" ||
      qscheme === "perChannelSymmetric";
    if (symmetric && dtype === "quint8") {
      // Its zero point, 128, would lie outside 0..127.
      failRange("reduceRange", "false for symmetric quint8", true);
    }
    if (customRange || dtype !== "qint32") {
      quantMin = Math.floor(quantMin / 2);
      quantMax = Math.floor(quantMax / 2);
      if (quantMin === quantMax) {
        failRange(
          "reduceRange",
          "a range that is wider than one integer when halved",
          true,
        );
      }
    }
  }
  return {
    dtype,
    qscheme: qscheme!,
    reduceRange,
    quantMin,
    quantMax,
    wholeMin,
    wholeMax,
    customRange,
    eps,
  };
}

/**
 * Scale and zero point for one range, by torch's `_calculate_qparams`, all in float32. The range is
 * extended to contain 0.
 */
export function scaleAndZeroPoint(
  min: number,
  max: number,
  config: RangeConfig,
): [scale: number, zeroPoint: number] {
  const { dtype, qscheme, quantMin, quantMax, customRange, eps } = config;
  const low = Math.min(min, 0);
  const high = Math.max(max, 0);
  if (qscheme === "perTensorSymmetric" || qscheme === "perChannelSymmetric") {
    const largest = Math.max(-low, high);
    const scale = Math.max(f(largest / f((quantMax - quantMin) / 2)), eps);
    if (dtype !== "quint8") return [scale, 0];
    return [
      scale,
      customRange ? Math.floor((quantMin + quantMax) / 2) : 128,
    ];
  }
  const scale = Math.max(f(f(high - low) / f(quantMax - quantMin)), eps);
  // torch converts to int32, where a value out of range becomes the smallest integer, and subtracts
  // in int32: over qint32's whole range a mostly negative tensor gets the zero point 0.
  const steps = Math.max(roundHalfEven(f(low / scale)), -2147483648);
  return [scale, clamp((quantMin - steps) | 0, quantMin, quantMax)];
}

/**
 * An observer whose parameters follow from a range of values; torch's
 * UniformQuantizationObserverBase.
 *
 * @example
 * ```ts
 * import { FixedQParamsObserver, HistogramObserver } from "@splitgate/splitgate/qconfig";
 * import { UniformObserver } from "./observer.ts";
 * import { assert } from "@std/assert";
 * const observer = new HistogramObserver({ reduceRange: true });
 * assert(observer instanceof UniformObserver && observer.quantMax === 127);
 * assert(!(new FixedQParamsObserver({ scale: 1, zeroPoint: 0 }) instanceof UniformObserver));
 * ```
 */
export abstract class UniformObserver extends Observer {
  /** Storage dtype of the parameters. */
  override readonly dtype: DType;
  /** How scale and zero point follow from a range. */
  readonly qscheme: QScheme;
  /** Whether the range of integers is halved. */
  readonly reduceRange: boolean;
  /** Smallest integer, halved if `reduceRange`. */
  readonly quantMin: number;
  /** Largest integer, halved if `reduceRange`. */
  readonly quantMax: number;
  /** Smallest scale. */
  readonly eps: number;
  /** The checked options. */
  protected readonly config: RangeConfig;

  /**
   * For subclasses.
   *
   * @param config Checked options.
   */
  protected constructor(config: RangeConfig) {
    super();
    this.config = config;
    this.dtype = config.dtype;
    this.qscheme = config.qscheme;
    this.reduceRange = config.reduceRange;
    this.quantMin = config.quantMin;
    this.quantMax = config.quantMax;
    this.eps = config.eps;
  }

  /** Throws unless there was data or the caller allows its absence. */
  protected checkSeen(options: CalculateOptions | undefined): void {
    if (!this.seen && !options?.allowUnseen) {
      throw new RangeError(
        `${this.kind}: never observed data; run calibration first`,
      );
    }
  }

  /** Per-tensor parameters for a range. */
  protected qparamsOf(min: number, max: number): PerTensorQParams {
    const [scale, zeroPoint] = scaleAndZeroPoint(min, max, this.config);
    return this.perTensor(scale, zeroPoint);
  }

  /** Per-tensor parameters with this observer's dtype and integers. */
  protected perTensor(scale: number, zeroPoint: number): PerTensorQParams {
    const { dtype, wholeMin: quantMin, wholeMax: quantMax } = this.config;
    return perTensorAffine({ dtype, scale, zeroPoint, quantMin, quantMax });
  }
}

/**
 * Per-tensor quantization parameters for a known range of values, as torch's observers calculate
 * them: all in float32, the range extended to contain 0.
 *
 * @param min Smallest value.
 * @param max Largest value.
 * @param options As for an observer; the scheme is perTensorAffine (default) or perTensorSymmetric.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If an end is not finite, min is above max, or an option is out of range.
 *
 * @example
 * ```ts
 * import { calculateQParams } from "./observer.ts";
 * import { assertEquals } from "@std/assert";
 * const { scale, zeroPoint } = calculateQParams(-1, 3, { dtype: "quint8" });
 * assertEquals([scale, zeroPoint], [Math.fround(4 / 255), 64]);
 * ```
 */
export function calculateQParams(
  min: number,
  max: number,
  options: ObserverOptions = {},
): PerTensorQParams {
  checkOptions("options", options, UNIFORM_KEYS);
  const config = resolveOptions(options, PER_TENSOR_SCHEMES);
  const [low, high] = checkRange(min, max);
  const [scale, zeroPoint] = scaleAndZeroPoint(low, high, config);
  const { dtype, wholeMin: quantMin, wholeMax: quantMax } = config;
  return perTensorAffine({ dtype, scale, zeroPoint, quantMin, quantMax });
}

/** Requires finite float32 ends, min not above max; `suffix` names a channel. */
export function checkRange(
  min: unknown,
  max: unknown,
  suffix = "",
): [min: number, max: number] {
  const ends: number[] = [];
  for (const [name, value] of [["min", min], ["max", max]] as const) {
    if (typeof value !== "number") {
      failType(name + suffix, "a finite number", value);
    }
    if (!Number.isFinite(f(value))) {
      failRange(name + suffix, "a finite float32 value", value);
    }
    ends.push(f(value));
  }
  if (ends[0]! > ends[1]!) {
    failRange(`max${suffix}`, `a number not below min ${ends[0]}`, ends[1]);
  }
  return [ends[0]!, ends[1]!];
}

/** Schemes of observers of whole tensors, the default first. */
export const PER_TENSOR_SCHEMES: readonly QScheme[] = [
  "perTensorAffine",
  "perTensorSymmetric",
];

/** Schemes of per-channel observers, the default first. */
export const PER_CHANNEL_SCHEMES: readonly QScheme[] = [
  "perChannelAffine",
  "perChannelSymmetric",
  "perChannelAffineFloatQParams",
];
