/**
 * Identity as a kind of module.
 *
 * @module
 */
import { identity } from "../../runtime/kinds/identity.ts";
import { pointwiseKind } from "../pointwise.ts";
import { Identity } from "./float.ts";

/** Identity: its input, with the same parameters. */
export const identityKind = pointwiseKind({
  name: "Identity",
  op: "identity",
  output: "given",
  running: identity,
  make: (options) => new Identity(options),
});
