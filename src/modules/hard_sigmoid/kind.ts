/**
 * HardSigmoid as a kind of module.
 *
 * @module
 */
import { hardSigmoid } from "../../runtime/kinds/hard_sigmoid.ts";
import { pointwiseKind } from "../pointwise.ts";
import { HardSigmoid } from "./float.ts";

/** HardSigmoid: a clamped straight line, with fixed parameters. */
export const hardSigmoidKind = pointwiseKind<HardSigmoid>({
  name: "HardSigmoid",
  op: "hardsigmoid",
  backendOp: "hardsigmoid",
  output: [0, 1],
  running: hardSigmoid,
  parameters: ["slope", "offset"],
  // torch's function differs from slope 1/6 and offset 0.5 by its rounding.
  optionsOf: ({ activation, slope, offset }) =>
    activation === "hardSigmoid" ? {} : { slope, offset },
  make: (options) => new HardSigmoid(options),
});
