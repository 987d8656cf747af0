/**
 * The range with the smallest quantization error, searched in a running histogram.
 *
 * @module
 */
import { clamp, fmaFloat32 } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { checkInteger, failRange, failType } from "../core/errors.ts";
import { checkOptions } from "../core/check.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { cascadeSum } from "./cascade_sum.ts";
import { minMax } from "./min_max.ts";
import {
  type CalculateOptions,
  checkRange,
  type ObserverOptions,
  PER_TENSOR_SCHEMES,
  resolveOptions,
  UNIFORM_KEYS,
  UniformObserver,
} from "./observer.ts";

const f = Math.fround;

/**
 * Options of {@linkcode HistogramObserver}.
 *
 * @example
 * ```ts
 * import { HistogramObserver, type HistogramOptions } from "@splitgate/splitgate/qconfig";
 * const options: HistogramOptions = { bins: 256, upsampleRate: 16 };
 * new HistogramObserver(options).observe(Float32Array.of(-1, 0.5));
 * ```
 */
export interface HistogramOptions extends ObserverOptions {
  /** Number of bins, 1..32768; 2048 by default. */
  bins?: number;
  /**
   * How many parts a bin is split into when the histogram moves to a wider range; 16 as in torch by
   * default.
   */
  upsampleRate?: number;
}

/**
 * The state of a {@linkcode HistogramObserver}.
 *
 * @example
 * ```ts
 * import { HistogramObserver, type HistogramState } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const counted: HistogramState = { histogram: Float32Array.of(3, 0, 0, 1), min: 0, max: 1 };
 * const observer = new HistogramObserver({ bins: 4 });
 * observer.setState(counted); // goes on from there, as after torch's load_state_dict
 * assertEquals([observer.minVal, observer.maxVal], [0, 1]);
 * ```
 */
export interface HistogramState {
  /** Counts (not whole numbers once the range has grown), one a bin. */
  readonly histogram: Float32Array;
  /** Smallest value seen, a float32. The bins divide min..max evenly. */
  readonly min: number;
  /** Largest value seen, a float32 not below `min`. */
  readonly max: number;
}

/**
 * Keeps a histogram of all values and searches it for the range whose quantization error (an
 * estimate of the L2 norm) is smallest; torch.ao.quantization.HistogramObserver, bit for bit,
 * including what torch 2.8.0 does when the first tensors held one value only: that value then gets
 * the weight of the tensor that widens the range.
 *
 * Symmetric quint8 with `reduceRange` is refused: torch gives it the zero point 128, outside of
 * 0..127.
 *
 * @example
 * ```ts
 * import { HistogramObserver } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const observer = new HistogramObserver({ bins: 4 });
 * observer.observe(new Float32Array([0, 1, 2, 3, 4]));
 * observer.observe(new Float32Array([1, 3]));
 * assertEquals([...observer.histogram], [1, 2, 1, 3]);
 * assertEquals([observer.minVal, observer.maxVal], [0, 4]);
 * ```
 */
export class HistogramObserver extends UniformObserver {
  /** `"HistogramObserver"`. */
  override readonly kind: string = "HistogramObserver";
  /** Number of bins. */
  readonly bins: number;
  /** How many parts a bin is split into when the range grows. */
  readonly upsampleRate: number;
  #histogram: Float32Array;
  /** Zeros between calls. */
  #counts: Float32Array | undefined;
  #min = Infinity;
  #max = -Infinity;

  /**
   * Makes an observer with an empty histogram.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind, or the dtype is none of
   * quint8, qint8, qint32.
   * @throws {RangeError} If an option's value is out of range.
   */
  constructor(options: HistogramOptions = {}) {
    checkOptions("options", options, [
      ...UNIFORM_KEYS,
      "bins",
      "upsampleRate",
    ]);
    super(resolveOptions(options, PER_TENSOR_SCHEMES));
    // Above 32768 bins torch sums on several threads, in an order that depends on their number.
    this.bins = checkInteger("bins", options.bins ?? 2048, 1, 32768);
    this.upsampleRate = checkInteger(
      "upsampleRate",
      options.upsampleRate ?? 16,
      1,
      1024,
    );
    this.#histogram = new Float32Array(this.bins);
  }

  /** Adds a tensor's counts, moving the old ones into the wider range where it grows. */
  protected override update(data: Float32Array): void {
    const [currentMin, currentMax] = minMax(data);
    const min = Math.min(this.#min, currentMin);
    const max = Math.max(this.#max, currentMax);
    if (f(max - min) === Infinity) {
      failRange("data", "values whose range float32 can hold", max - min);
    }
    if (min === this.#min && max === this.#max) {
      this.#addWithin(data);
      return;
    }
    const histogram = histc(data, this.bins, min, max);
    if (this.seen) this.#addOld(histogram, min, max);
    this.#histogram = histogram;
    this.#min = min;
    this.#max = max;
  }

  /**
   * Adds counts of values within the range so far, only to bins that have some, and each bin's
   * count at once, which rounds as adding whole histograms does.
   */
  #addWithin(data: Float32Array): void {
    const counts = this.#counts ??= new Float32Array(this.bins);
    const bins = binsOf(data, this.bins, this.#min, this.#max);
    for (let i = 0; i < bins.length; i++) counts[bins[i]!]!++;
    for (let i = 0; i < bins.length; i++) {
      const bin = bins[i]!;
      this.#histogram[bin]! += counts[bin]!;
      counts[bin] = 0;
    }
  }

  /** Adds the histogram so far to one over a range that contains its own. */
  #addOld(histogram: Float32Array, min: number, max: number): void {
    const old = this.#histogram;
    const oldMin = this.#min;
    const oldMax = this.#max;
    let moved = old;
    if (oldMin === oldMax && (min !== oldMin || max !== oldMax)) {
      // torch 2.8.0 takes the new tensor's total here, not the old histogram's.
      const weight = cascadeSum(histogram);
      moved = histc(new Float32Array([oldMin]), this.bins, min, max);
      for (let i = 0; i < this.bins; i++) moved[i]! *= weight;
    } else if (min !== oldMin || max !== oldMax) {
      const from = { min: oldMin, max: oldMax };
      moved = moveHistogram(old, from, { min, max }, this.upsampleRate);
    }
    for (let i = 0; i < this.bins; i++) histogram[i]! += moved[i]!;
  }

  /**
   * The parameters of {@linkcode HistogramObserver.searchRange}; without data and with
   * `allowUnseen` scale 1, zero point 0.
   */
  override calculateQParams(options?: CalculateOptions): PerTensorQParams {
    this.checkSeen(options);
    if (!this.seen) return this.perTensor(1, 0);
    const [min, max] = this.searchRange();
    return this.qparamsOf(min, max);
  }

  /**
   * The range that {@linkcode HistogramObserver.calculateQParams} quantizes, torch's
   * `_non_linear_param_search`: it moves one end inward, past 1e-5 of the values at a time, until
   * the error grows.
   *
   * @throws {RangeError} If no data was seen.
   */
  searchRange(): [min: number, max: number] {
    this.checkSeen(undefined);
    const { bins } = this;
    const histogram = this.#histogram;
    const total = cascadeSum(histogram);
    const cumulative = new Float32Array(bins);
    for (let i = 0, sum = 0; i < bins; i++) {
      cumulative[i] = sum += histogram[i]!;
    }
    const error = new QuantizationError(
      histogram,
      (this.#max - this.#min) / bins,
      this.dtype === "qint32" ? 2 ** 32 : 256,
    );
    let alpha = 0;
    let beta = 1;
    let start = 0;
    let end = bins - 1;
    let smallest = Infinity;
    while (alpha < beta) {
      const nextAlpha = alpha + 1e-5;
      const nextBeta = beta - 1e-5;
      const below = f(nextAlpha * total);
      const above = f(nextBeta * total);
      let left = start;
      let right = end;
      while (left < end && cumulative[left]! < below) left++;
      while (right > start && cumulative[right]! > above) right--;
      let nextStart = start;
      let nextEnd = end;
      if (left - start > end - right) {
        nextStart = left;
        alpha = nextAlpha;
      } else {
        nextEnd = right;
        beta = nextBeta;
      }
      if (nextStart === start && nextEnd === end) continue;
      const norm = error.of(nextStart, nextEnd);
      if (norm > smallest) break;
      smallest = norm;
      start = nextStart;
      end = nextEnd;
    }
    const width = f(f(this.#max - this.#min) / bins);
    return [
      f(this.#min + f(width * start)),
      f(this.#min + f(width * (end + 1))),
    ];
  }

  /** Whether a value has been counted. */
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

  /** A copy of the counts. */
  get histogram(): Float32Array {
    return this.#histogram.slice();
  }

  /**
   * Refused: `setState` takes a recorded histogram instead.
   *
   * @throws {TypeError} Always: a range alone says nothing of the values within; see `setState`.
   */
  override setRange(): never {
    throw new TypeError(
      "HistogramObserver: a range does not determine its state; use setState({ histogram, min, max })",
    );
  }

  /**
   * Replaces what was seen by a recorded state.
   *
   * @throws {TypeError} If a part is of the wrong kind.
   * @throws {RangeError} If the histogram's length is not `bins`, a count is negative or not
   * finite, all are 0, or the range is not one.
   */
  setState(state: HistogramState): void {
    if (typeof state !== "object" || state === null) {
      failType("state", "an object of histogram, min, max", state);
    }
    const { histogram } = state;
    if (!isFloat32Array(histogram)) {
      failType("histogram", "a Float32Array", histogram);
    }
    if (histogram.length !== this.bins) {
      failRange("histogram", `${this.bins} bins`, histogram.length);
    }
    let any = false;
    for (let i = 0; i < histogram.length; i++) {
      if (!(histogram[i]! >= 0 && histogram[i]! < Infinity)) {
        failRange(`histogram[${i}]`, "a finite count, 0 or more", histogram[i]);
      }
      any ||= histogram[i]! > 0;
    }
    if (!any) failRange("histogram", "a count above 0", 0);
    const [min, max] = checkRange(state.min, state.max);
    if (f(max - min) === Infinity) {
      failRange("max", "a range that float32 can hold", max);
    }
    this.#histogram = histogram.slice();
    this.#min = min;
    this.#max = max;
  }

  /** Empties the histogram and its range. */
  override reset(): void {
    super.reset();
    this.#histogram = new Float32Array(this.bins);
    this.#min = Infinity;
    this.#max = -Infinity;
  }
}

/** torch.histc for data within min..max, which includes the choice of bins where min equals max. */
function histc(
  data: Float32Array,
  bins: number,
  min: number,
  max: number,
): Float32Array {
  const counts = new Float32Array(bins);
  const own = binsOf(data, bins, min, max);
  for (let i = 0; i < own.length; i++) counts[own[i]!]!++;
  return counts;
}

/** The bin of each value. */
function binsOf(data: Float32Array, bins: number, min: number, max: number): Int32Array {
  const low = min === max ? f(min - 1) : min;
  const width = f((min === max ? f(max + 1) : max) - low);
  const out = new Int32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    // Where min - 1 equals max + 1 in float32 this is 0 / 0, which counts as the first bin, as in
    // torch.
    const bin = Math.trunc(f(f(f(data[i]! - low) * bins) / width)) || 0;
    out[i] = bin < bins - 1 ? bin : bins - 1;
  }
  return out;
}

/** Element i of torch.linspace(start, end, n), whose step is `step`. */
function linspaceAt(
  i: number,
  n: number,
  start: number,
  end: number,
  step: number,
): number {
  return i < n >> 1 ? fmaFloat32(step, i, start) : fmaFloat32(-step, n - 1 - i, end);
}

/** What a histogram spans: its bins have equal widths. */
interface Span {
  readonly min: number;
  readonly max: number;
}

/**
 * A histogram over one span as one over a wider span, torch's `_upscale_histogram`: each bin is
 * split into `rate` parts, and each part goes to the bin that its mid-point lies in.
 */
function moveHistogram(
  old: Float32Array,
  from: Span,
  { min, max }: Span,
  rate: number,
): Float32Array {
  const bins = old.length;
  const parts = bins * rate;
  const step = f(f(max - min) / bins);
  const edges = new Float32Array(bins + 1);
  for (let i = 0; i <= bins; i++) {
    edges[i] = linspaceAt(i, bins + 1, min, max, step);
  }
  // The step of a linspace over parts + 1 points, and the size of a part: the same quotient.
  const size = f(f(from.max - from.min) / parts);
  const half = f(0.5 * size);
  const moved = new Float32Array(bins);
  // Number of edges at or below the mid-point. Mid-points increase, so the search resumes where it
  // stopped.
  let passed = 0;
  for (let i = 0; i < parts; i++) {
    // Empty bins contribute nothing.
    if (old[Math.floor(i / rate)] === 0) {
      i += rate - 1 - i % rate;
      continue;
    }
    const middle = f(linspaceAt(i, parts + 1, from.min, from.max, size) + half);
    while (passed <= bins && edges[passed]! <= middle) passed++;
    const bin = clamp(passed - 1, 0, bins - 1);
    moved[bin]! += f(old[Math.floor(i / rate)]! / rate);
  }
  return moved;
}

/**
 * The estimated error of quantizing a histogram's values with the range of some of its bins,
 * torch's `_compute_quantization_error`. Values spread evenly within a bin; all arithmetic is
 * float32 where torch's is.
 */
class QuantizationError {
  readonly #density: Float32Array;
  readonly #norms: Float32Array;
  readonly #width: number;
  readonly #levels: number;

  /**
   * @param width Width of a bin, in double precision.
   * @param levels Number of integers of the dtype.
   */
  constructor(histogram: Float32Array, width: number, levels: number) {
    this.#width = width;
    this.#levels = levels;
    this.#norms = new Float32Array(histogram.length);
    this.#density = histogram.map((count) => count / f(width));
  }

  of(start: number, end: number): number {
    const exactStep = this.#width * (end - start + 1) / this.#levels;
    if (exactStep === 0) return 0;
    const density = this.#density;
    const norms = this.#norms;
    const width = f(this.#width);
    const step = f(exactStep);
    const half = f(exactStep / 2);
    const last = f(this.#levels - 1);
    const halfCube = cube(half);
    const whole = f(f(halfCube - -halfCube) / 3);
    for (let i = 0; i < norms.length; i++) {
      const begin = f((i - start) * width);
      const finish = f(begin + width);
      const first = clamp(floorDivide(begin, step), 0, last);
      const final = clamp(floorDivide(finish, step), 0, last);
      const toBegin = f(begin - f(f(first + 0.5) * step));
      const toEnd = f(finish - f(f(final * step) + half));
      const head = f(density[i]! * f(f(halfCube - cube(toBegin)) / 3));
      const between = f(f(f(final - first) - 1) * f(density[i]! * whole));
      const tail = f(density[i]! * f(f(cube(toEnd) - -halfCube) / 3));
      norms[i] = f(f(head + between) + tail);
    }
    return cascadeSum(norms);
  }
}

function cube(x: number): number {
  return f(f(x * x) * x);
}

/** torch.div(a, b, rounding_mode="floor") of float32 values, b positive. */
function floorDivide(a: number, b: number): number {
  const remainder = a % b;
  let quotient = f(f(a - remainder) / b);
  if (remainder < 0) quotient = f(quotient - 1);
  const floor = Math.floor(quotient);
  return f(quotient - floor) > 0.5 ? f(floor + 1) : floor;
}
