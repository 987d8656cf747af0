/**
 * Work that is done in small pieces, so that whoever runs it can pause, report and stop in between.
 *
 * @module
 */

/** Work whose result is a T; it yields how many units of it are done since it last did. */
export type Work<T> = Generator<number, T, undefined>;

/**
 * Does all of it at once.
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
