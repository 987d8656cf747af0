/**
 * ZeroPad1d as a kind of module. `rewrites.ts` makes it part of its reader.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import { zeroPad1d as running } from "../../runtime/kinds/zero_pad1d.ts";
import { poolKind } from "../pool.ts";
import { ZERO_PAD_OPTIONS, ZeroPad1d } from "./float.ts";

/** ZeroPad1d: zeros before and after a sequence. */
export const zeroPad1dKind = poolKind<ZeroPad1d, Record<string, never>>({
  name: "ZeroPad1d",
  Float: ZeroPad1d,
  options: ZERO_PAD_OPTIONS,
  op: "constant_pad1d",
  running,
  check(name, { kernelSize, stride, ceilMode }) {
    if (kernelSize !== 1 || stride !== 1 || ceilMode) {
      failRange(`${name}: window`, "one of a single step", [kernelSize, stride, ceilMode]);
    }
  },
  details: () => ({}),
  read: () => ({}),
  compute: (x, size, { left }, _details, out) => out.set(x, left * size),
});
