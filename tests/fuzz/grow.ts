/**
 * Fuzzing that coverage guides: keeps in `tests/fuzz/reaching.json` the cases that run code of
 * kernels, running halves and readers that no kept case runs.
 *
 *     deno task fuzz:grow [--minutes N] [--seed S] [--target T]...
 *
 * @module
 */
import process from "node:process";
import fc from "fast-check";
import { readArguments } from "../../scripts/arguments.ts";
import { writeFile } from "../../scripts/write_file.ts";
import { Watch } from "./reached.ts";
import { REACHING, type Reaching, readReaching, textOf } from "./reaching.ts";

const USAGE = "deno task fuzz:grow [--minutes N] [--seed S] [--target T]...";

/** Cases that a target gets before the next one has its turn. */
const TOGETHER = 20;

if (import.meta.main) {
  const { values } = readArguments(USAGE, {
    minutes: { type: "string", default: "10" },
    seed: { type: "string" },
    target: { type: "string", multiple: true },
  });
  const minutes = Number(values.minutes);
  const first = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
  if (!(minutes > 0) || !Number.isInteger(first)) {
    console.error(`expected minutes above 0 and a whole seed\nusage: ${USAGE}`);
    process.exit(2);
  }
  console.log(`seed ${first}`);
  const watch = new Watch();
  await watch.begin();
  // Loaded after watching began: what modules run as they are loaded counts, too.
  const { targetOf, TARGETS } = await import("./targets.ts");
  const { LIMITS } = await import("./readers.ts");
  // Counting makes everything many times slower.
  LIMITS.milliseconds = Infinity;
  const kept = await readReaching();
  const chosen = values.target?.map(targetOf) ?? TARGETS;

  /** Of some cases in this order, those that run what none before them does. */
  const needed = async (cases: readonly Reaching[]): Promise<Reaching[]> => {
    watch.forget();
    const found: Reaching[] = [];
    for (const each of cases) {
      // A case that fails is one for `deno task fuzz`, and the tests.
      try {
        await targetOf(each.target).run(each.case);
      } catch (error) {
        console.error(`FAILED: ${JSON.stringify(each)}`, error);
        continue;
      }
      if (await watch.reachedMore()) found.push(each);
    }
    return found;
  };

  let cases = await needed(kept);
  let failed = false;
  const end = performance.now() + minutes * 60_000;
  for (let round = 0; performance.now() < end; round++) {
    for (const target of chosen) {
      if (performance.now() >= end) break;
      for (const one of fc.sample(target.cases, { numRuns: TOGETHER, seed: first + round | 0 })) {
        try {
          await target.run(one);
        } catch (error) {
          // For `deno task fuzz` to shrink and to keep.
          console.error(`FAILED: ${target.name} ${JSON.stringify(one)}`, error);
          failed = true;
        }
        if (!await watch.reachedMore()) continue;
        cases.push({ target: target.name, case: one });
        console.log(`${cases.length}: ${target.name} ${JSON.stringify(one).slice(0, 100)}`);
      }
    }
  }
  // What a later case runs as well is not needed of an earlier one, and the other way round.
  const before = cases.length;
  cases = (await needed(cases.toReversed())).toReversed();
  console.log(`${before} cases, ${cases.length} of which run what no other does`);
  await writeFile(REACHING, textOf(cases));
  if (failed) process.exit(1);
}
