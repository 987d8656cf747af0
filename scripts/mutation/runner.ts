/**
 * Runs tests in one process that stays warm, in a copy of the sources that holds a sample of
 * mutants, of which one at a time is switched on. Reads one command a line, and answers each with
 * one line.
 *
 *     deno run runner.ts FILE...
 *
 * Deno's own runner takes most of a second to start and compiles everything anew for each mutant;
 * here a mutant costs as much as the tests that reach it.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import fc from "fast-check";

/** The part of Stryker's state that instrumented sources read and write. */
interface Stryker {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  hitCount?: number | undefined;
  hitLimit?: number | undefined;
  mutantCoverage?: { static: Hits; perTest: Record<string, Hits> };
}

/** How often each mutant's code ran. */
export type Hits = Record<string, number>;

/** A test without a mutant. */
export interface DryTest {
  readonly file: string;
  readonly name: string;
  readonly passed: boolean;
  /** Of a processor. */
  readonly seconds: number;
  readonly hits: Hits;
}

/** What is asked for: the tests of some files without a mutant, or a mutant with some tests. */
export type Command = { readonly dry: readonly string[] } | {
  readonly mutant: string;
  /** Tests by index, in the order in which they are run, and how often each may hit the mutant. */
  readonly tests: readonly (readonly [index: number, hitLimit: number])[];
};

/** What is answered. */
export type Answer =
  | { readonly loaded: number }
  | { readonly tests: readonly DryTest[]; readonly static: Hits }
  | {
    /** `unsure` if the test fails without the mutant too: something is left of an earlier one. */
    readonly status: "killed" | "endless" | "unsure" | "survived";
    /** The test that failed last; -1 for none. */
    readonly test: number;
    /** Tests that never came to the mutant, since something is kept from earlier tests. */
    readonly unhit: number;
  };

type Step = (name: string | StepDefinition, run?: Body) => Promise<boolean>;
type Body = (context: { readonly name: string; readonly step: Step }) => unknown;
type StepDefinition = { readonly name: string; readonly fn: Body; readonly ignore?: boolean };

const stryker = ((globalThis as unknown as { __stryker__?: Stryker }).__stryker__ ??= {});
const registered: { readonly file: string; readonly name: string; readonly run: Body }[] = [];
let loading = "";

function register(...args: readonly unknown[]): void {
  const run = args.findLast((each) => typeof each === "function") as Body | undefined;
  const options = args.find((each) => typeof each === "object") as StepDefinition | undefined;
  if (options?.ignore) return;
  const body = run ?? options!.fn;
  const name = args.find((each) => typeof each === "string") ?? options?.name ?? body.name;
  registered.push({ file: loading, name: String(name), run: body });
}

const step: Step = async (name, run) => {
  if (typeof name === "string") await run!({ name, step });
  else if (!name.ignore) await name.fn({ name: name.name, step });
  return true;
};

let stray: unknown;
globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  stray ??= event.reason ?? new Error("rejected");
});
globalThis.addEventListener("error", (event) => {
  event.preventDefault();
  stray ??= event.error ?? new Error(event.message);
});

/** Runs a test; null where it passes. */
async function failureOf(index: number): Promise<unknown> {
  const { name, run } = registered[index]!;
  stray = undefined;
  try {
    await run({ name, step });
    return stray ?? null;
  } catch (error) {
    return error ?? new Error("thrown");
  }
}

async function dryRun(files: readonly string[]): Promise<Answer> {
  const coverage = (stryker.mutantCoverage ??= { static: {}, perTest: {} });
  const tests: DryTest[] = [];
  for (const [index, { file, name }] of registered.entries()) {
    if (!files.includes(file)) continue;
    stryker.currentTestId = String(index);
    const start = process.cpuUsage();
    const failure = await failureOf(index);
    const { user, system } = process.cpuUsage(start);
    const seconds = (user + system) / 1e6;
    const hits = coverage.perTest[index] ?? {};
    tests.push({ file, name, passed: failure === null, seconds, hits });
  }
  stryker.currentTestId = undefined;
  return { tests, static: coverage.static };
}

async function tryMutant({ mutant, tests }: Extract<Command, { mutant: string }>): Promise<Answer> {
  let unhit = 0;
  for (const [test, hitLimit] of tests) {
    stryker.activeMutant = mutant;
    stryker.hitCount = 0;
    stryker.hitLimit = hitLimit;
    const failure = await failureOf(test);
    const hits = stryker.hitCount!;
    stryker.activeMutant = undefined;
    if (hits === 0) unhit++;
    if (failure === null) continue;
    if (hits > hitLimit) return { status: "endless", test, unhit };
    const sure = loadedMutant !== undefined || await failureOf(test) === null;
    return { status: sure ? "killed" : "unsure", test, unhit };
  }
  return { status: "survived", test: -1, unhit };
}

/** A mutant of code that runs while sources are loaded is switched on from the start. */
const loadedMutant = Deno.env.get("MUTANT");

/** Random cases are the same with and without a mutant, and one that fails is enough. */
const RANDOM = { seed: 1, endOnFailure: true };

if (import.meta.main) {
  fc.configureGlobal(RANDOM);
  const write = (answer: unknown) => {
    const bytes = new TextEncoder().encode(`${JSON.stringify(answer)}\n`);
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  };
  for (const name of ["log", "info", "warn", "error", "debug"] as const) console[name] = () => {};
  Object.defineProperty(Deno, "test", {
    value: Object.assign(register, { ignore() {}, only: register }),
  });
  stryker.activeMutant = loadedMutant;
  for (const file of Deno.args) {
    loading = file;
    await import(pathToFileURL(file).href);
  }
  write({ loaded: registered.length });
  for await (const line of createInterface({ input: process.stdin })) {
    const command: Command = JSON.parse(line);
    write("dry" in command ? await dryRun(command.dry) : await tryMutant(command));
  }
}
