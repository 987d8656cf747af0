/**
 * Fuzzes kernels, executors, models and readers. What fails is printed, shrunk, and kept in
 * `tests/corpus`, which ordinary tests replay.
 *
 *     deno task fuzz [--minutes N] [--cases N] [--seed S] [--target T]... [--record]
 *     deno task fuzz --replay tests/corpus/NAME.json
 *
 * @module
 */
import process from "node:process";
import fc from "fast-check";
import { readArguments } from "../../scripts/arguments.ts";
import { writeFile } from "../../scripts/write_file.ts";
import { CORPUS } from "./kept.ts";
import type { FuzzRecord, Tally } from "./record.ts";
import type { Kept, Target } from "./target.ts";
import { targetOf, TARGETS } from "./targets.ts";

const USAGE =
  "deno task fuzz [--minutes N] [--cases N] [--seed S] [--target T]... [--record] [--replay FILE]";
/** Where `--record` puts what a run came to; `deno task figures` shows it in docs/testing.md. */
const RECORD = new URL("../../bench/results/fuzz.json", import.meta.url);

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

/** When a run is over. */
interface Limits {
  /** Minutes of all targets together. */
  readonly minutes: number;
  /** Cases of whatever a target tries, at which it has no further turn. */
  readonly cases: number;
}

/** Milliseconds between two lines about how far it is. */
const PROGRESS = 60_000;

/** Prints what a run came to so far. */
function print(tallies: ReadonlyMap<Target, Tally>): void {
  for (const [{ name }, { outcomes, counts }] of tallies) {
    const total = Object.values(outcomes).reduce((a, b) => a + b, 0);
    const parts = Object.entries(outcomes).sort().map(([outcome, n]) => `${n} ${outcome}`);
    console.log(`${name}: ${total} cases, ${parts.join(", ")}`);
    for (const [what, n] of Object.entries(counts)) {
      if (what !== name) console.log(`  ${what}: ${n} trials held`);
    }
  }
}

/** Random cases so far of something that one or more targets try. */
function casesOf(tallies: ReadonlyMap<Target, Tally>, what: string): number {
  return [...tallies.values()].reduce((sum, { counts }) => sum + (counts[what] ?? 0), 0);
}

/**
 * Fuzzes some targets in turn, until a limit is reached or something fails.
 *
 * @returns What it came to; null where something failed.
 */
async function fuzz(
  targets: readonly Target[],
  { minutes, cases }: Limits,
  first: number,
): Promise<ReadonlyMap<Target, Tally> | null> {
  const end = performance.now() + minutes * 60_000;
  const tallies = new Map(targets.map((each): [Target, Tally] => [
    each,
    { outcomes: {}, counts: {} },
  ]));
  const isDone = (target: Target): boolean => {
    const tried = Object.keys(tallies.get(target)!.counts);
    return tried.length > 0 && tried.every((what) => casesOf(tallies, what) >= cases);
  };
  let told = performance.now();
  for (let round = 0; performance.now() < end && !targets.every(isDone); round++) {
    for (const target of targets) {
      if (performance.now() >= end) break;
      if (isDone(target)) continue;
      const seed = first + round | 0;
      const { outcomes, counts } = tallies.get(target)!;
      const left = Math.min(end - performance.now(), 2 ** 31 - 1);
      const { counterexample } = await fc.check(
        fc.asyncProperty(target.cases, async (one) => {
          const tried = await target.run(one);
          outcomes[tried.outcome] = (outcomes[tried.outcome] ?? 0) + 1;
          for (const [what, n] of Object.entries(tried.counts ?? { [target.name]: 1 })) {
            counts[what] = (counts[what] ?? 0) + n;
          }
        }),
        { numRuns: TOGETHER, seed, interruptAfterTimeLimit: Math.max(1, left) },
      );
      if (counterexample === null) continue;
      await keep(target, seed, counterexample[0]);
      return null;
    }
    if (performance.now() - told < PROGRESS) continue;
    told = performance.now();
    console.log(`round ${round}`);
    print(tallies);
  }
  print(tallies);
  return tallies;
}

/** Puts what a run came to beside what other targets came to before. */
async function record(tallies: ReadonlyMap<Target, Tally>, seed: number): Promise<void> {
  const records: Record<string, FuzzRecord> = JSON.parse(await Deno.readTextFile(RECORD));
  const date = new Date().toISOString().slice(0, 10);
  for (const [{ name }, tally] of tallies) records[name] = { date, seed, ...tally };
  await writeFile(RECORD, `${JSON.stringify(records, null, 2)}\n`);
}

if (import.meta.main) {
  const { values } = readArguments(USAGE, {
    minutes: { type: "string" },
    cases: { type: "string" },
    seed: { type: "string" },
    target: { type: "string", multiple: true },
    record: { type: "boolean" },
    replay: { type: "string" },
  });
  if (values.replay !== undefined) {
    const kept: Kept = JSON.parse(await Deno.readTextFile(values.replay));
    const error = await errorOf(targetOf(kept.target), kept.case);
    if (error !== null) throw error;
    console.log("it holds");
  } else {
    const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
    const cases = Number(values.cases ?? Infinity);
    const minutes = Number(values.minutes ?? (cases < Infinity ? Infinity : 1));
    if (!Number.isInteger(seed) || !(minutes > 0) || !(cases > 0)) {
      console.error(`expected a whole seed, and minutes and cases above 0\nusage: ${USAGE}`);
      process.exit(2);
    }
    console.log(`seed ${seed}`);
    const targets = values.target?.map(targetOf) ?? TARGETS;
    const tallies = await fuzz(targets, { minutes, cases }, seed);
    if (tallies === null) process.exit(1);
    if (values.record) await record(tallies, seed);
  }
}
