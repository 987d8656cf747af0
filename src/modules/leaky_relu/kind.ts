/**
 * LeakyReLU as a kind of module.
 *
 * @module
 */
import { leakyRelu } from "../../runtime/kinds/leaky_relu.ts";
import { pointwiseKind } from "../pointwise.ts";
import { LeakyReLU } from "./float.ts";

/** LeakyReLU: x, scaled by the slope where it is negative. */
export const leakyReluKind = pointwiseKind({
  name: "LeakyReLU",
  op: "leaky_relu",
  backendOp: "leaky_relu",
  output: "observed",
  running: leakyRelu,
  parameters: ["negativeSlope"],
  make: (options) => new LeakyReLU(options),
});
