/**
 * MeanOverTime as a kind of module. Integers keep their parameters: the mean is rounded once, as
 * torch's over a last dimension of time (`meanInt8`).
 *
 * @module
 */
import { meanOverTimeFloat32 } from "../../../kernels/ops/over_time.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { meanOverTime as running } from "../../runtime/kinds/mean_over_time.ts";
import { endKind, type EndModule, type ObservedEnd } from "../end_of_time.ts";
import type { Kind } from "../kind.ts";
import { MeanOverTime } from "./float.ts";

/** The largest sum of integers in a slot, within which sums and saved states are exact. */
const MAX_SUM = 2 ** 51;

/** Parameters of the slot of sums: exact for 2^43 steps of 8 bits, 2^35 of 16 and 2^19 of 32. */
function sums(scale: number, quantMin: number): PerTensorQParams {
  return { dtype: "qint32", scale, zeroPoint: 0, quantMin, quantMax: MAX_SUM };
}

/** The mean over time. */
export const meanOverTimeKind: Kind<MeanOverTime, ObservedEnd<MeanOverTime>, EndModule> = endKind({
  name: "MeanOverTime",
  Float: MeanOverTime,
  flags: ["batchFirst"],
  reduce: meanOverTimeFloat32,
  op: "mean_over_time",
  slots: ({ size, qparams }) => [
    { name: "count", size: 1, groups: [sums(1, 0)], wide: true },
    { name: "sum", size, groups: [qparams && sums(qparams.scale, -MAX_SUM)], wide: true },
  ],
  running,
});
