/**
 * Running HardSigmoid: a clamped straight line.
 *
 * @module
 */
import { pointwise } from "../pointwise.ts";

/** How HardSigmoid runs. */
export const hardSigmoid = pointwise("HardSigmoid");
