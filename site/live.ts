/**
 * The worker of what runs as one plays.
 *
 * @module
 */
import { Calls } from "./calls.ts";
import { startWorker } from "./chunks.ts";
import type { LiveMethods } from "./workers/live.ts";

let calls: Calls<LiveMethods> | undefined;

/** The worker, started when it is first asked for. */
export function live(): Calls<LiveMethods> {
  if (calls === undefined) {
    const started = startWorker("live");
    calls = new Calls(started);
    started.catch(() => calls = undefined);
  }
  return calls;
}
