/**
 * Tries all kept cases: what `deno task fuzz:coverage` counts the coverage of.
 *
 * @module
 */
import { readKept } from "./kept.ts";
import { LIMITS } from "./readers.ts";
import { readReaching } from "./reaching.ts";
import { targetOf } from "./targets.ts";

if (import.meta.main) {
  // Counting makes everything many times slower.
  LIMITS.milliseconds = Infinity;
  for (const { target, case: one } of [...await readKept(), ...await readReaching()]) {
    await targetOf(target).run(one);
  }
}
