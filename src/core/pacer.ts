/**
 * Long work in pieces, so that a page or terminal stays responsive, and its abortion by a signal.
 *
 * @module
 */
import { failType } from "./errors.ts";

/**
 * An `AbortSignal`, spelled out, since only the DOM library declares it.
 *
 * @example
 * ```ts
 * import { type AbortSignalLike, Linear, quantize } from "@splitgate/splitgate";
 * import { assertRejects } from "@std/assert";
 * const controller = new AbortController(); // of a "Stop" button, say
 * const signal: AbortSignalLike = controller.signal;
 * controller.abort();
 * const model = new Linear({ inFeatures: 2, outFeatures: 3 });
 * await assertRejects(() => quantize(model, [new Float32Array(8)], { signal }));
 * ```
 */
export interface AbortSignalLike {
  /** Whether it is aborted. */
  readonly aborted: boolean;
  /** The error with which the work ends. */
  readonly reason: unknown;
  /** Throws the reason where it is aborted. */
  throwIfAborted(): void;
}

/** Requires a signal, or none. */
export function checkSignal(signal: AbortSignalLike | undefined): void {
  if (signal !== undefined && typeof signal?.throwIfAborted !== "function") {
    failType("options.signal", "an AbortSignal", signal);
  }
}

/** Milliseconds of work between pauses: 20 drawings a second. */
const WORK_MS = 50;

/** Lets timers, events and drawing run, if enough time has passed. */
export function pacer(signal: AbortSignalLike | undefined): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    signal?.throwIfAborted();
    if (performance.now() - since < WORK_MS) return undefined;
    return new Promise((resolve, reject) => {
      setTimeout(() => {
        since = performance.now();
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      }, 0);
    });
  };
}
