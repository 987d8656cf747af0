/**
 * Work in small pieces, so that the caller can pause, report progress and stop in between.
 *
 * @module
 */

/** Work whose result is a T; it yields the number of units done since its last yield. */
export type Work<T> = Generator<number, T, undefined>;

/**
 * Runs all of it at once.
 *
 * @example
 * ```ts
 * import { finish } from "./work.ts";
 * import { assertEquals } from "@std/assert";
 * function* sum(values: number[]) {
 *   let total = 0;
 *   for (const value of values) {
 *     total += value;
 *     yield 1;
 *   }
 *   return total;
 * }
 * assertEquals(finish(sum([1, 2, 3])), 6);
 * ```
 */
export function finish<T>(work: Work<T>): T {
  let next = work.next();
  while (!next.done) next = work.next();
  return next.value;
}
