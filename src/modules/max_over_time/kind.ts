/**
 * MaxOverTime as a kind of module. Integers stay as they are.
 *
 * @module
 */
import { maxOverTime } from "../../../kernels/ops/over_time.ts";
import { maxOverTime as running } from "../../runtime/kinds/max_over_time.ts";
import { endKind, type EndModule, type ObservedEnd, sameRows } from "../end_of_time.ts";
import type { Kind } from "../kind.ts";
import { MaxOverTime } from "./float.ts";

/** The maximum over time. */
export const maxOverTimeKind: Kind<MaxOverTime, ObservedEnd<MaxOverTime>, EndModule> = endKind({
  name: "MaxOverTime",
  Float: MaxOverTime,
  flags: ["batchFirst"],
  reduce: maxOverTime,
  op: "max_over_time",
  slots: sameRows("max"),
  running,
});
