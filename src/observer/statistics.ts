/**
 * Statistics that tell a range that suits its values from one that a few outliers stretch.
 *
 * @module
 */

/**
 * Statistics of values.
 *
 * @example
 * ```ts
 * import { ValueStatistics } from "./statistics.ts";
 * import { assertEquals } from "@std/assert";
 * const seen = new ValueStatistics();
 * seen.add(Float32Array.of(1, 0, -1, 1));
 * seen.add(Float32Array.of(9));
 * assertEquals([seen.count, seen.min, seen.max, seen.typical], [5, -1, 9, 2.25]);
 * ```
 */
export class ValueStatistics {
  /** How many values there were. */
  count: number = 0;
  /** The smallest; Infinity before any. */
  min: number = Infinity;
  /** The largest; -Infinity before any. */
  max: number = -Infinity;
  /** How many were not 0. */
  #nonZero = 0;
  /** Sum of their magnitudes' square roots. */
  #roots = 0;

  /**
   * Adds values.
   *
   * @returns Whether all were finite; if not, nothing has changed.
   */
  add(data: Float32Array | Int32Array): boolean {
    let roots = 0;
    let nonZero = 0;
    let { min, max } = this;
    for (let i = 0; i < data.length; i++) {
      const value = data[i]!;
      // Branch-free: random signs would make a branch slow.
      const root = Math.sqrt(Math.abs(value));
      roots += root;
      if (value !== 0) nonZero++;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    // Finite if all are: NaN and infinity stay in a sum, and no sum of roots overflows.
    if (!Number.isFinite(roots)) return false;
    this.count += data.length;
    this.#nonZero += nonZero;
    this.#roots += roots;
    this.min = min;
    this.max = max;
    return true;
  }

  /** Adds the values of other statistics. */
  merge(other: ValueStatistics): void {
    this.count += other.count;
    this.#nonZero += other.#nonZero;
    this.#roots += other.#roots;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
  }

  /**
   * Typical magnitude of values other than 0: the squared mean of the magnitudes' square roots,
   * which a few large values hardly change. 0 where there are none.
   */
  get typical(): number {
    return this.#nonZero === 0 ? 0 : (this.#roots / this.#nonZero) ** 2;
  }
}
