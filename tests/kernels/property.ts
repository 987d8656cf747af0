/**
 * Properties of kernels over random cases: ordinary tests try some cases, and `deno task fuzz`
 * tries many more.
 *
 * @module
 */
import { assert } from "@std/assert";
import fc from "fast-check";

/** Counts what cases meet, such as ties. */
export type Meet = (what: string, times?: number) => void;

/** Something that holds of a kernel. */
export interface KernelProperty {
  /** What it shows, as a test is called. */
  readonly name: string;
  /** Cases that the test tries. */
  readonly runs: number;
  /**
   * Tries random cases.
   *
   * @returns How often they met what the test wants them to meet.
   * @throws {Error} Where it does not hold, with the shrunk case.
   */
  check(parameters: { readonly numRuns: number; readonly seed?: number }): Map<string, number>;
  /** What the test's cases must meet more often than so. */
  readonly moreThan: Readonly<Record<string, number>>;
}

/** A property out of fast-check's. */
export function property<T>(
  name: string,
  runs: number,
  make: (met: Meet) => fc.IProperty<T>,
  moreThan: Readonly<Record<string, number>> = {},
): KernelProperty {
  return {
    name,
    runs,
    moreThan,
    check(parameters) {
      const counts = new Map<string, number>();
      fc.assert(
        make((what, times = 1) => counts.set(what, (counts.get(what) ?? 0) + times)),
        parameters,
      );
      return counts;
    },
  };
}

/** A test of each property. */
export function testProperties(properties: readonly KernelProperty[]): void {
  for (const { name, runs, check, moreThan } of properties) {
    Deno.test(name, () => {
      const counts = check({ numRuns: runs });
      for (const [what, times] of Object.entries(moreThan)) {
        const count = counts.get(what) ?? 0;
        assert(count > times, `${what}: expected more than ${times}, got ${count}`);
      }
    });
  }
}
