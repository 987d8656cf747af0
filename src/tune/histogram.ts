/**
 * Histograms of values whose range is not known in advance.
 *
 * @module
 */

/**
 * A histogram: plain data.
 *
 * @example
 * ```ts
 * import type { Histogram } from "@splitgate/splitgate/report";
 * import { assertEquals } from "@std/assert";
 * const { start, width, counts }: Histogram = { start: -1, width: 0.5, counts: [3, 0, 1] };
 * const bars = counts.map((count, i) => `${start + i * width}: ${"#".repeat(count)}`);
 * assertEquals(bars, ["-1: ###", "-0.5: ", "0: #"]);
 * ```
 */
export interface Histogram {
  /** Where the first bin begins. */
  readonly start: number;
  /** Width of each bin, a power of two. */
  readonly width: number;
  /** Values in each bin; a value on the border of two counts for the upper one. */
  readonly counts: readonly number[];
}

/** Largest number of bins. */
export const MAX_BINS = 128;

/** Widths are at least the largest magnitude over this. */
const FINEST = 2 ** 20;

/** The smallest and the largest positive float32 value. */
const MIN_WIDTH = 2 ** -149;
const MAX_VALUE = (2 - 2 ** -23) * 2 ** 127;

/**
 * Counts values in at most {@linkcode MAX_BINS} bins whose width is the smallest power of two that
 * suffices. Each bin is a pair of finer ones, so that the result does not depend on the order or
 * portions in which values come.
 *
 * @example
 * ```ts
 * import { HistogramCounter } from "./histogram.ts";
 * import { assertEquals } from "@std/assert";
 * const counter = new HistogramCounter();
 * counter.add(Float32Array.of(0, 1));
 * counter.add(Float32Array.of(127, 127.5, 100));
 * const { start, width, counts } = counter.histogram;
 * assertEquals([start, width, counts.length], [0, 1, 128]);
 * assertEquals([counts[1], counts[100], counts[127]], [1, 1, 2]);
 * ```
 */
export class HistogramCounter {
  #width = MIN_WIDTH;
  /** Index of the first bin: it begins at this many widths. */
  #first = 0;
  #counts: number[] = [];
  #min = Infinity;
  #max = -Infinity;

  /** Counts values; infinite ones count as the largest finite value, NaN is not counted. */
  add(values: Float32Array): void {
    for (const value of values) {
      if (value < this.#min) this.#min = Math.max(value, -MAX_VALUE);
      if (value > this.#max) this.#max = Math.min(value, MAX_VALUE);
    }
    if (this.#min > this.#max) return;
    this.#fit();
    for (const value of values) {
      if (Number.isNaN(value)) continue;
      const kept = value < this.#min ? this.#min : value > this.#max ? this.#max : value;
      this.#counts[Math.floor(kept / this.#width) - this.#first]!++;
    }
  }

  /** The counts so far; no bins if there are none. */
  get histogram(): Histogram {
    const counts = [...this.#counts];
    return { start: this.#first * this.#width, width: this.#width, counts };
  }

  /** Makes bins wide and many enough for all values. */
  #fit(): void {
    const [min, max] = [this.#min, this.#max];
    const finest = Math.max(-min, max) / FINEST;
    let width = this.#width;
    while (width < finest || Math.floor(max / width) - Math.floor(min / width) >= MAX_BINS) {
      width *= 2;
    }
    const first = Math.floor(min / width);
    const counts = new Array<number>(Math.floor(max / width) - first + 1).fill(0);
    const ratio = width / this.#width;
    this.#counts.forEach((count, i) => {
      counts[Math.floor((this.#first + i) / ratio) - first]! += count;
    });
    this.#width = width;
    this.#first = first;
    this.#counts = counts;
  }
}
