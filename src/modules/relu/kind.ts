/**
 * ReLU, to the rest of the package.
 *
 * @module
 */
import { relu } from "../../runtime/kinds/relu.ts";
import { pointwiseKind } from "../pointwise.ts";
import { ReLU } from "./float.ts";

/** ReLU: max(x, 0), with the parameters of what comes in. */
export const reluKind = pointwiseKind({
  name: "ReLU",
  op: "relu",
  backendOp: "relu",
  output: "given",
  running: relu,
  make: (options) => new ReLU(options),
});
