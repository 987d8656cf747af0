/**
 * Running ReLU: max(x, 0), integers and floats alike.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How ReLU runs. */
export const relu = pointwise("ReLU");
