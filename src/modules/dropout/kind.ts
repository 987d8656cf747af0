/**
 * Dropout, to the rest of the package.
 *
 * @module
 */
import { identity } from "../../runtime/kinds/identity.ts";
import { pointwiseKind } from "../pointwise.ts";
import { Dropout } from "./float.ts";

/** Dropout: what comes in, with its parameters. */
export const dropoutKind = pointwiseKind({
  name: "Dropout",
  op: "dropout",
  output: "given",
  running: identity,
  options: ["p"],
  make: (options) => new Dropout(options),
});
