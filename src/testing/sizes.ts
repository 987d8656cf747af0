/**
 * The sizes at which kernels switch algorithms, from the constants that they export.
 *
 * @module
 */
import { SUMS_TOGETHER } from "../../kernels/packed/lstm_cell.ts";
import { ARRAYS_TOGETHER, COLUMNS_TOGETHER } from "../../kernels/packed/pack.ts";
import { BLOCK_UNITS } from "../../kernels/simd/layout.ts";
import { GROUP_VALUES } from "../simd/memory.ts";

/** The multiples of a size, and the numbers one below and one above; none below 1. */
export function around(size: number, multiples: readonly number[] = [1, 2]): number[] {
  const sizes = multiples.flatMap((m) => [m * size - 1, m * size, m * size + 1]);
  return [...new Set(sizes.filter((n) => n >= 1))].sort((a, b) => a - b);
}

/** The default number of steps that a session runs at a time. */
const STEPS_TOGETHER = 16;

/**
 * Sequence lengths: short ones, and those around the number of steps that sessions run at a time.
 */
export const BASIC_STEPS: readonly number[] = [
  1,
  2,
  3,
  4,
  5,
  7,
  ...around(STEPS_TOGETHER),
];

/**
 * Widths and numbers of units: 1, and those around the blocks and tiles of all kernels.
 *
 * @example
 * ```ts
 * import { KERNEL_SIZES } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * assert(KERNEL_SIZES.includes(1) && KERNEL_SIZES.includes(17));
 * ```
 */
export const KERNEL_SIZES: readonly number[] = [
  ...new Set([
    1,
    ...around(SUMS_TOGETHER),
    ...around(COLUMNS_TOGETHER),
    ...around(ARRAYS_TOGETHER),
    ...around(BLOCK_UNITS),
    ...around(GROUP_VALUES.BYTES),
    ...around(GROUP_VALUES.WIDE),
  ]),
].sort((a, b) => a - b);
