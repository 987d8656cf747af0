/**
 * The page: a description of the package, interactive demos, and the workbench.
 *
 * @module
 */
/// <reference lib="dom" />
import { byId } from "./dom.ts";
import { startSegmenter } from "./segmenter.ts";
import { startSignal } from "./signal.ts";
import { startWorkbench } from "./workbench.ts";

/** The feature that this browser lacks; null if it has all that the page needs. */
function missing(): string | null {
  if (typeof Worker === "undefined") {
    return "This browser has no Web Workers, which this page needs for all its work.";
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

// A file dropped outside of a drop area must not replace the page.
for (const event of ["dragover", "drop"]) {
  addEventListener(event, (each) => each.preventDefault());
}
