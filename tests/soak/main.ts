/**
 * The soak test of a night's length: ten million steps, and 2,000 sessions, with all kernels.
 *
 *     deno task soak [--steps N] [--sessions N]
 *
 * @module
 */
import { readArguments } from "../../scripts/arguments.ts";
import { backends } from "../simd/backends.ts";
import { soakModel, soakSessions, soakSteps } from "./soak.ts";

/** Turns that a session gets. */
const TURNS = 50;

if (import.meta.main) {
  const { values } = readArguments("deno task soak [--steps N] [--sessions N]", {
    steps: { type: "string", default: "10000000" },
    sessions: { type: "string", default: "2000" },
  });
  const steps = Number(values.steps);
  const sessions = Number(values.sessions);
  for (const [name, kernels] of [["portable", undefined], ...backends] as const) {
    const start = performance.now();
    soakSteps(soakModel(), steps, kernels);
    soakSessions(soakModel(), sessions, sessions * TURNS, kernels);
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log(`${name}: ${steps} steps, ${sessions} sessions, ${seconds} s`);
  }
}
