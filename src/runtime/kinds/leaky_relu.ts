/**
 * Running LeakyReLU: x, or a part of it where it is negative.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How LeakyReLU runs. */
export const leakyRelu = pointwise("LeakyReLU");
