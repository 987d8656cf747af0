/**
 * LastStep as a kind of module. Integers stay as they are.
 *
 * @module
 */
import { lastStep } from "../../../kernels/ops/over_time.ts";
import { lastStep as running } from "../../runtime/kinds/last_step.ts";
import { endKind, type EndModule, type ObservedEnd, sameRows } from "../end_of_time.ts";
import type { Kind } from "../kind.ts";
import { LastStep } from "./float.ts";

/** The last step of each row's own length. */
export const lastStepKind: Kind<LastStep, ObservedEnd<LastStep>, EndModule> = endKind({
  name: "LastStep",
  Float: LastStep,
  flags: ["batchFirst"],
  reduce: lastStep,
  op: "last_step",
  slots: sameRows("last"),
  running,
});
