/**
 * Moving averages of each tensor's minimum and maximum.
 *
 * @module
 */
import { failRange } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { minMax } from "./min_max.ts";
import {
  type CalculateOptions,
  checkPositive,
  checkRange,
  type ObserverOptions,
  PER_TENSOR_SCHEMES,
  resolveOptions,
  UNIFORM_KEYS,
  UniformObserver,
} from "./observer.ts";

const f = Math.fround;

/**
 * Options of {@linkcode MovingAverageMinMaxObserver}.
 *
 * @example
 * ```ts
 * import {
 *   MovingAverageMinMaxObserver,
 *   type MovingAverageOptions,
 * } from "@splitgate/splitgate/qconfig";
 * const options: MovingAverageOptions = { averagingConstant: 0.1 }; // torch's default is 0.01
 * new MovingAverageMinMaxObserver(options).observe(Float32Array.of(-1, 0.5));
 * ```
 */
export interface MovingAverageOptions extends ObserverOptions {
  /** Weight of each new tensor, above 0 up to 1; 0.01 by default. */
  averagingConstant?: number;
}

/** One float32 step of a moving average; throws if it overflows. */
export function averageStep(
  name: string,
  average: number,
  current: number,
  constant: number,
): number {
  const next = f(average + f(f(constant) * f(current - average)));
  if (!Number.isFinite(next)) {
    failRange(
      "data",
      `values whose distance from ${name} ${average} float32 can hold`,
      current,
    );
  }
  return next;
}

/**
 * Averages the minima and maxima of successive tensors: the first tensor's as they are, then
 * `min + averagingConstant * (current - min)` in float32.
 * torch.ao.quantization.MovingAverageMinMaxObserver, bit for bit.
 *
 * @example
 * ```ts
 * import { MovingAverageMinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const observer = new MovingAverageMinMaxObserver({ averagingConstant: 0.5 });
 * observer.observe(new Float32Array([-1, 1]));
 * observer.observe(new Float32Array([-2, 4]));
 * assertEquals([observer.minVal, observer.maxVal], [-1.5, 2.5]);
 * ```
 */
export class MovingAverageMinMaxObserver extends UniformObserver {
  /** `"MovingAverageMinMaxObserver"`. */
  override readonly kind: string = "MovingAverageMinMaxObserver";
  /** Weight of each new tensor. */
  readonly averagingConstant: number;
  #min = Infinity;
  #max = -Infinity;

  /**
   * Makes an observer that has seen nothing.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind, or the dtype is none of
   * quint8, qint8, qint32.
   * @throws {RangeError} If an option's value is out of range.
   */
  constructor(options: MovingAverageOptions = {}) {
    checkOptions("options", options, [
      ...UNIFORM_KEYS,
      "averagingConstant",
    ]);
    super(resolveOptions(options, PER_TENSOR_SCHEMES));
    this.averagingConstant = checkPositive(
      "averagingConstant",
      options.averagingConstant ?? 0.01,
      1,
    );
  }

  /**
   * Moves both averages towards a tensor's smallest and largest value; the first tensor sets them.
   */
  protected override update(data: Float32Array): void {
    let [min, max] = minMax(data);
    if (this.seen) {
      min = averageStep("minVal", this.#min, min, this.averagingConstant);
      max = averageStep("maxVal", this.#max, max, this.averagingConstant);
    }
    this.#min = min;
    this.#max = max;
  }

  /**
   * The parameters of the average range; without data and with `allowUnseen` scale 1, zero point 0.
   */
  override calculateQParams(options?: CalculateOptions): PerTensorQParams {
    this.checkSeen(options);
    return this.seen ? this.qparamsOf(this.#min, this.#max) : this.perTensor(1, 0);
  }

  /** Whether a tensor has been observed or a range set. */
  override get seen(): boolean {
    return this.#min !== Infinity;
  }

  /** Average minimum so far; Infinity before any data. */
  override get minVal(): number {
    return this.#min;
  }

  /** Average maximum so far; -Infinity before any data. */
  override get maxVal(): number {
    return this.#max;
  }

  /**
   * Replaces the averages by recorded ones, both rounded to float32; later tensors average on from
   * them.
   */
  override setRange(min: number, max: number): void {
    [this.#min, this.#max] = checkRange(min, max);
  }

  /** Forgets the averages: the next tensor sets them anew. */
  override reset(): void {
    super.reset();
    this.#min = Infinity;
    this.#max = -Infinity;
  }
}
