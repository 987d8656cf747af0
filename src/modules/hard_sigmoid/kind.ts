/**
 * HardSigmoid, to the rest of the package.
 *
 * @module
 */
import { hardSigmoid } from "../../runtime/kinds/hard_sigmoid.ts";
import { pointwiseKind } from "../pointwise.ts";
import { HardSigmoid } from "./float.ts";

/** HardSigmoid: a clamped straight line, with fixed parameters. */
export const hardSigmoidKind = pointwiseKind({
  name: "HardSigmoid",
  op: "hardsigmoid",
  backendOp: "hardsigmoid",
  output: [0, 1],
  running: hardSigmoid,
  parameters: ["slope", "offset"],
  make: (options) => new HardSigmoid(options),
});
