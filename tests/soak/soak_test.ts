import { backends } from "../simd/backends.ts";
import { soakModel, soakSessions, soakSteps } from "./soak.ts";

/** The portable kernels, and SIMD in all forms. */
const KERNELS = [["portable", undefined], ...backends] as const;

for (const [name, kernels] of KERNELS) {
  Deno.test(`200,000 steps through one session equal a replay, and memory stays flat: ${name}`, () => {
    soakSteps(soakModel(), 200_000, kernels);
  });

  Deno.test(`100 sessions that are interleaved, saved and restored equal ones that run alone: ${name}`, () => {
    soakSessions(soakModel(), 100, 4_000, kernels);
  });
}
