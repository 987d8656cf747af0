/**
 * The page: what the package is, things to play with, and the workbench.
 *
 * @module
 */
/// <reference lib="dom" />
import { byId } from "./dom.ts";
import { startSegmenter } from "./segmenter.ts";
import { startSignal } from "./signal.ts";
import { startWorkbench } from "./workbench.ts";

/** What a browser has to have. */
function missing(): string | null {
  if (typeof Worker === "undefined") {
    return "This browser has no Web Workers, in which all work is done.";
  }
  return null;
}

const lacking = missing();
if (lacking === null) {
  startWorkbench();
  startSegmenter();
  startSignal();
} else {
  byId("lacking").textContent = lacking;
}

// A file that misses its place must not replace the page.
for (const event of ["dragover", "drop"]) {
  addEventListener(event, (each) => each.preventDefault());
}
