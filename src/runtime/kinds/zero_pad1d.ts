/**
 * Running ZeroPad1d: its window is one step wide, and reads the padding too.
 *
 * @module
 */
import type { RunningKind } from "../kind.ts";
import { movingWindow, type WindowProgram } from "../window.ts";

/**
 * How ZeroPad1d runs.
 *
 * @example
 * ```ts
 * import {
 *   compileModel,
 *   convert,
 *   getPreset,
 *   Linear,
 *   prepare,
 *   Sequential,
 *   tensor,
 *   ZeroPad1d,
 * } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { zeroPad1d } from "@splitgate/splitgate/runtime/conv";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 4 });
 * const observed = prepare(new Sequential({ linear, last: new ZeroPad1d({ padding: 1 }) }), getPreset("fbgemm"));
 * observed.forward(tensor([0.5, -1, 2, 0.25, 1, -0.5, 0.75, -2], [4, 1, 2]));
 * const program = loadProgram(compileModel(convert(observed)), { kinds: [zeroPad1d] });
 * assertEquals(program.inputSize, 2);
 * ```
 */
export const zeroPad1d: RunningKind<WindowProgram> = movingWindow({
  kind: "ZeroPad1d",
  instantiate: ({ output: { size } }) => ({
    infallible: true,
    move(line, from, out, to) {
      for (let i = 0; i < size; i++) out[to + i] = line[from + i]!;
    },
  }),
});
