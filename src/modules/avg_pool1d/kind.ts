/**
 * AvgPool1d as a kind of module. Of integers it is torch's quantized avg_pool1d, in either rounding
 * family.
 *
 * @module
 */
import { avgPool1dFloat32 } from "../../../kernels/ops/pooling.ts";
import type { Engine } from "../../../kernels/ops/linear.ts";
import { failRange } from "../../core/errors.ts";
import { avgPool1d as running } from "../../runtime/kinds/avg_pool1d.ts";
import { poolKind } from "../pool.ts";
import { checkPoolPadding } from "../window.ts";
import { AVG_POOL_OPTIONS, AvgPool1d } from "./float.ts";

/** Parameters of an average besides its window. */
export interface AverageDetails extends Record<string, unknown> {
  /** Whether the zeros of the padding count. */
  readonly countIncludePad: boolean;
  /** Whose rounding it has. */
  readonly engine: Engine;
}

/** AvgPool1d: the mean of each window. */
export const avgPool1dKind = poolKind<AvgPool1d, AverageDetails>({
  name: "AvgPool1d",
  Float: AvgPool1d,
  options: AVG_POOL_OPTIONS,
  op: "avg_pool1d",
  running,
  hasFamily: true,
  // In a session it is not known how much of a window will be padding.
  streams: ({ left }, { countIncludePad }) => countIncludePad || left === 0,
  check(name, window) {
    checkPoolPadding(name, window, null);
    if (window.dilation !== 1) failRange(`${name}: dilation`, "1", window.dilation);
  },
  details: ({ countIncludePad }, engine) => ({ countIncludePad, engine }),
  read: (file) => ({
    countIncludePad: file.flag("countIncludePad"),
    engine: file.engine("engine"),
  }),
  compute: (x, size, window, { countIncludePad }, out) =>
    avgPool1dFloat32(x, size, { window, countIncludePad }, out),
});
