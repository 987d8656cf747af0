/**
 * Dropout as a kind of module.
 *
 * @module
 */
import { identity } from "../../runtime/kinds/identity.ts";
import { pointwiseKind } from "../pointwise.ts";
import { Dropout } from "./float.ts";

/** Dropout: its input, with the same parameters. */
export const dropoutKind = pointwiseKind({
  name: "Dropout",
  op: "dropout",
  output: "given",
  running: identity,
  options: ["p"],
  make: (options) => new Dropout(options),
});
