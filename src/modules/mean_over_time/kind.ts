/**
 * MeanOverTime, to the rest of the package. Integers keep their parameters: the mean is rounded
 * once, as torch's over a last dimension of time (`meanInt8`).
 *
 * @module
 */
import { meanOverTimeFloat32 } from "../../../kernels/ops/over_time.ts";
import { meanOverTime as running } from "../../runtime/kinds/mean_over_time.ts";
import { endKind, type EndModule, type ObservedEnd } from "../end_of_time.ts";
import type { Kind } from "../kind.ts";
import { MeanOverTime } from "./float.ts";

/** The mean over time. */
export const meanOverTimeKind: Kind<MeanOverTime, ObservedEnd<MeanOverTime>, EndModule> = endKind({
  name: "MeanOverTime",
  Float: MeanOverTime,
  flags: ["batchFirst"],
  reduce: meanOverTimeFloat32,
  op: "mean_over_time",
  running,
});
