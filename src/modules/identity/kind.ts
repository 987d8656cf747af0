/**
 * Identity, to the rest of the package.
 *
 * @module
 */
import { identity } from "../../runtime/kinds/identity.ts";
import { pointwiseKind } from "../pointwise.ts";
import { Identity } from "./float.ts";

/** Identity: what comes in, with its parameters. */
export const identityKind = pointwiseKind({
  name: "Identity",
  op: "identity",
  output: "given",
  running: identity,
  make: (options) => new Identity(options),
});
