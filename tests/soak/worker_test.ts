import { assert, assertEquals } from "@std/assert";
import { soakModel, stepFrame } from "./soak.ts";

/** States that are waited for before the worker is ended. */
const STATES = 5;

Deno.test("a worker that ends in the middle of a step leaves states from which another goes on as if nothing had been", async () => {
  const worker = new Worker(new URL("worker.ts", import.meta.url), { type: "module" });
  const handed: { step: number; state: Uint8Array<ArrayBuffer> }[] = [];
  await new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      handed.push(data);
      if (handed.length === STATES) resolve();
    };
    worker.onerror = (event) => reject(new Error(event.message));
  });
  // It is stepping now, and never stops by itself.
  worker.terminate();
  const model = soakModel();
  const whole = model.createSession();
  const next = model.createSession();
  const { step: last, state } = handed[STATES - 1]!;
  assert(last > 0);
  const a = new Float32Array(2);
  const b = new Float32Array(2);
  for (let step = 0; step < last; step++) whole.step(stepFrame(step), a);
  next.restore(state);
  assertEquals(next.state(), whole.state());
  for (let step = last; step < last + 100; step++) {
    whole.step(stepFrame(step), a);
    next.step(stepFrame(step), b);
    assertEquals(b, a);
  }
});
