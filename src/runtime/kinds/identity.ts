/**
 * Running Identity: x is passed on unchanged.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How Identity runs. */
export const identity = pointwise("Identity");
