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
 */
export type Arbitrary<T> = fc.Arbitrary<T>;
