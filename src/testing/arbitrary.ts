/**
 * The only type of fast-check that appears in this package's own types.
 *
 * @module
 */
import type fc from "fast-check";

/**
 * Draws values of a type; fast-check's name for it is arbitrary.
 *
 * @internal
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { type Arbitrary, dtypes } from "@splitgate/splitgate/testing";
 * import { assert } from "@std/assert";
 * const bytes: Arbitrary<string> = dtypes.filter((dtype) => dtype !== "qint32");
 * assert(fc.sample(bytes, { numRuns: 9, seed: 1 }).every((dtype) => dtype.endsWith("int8")));
 * ```
 */
export type Arbitrary<T> = fc.Arbitrary<T>;
