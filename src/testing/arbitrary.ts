/**
 * The one type of fast-check that this package's own types name.
 *
 * @module
 */
import type fc from "fast-check";

/**
 * Draws values of a type: what fast-check calls an arbitrary.
 *
 * @internal
 */
export type Arbitrary<T> = fc.Arbitrary<T>;
