/**
 * Running Identity: nothing is done to x.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How Identity runs. */
export const identity = pointwise("Identity");
