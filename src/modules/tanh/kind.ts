/**
 * Tanh as a kind of module.
 *
 * @module
 */
import { tanh } from "../../runtime/kinds/tanh.ts";
import { pointwiseKind } from "../pointwise.ts";
import { Tanh } from "./float.ts";

/** Tanh: the hyperbolic tangent, with fixed parameters. */
export const tanhKind = pointwiseKind({
  name: "Tanh",
  op: "tanh",
  backendOp: "tanh",
  output: [-1, 1],
  running: tanh,
  make: (options) => new Tanh(options),
});
