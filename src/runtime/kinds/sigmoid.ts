/**
 * Running Sigmoid: the logistic function.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How Sigmoid runs. */
export const sigmoid = pointwise("Sigmoid");
