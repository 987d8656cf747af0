/**
 * The soak test of a night's length: ten million steps, and 2,000 sessions, with all kernels.
 *
 *     deno task soak [--steps N] [--sessions N] [--kernels NAME]...
 *
 * @module
 */
import { readArguments } from "../../scripts/arguments.ts";
import { backends } from "../simd/backends.ts";
import { soakModel, soakSessions, soakSteps } from "./soak.ts";

/** Turns that a session gets. */
const TURNS = 50;

const KERNELS = [["portable", undefined], ...backends] as const;

if (import.meta.main) {
  const names = KERNELS.map(([name]) => JSON.stringify(name)).join(", ");
  const usage = `deno task soak [--steps N] [--sessions N] [--kernels NAME]...: ${names}`;
  const { values } = readArguments(usage, {
    steps: { type: "string", default: "10000000" },
    sessions: { type: "string", default: "2000" },
    kernels: { type: "string", multiple: true },
  });
  const steps = Number(values.steps);
  const sessions = Number(values.sessions);
  for (const [name, kernels] of KERNELS) {
    if (!(values.kernels?.includes(name) ?? true)) continue;
    const start = performance.now();
    soakSteps(soakModel(), steps, kernels);
    soakSessions(soakModel(), sessions, sessions * TURNS, kernels);
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log(`${name}: ${steps} steps, ${sessions} sessions, ${seconds} s`);
  }
}
