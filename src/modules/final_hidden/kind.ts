/**
 * FinalHidden as a kind of module. Integers stay as they are.
 *
 * @module
 */
import { finalHidden as running } from "../../runtime/kinds/final_hidden.ts";
import { endKind, type EndModule, type ObservedEnd, sameRows } from "../end_of_time.ts";
import type { Kind } from "../kind.ts";
import { FinalHidden, reduceHidden } from "./float.ts";

/** The final hidden state of a recurrent module. */
export const finalHiddenKind: Kind<FinalHidden, ObservedEnd<FinalHidden>, EndModule> = {
  ...endKind({
    name: "FinalHidden",
    Float: FinalHidden,
    flags: ["batchFirst", "bidirectional"],
    reduce: reduceHidden,
    op: "final_hidden",
    slots: sameRows("hidden"),
    running,
  }),
  readsHidden(module) {
    const { bidirectional } = "flags" in module ? module.flags : module;
    return bidirectional ? 2 : 1;
  },
};
