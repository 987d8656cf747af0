/**
 * The running minimum and maximum of whole tensors.
 *
 * @module
 */
import { checkOptions } from "../core/check.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import {
  type CalculateOptions,
  checkRange,
  type ObserverOptions,
  PER_TENSOR_SCHEMES,
  resolveOptions,
  UNIFORM_KEYS,
  UniformObserver,
} from "./observer.ts";

/** Smallest and largest element of a non-empty array. */
export function minMax(data: Float32Array): [min: number, max: number] {
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < data.length; i++) {
    if (data[i]! < min) min = data[i]!;
    if (data[i]! > max) max = data[i]!;
  }
  return [min, max];
}

/**
 * Keeps the smallest and largest value ever seen; torch.ao.quantization.MinMaxObserver, bit for
 * bit.
 *
 * @example
 * ```ts
 * import { MinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const observer = new MinMaxObserver({ dtype: "quint8" });
 * observer.observe(new Float32Array([-1, 0.5]));
 * observer.observe(new Float32Array([3]));
 * const { scale, zeroPoint } = observer.calculateQParams();
 * assertEquals([scale, zeroPoint], [Math.fround(4 / 255), 64]);
 * ```
 */
export class MinMaxObserver extends UniformObserver {
  /** `"MinMaxObserver"`. */
  override readonly kind: string = "MinMaxObserver";
  #min = Infinity;
  #max = -Infinity;

  /**
   * Makes an observer that has seen nothing.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind, or the dtype is none of
   * quint8, qint8, qint32.
   * @throws {RangeError} If an option's value is out of range.
   */
  constructor(options: ObserverOptions = {}) {
    checkOptions("options", options, UNIFORM_KEYS);
    super(resolveOptions(options, PER_TENSOR_SCHEMES));
  }

  /** Widens the range to a tensor's smallest and largest value. */
  protected override update(data: Float32Array): void {
    const [min, max] = minMax(data);
    this.#min = Math.min(min, this.#min);
    this.#max = Math.max(max, this.#max);
  }

  /**
   * The parameters of the whole range seen; without data and with `allowUnseen` scale 1, zero point
   * 0.
   */
  override calculateQParams(options?: CalculateOptions): PerTensorQParams {
    this.checkSeen(options);
    return this.seen ? this.qparamsOf(this.#min, this.#max) : this.perTensor(1, 0);
  }

  /** Whether a value has been observed or a range set. */
  override get seen(): boolean {
    return this.#min <= this.#max;
  }

  /** Smallest value so far; Infinity before any. */
  override get minVal(): number {
    return this.#min;
  }

  /** Largest value so far; -Infinity before any. */
  override get maxVal(): number {
    return this.#max;
  }

  /** Replaces the range by a recorded one; both ends are rounded to float32. */
  override setRange(min: number, max: number): void {
    [this.#min, this.#max] = checkRange(min, max);
  }

  /** Back to no range at all. */
  override reset(): void {
    super.reset();
    this.#min = Infinity;
    this.#max = -Infinity;
  }
}
