/**
 * ReLU as a kind of module.
 *
 * @module
 */
import { relu } from "../../runtime/kinds/relu.ts";
import { pointwiseKind } from "../pointwise.ts";
import { ReLU } from "./float.ts";

/** ReLU: max(x, 0), with its input's parameters. */
export const reluKind = pointwiseKind({
  name: "ReLU",
  op: "relu",
  backendOp: "relu",
  output: "given",
  running: relu,
  make: (options) => new ReLU(options),
});
