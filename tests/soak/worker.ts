/**
 * A worker that steps without end and hands over its state now and then, until somebody ends it.
 *
 * @module
 */
/// <reference lib="webworker" />
import { soakModel, stepFrame } from "./soak.ts";

/** Steps between two states that are handed over. */
const HANDED_OVER = 2000;

const session = soakModel().createSession();
const output = new Float32Array(session.outputSteps(1) * 2);

for (let step = 0;; step++) {
  if (step % HANDED_OVER === 0) {
    self.postMessage({ step, state: session.state() });
    // Messages leave between two tasks only.
    await new Promise((resolve) => setTimeout(resolve));
  }
  session.step(stepFrame(step), output);
}
