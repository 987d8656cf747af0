/**
 * Running ZeroPad1d: its window is one step wide, and reads the padding too.
 *
 * @module
 */
import type { RunningKind } from "../kind.ts";
import { movingWindow, type WindowProgram } from "../window.ts";

/** How ZeroPad1d runs. */
export const zeroPad1d: RunningKind<WindowProgram> = movingWindow({
  kind: "ZeroPad1d",
  instantiate: ({ output: { size } }) => ({
    infallible: true,
    move(line, from, out, to) {
      for (let i = 0; i < size; i++) out[to + i] = line[from + i]!;
    },
  }),
});
