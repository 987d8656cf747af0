/**
 * Running LeakyReLU: x, scaled by the slope where it is negative.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How LeakyReLU runs. */
export const leakyRelu = pointwise("LeakyReLU");
