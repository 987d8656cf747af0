/**
 * Fuzzes kernels, executors, models and readers. What fails is printed, shrunk, and kept in
 * `tests/corpus`, which ordinary tests replay.
 *
 *     deno task fuzz [--minutes N] [--seed S] [--target T]...
 *     deno task fuzz --replay tests/corpus/NAME.json
 *
 * @module
 */
import process from "node:process";
import fc from "fast-check";
import { readArguments } from "../../scripts/arguments.ts";
import type { Kept, Target } from "./target.ts";
import { targetOf, TARGETS } from "./targets.ts";

const USAGE = "deno task fuzz [--minutes N] [--seed S] [--target T]... [--replay FILE]";
const CORPUS = new URL("../corpus/", import.meta.url);

/** Cases that a target gets before the next one has its turn. */
const TOGETHER = 20;

/** The error of a case; null where it holds. */
async function errorOf(target: Target, one: unknown): Promise<unknown> {
  try {
    await target.run(one);
    return null;
  } catch (error) {
    return error;
  }
}

/** Whether a case fails, of a target that runs at once. */
function failsNow(target: Target, one: unknown): boolean {
  try {
    target.run(one);
    return false;
  } catch {
    return true;
  }
}

/** Keeps a case that failed, and says how to replay it. */
async function keep(target: Target, seed: number, given: unknown): Promise<void> {
  const smaller = target.smallest?.(given, (each) => failsNow(target, each)) ?? given;
  const one = await errorOf(target, smaller) === null ? given : smaller;
  const error = await errorOf(target, one) ?? "it holds now";
  const kept: Kept = { target: target.name, outcome: "any", case: one };
  const text = `${JSON.stringify(kept, null, 2)}\n`;
  const name = `${target.name}-${seed >>> 0}.json`;
  await Deno.writeTextFile(new URL(name, CORPUS), text);
  console.error(`FAILED: ${target.name}, seed ${seed}\n${text.slice(0, 4000)}`);
  console.error(error instanceof Error ? error.stack : error);
  console.error(`deno task fuzz --replay tests/corpus/${name}`);
}

/** Fuzzes some targets in turn, until the time is over or something fails. */
async function fuzz(targets: readonly Target[], minutes: number, first: number): Promise<boolean> {
  const end = performance.now() + minutes * 60_000;
  const counts = new Map<string, Map<string, number>>();
  for (let round = 0; performance.now() < end; round++) {
    for (const target of targets) {
      if (performance.now() >= end) break;
      const seed = first + round | 0;
      const own = counts.get(target.name) ?? new Map<string, number>();
      counts.set(target.name, own);
      const { counterexample } = await fc.check(
        fc.asyncProperty(target.cases, async (one) => {
          const outcome = await target.run(one);
          own.set(outcome, (own.get(outcome) ?? 0) + 1);
        }),
        { numRuns: TOGETHER, seed, interruptAfterTimeLimit: Math.max(1, end - performance.now()) },
      );
      if (counterexample === null) continue;
      await keep(target, seed, counterexample[0]);
      return false;
    }
  }
  for (const [name, own] of counts) {
    const total = [...own.values()].reduce((a, b) => a + b, 0);
    const parts = [...own].sort().map(([outcome, count]) => `${count} ${outcome}`);
    console.log(`${name}: ${total} cases, ${parts.join(", ")}`);
  }
  return true;
}

if (import.meta.main) {
  const { values } = readArguments(USAGE, {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    target: { type: "string", multiple: true },
    replay: { type: "string" },
  });
  if (values.replay !== undefined) {
    const kept: Kept = JSON.parse(await Deno.readTextFile(values.replay));
    const error = await errorOf(targetOf(kept.target), kept.case);
    if (error !== null) throw error;
    console.log("it holds");
  } else {
    const seed = values.seed === undefined
      ? Math.floor(Math.random() * 2 ** 31)
      : Number(values.seed);
    const minutes = Number(values.minutes);
    if (!Number.isInteger(seed) || !(minutes > 0)) {
      console.error(`expected a whole seed and minutes above 0\nusage: ${USAGE}`);
      process.exit(2);
    }
    console.log(`seed ${seed}`);
    const targets = values.target?.map(targetOf) ?? TARGETS;
    process.exit(await fuzz(targets, minutes, seed) ? 0 : 1);
  }
}
