/**
 * FirstStep as a kind of module. Integers stay as they are.
 *
 * @module
 */
import { firstStep } from "../../../kernels/ops/over_time.ts";
import { firstStep as running } from "../../runtime/kinds/first_step.ts";
import { endKind, type EndModule, type ObservedEnd, sameRows } from "../end_of_time.ts";
import type { Kind } from "../kind.ts";
import { FirstStep } from "./float.ts";

/** The first step of each row. */
export const firstStepKind: Kind<FirstStep, ObservedEnd<FirstStep>, EndModule> = endKind({
  name: "FirstStep",
  Float: FirstStep,
  flags: ["batchFirst"],
  reduce: firstStep,
  op: "first_step",
  slots: sameRows("first"),
  running,
});
