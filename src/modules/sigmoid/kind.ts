/**
 * Sigmoid as a kind of module.
 *
 * @module
 */
import { sigmoid } from "../../runtime/kinds/sigmoid.ts";
import { pointwiseKind } from "../pointwise.ts";
import { Sigmoid } from "./float.ts";

/** Sigmoid: the logistic function, with fixed parameters. */
export const sigmoidKind = pointwiseKind({
  name: "Sigmoid",
  op: "sigmoid",
  backendOp: "sigmoid",
  output: [0, 1],
  running: sigmoid,
  make: (options) => new Sigmoid(options),
});
