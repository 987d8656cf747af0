/**
 * Running Tanh: the hyperbolic tangent.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How Tanh runs. */
export const tanh = pointwise("Tanh");
