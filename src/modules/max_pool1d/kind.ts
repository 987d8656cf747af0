/**
 * MaxPool1d as a kind of module. Of integers it is torch's quantized max_pool1d.
 *
 * @module
 */
import { maxPool1d } from "../../../kernels/ops/pooling.ts";
import { maxPadding, maxPool1d as running } from "../../runtime/kinds/max_pool1d.ts";
import { poolKind } from "../pool.ts";
import { checkPoolPadding } from "../window.ts";
import { MAX_POOL_OPTIONS, MaxPool1d } from "./float.ts";

/** MaxPool1d: the largest value of each window. */
export const maxPool1dKind = poolKind<MaxPool1d, Record<string, never>>({
  name: "MaxPool1d",
  Float: MaxPool1d,
  options: MAX_POOL_OPTIONS,
  op: "max_pool1d",
  running,
  padding: maxPadding,
  check: (name, window) => checkPoolPadding(name, window, null),
  details: () => ({}),
  read: () => ({}),
  compute: (x, size, window, _details, out) => maxPool1d(x, size, window, out),
});
