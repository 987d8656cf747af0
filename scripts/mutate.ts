/**
 * Mutation testing: changes of the sources, each of which some test should notice. A sample of
 * Stryker's mutants is built into a copy of the sources; a process that stays warm runs, for one
 * mutant after the other, the tests that reach it, those first that noticed most so far.
 *
 *     deno task mutate GROUP [--sample N] [--seed S] [--tests PATHS] [--record]
 *
 * GROUP is one of `kernels`, `runtime` and `readers`. What was found is kept in `build/mutation`;
 * a later run tries the rest of its sample, and survivors again: `--tests` names the tests to try
 * them with, separated by commas. `--record` tries nothing: it puts what was found of the sample
 * into `bench/results/mutation.json` and `docs/mutation.md`, and fails where a survivor has no
 * reason in `scripts/mutation/reasons.json`.
 *
 * @module
 */
import process from "node:process";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readArguments } from "./arguments.ts";
import { instrument, keepMutants, type Mutant, sampleOf } from "./mutation/mutants.ts";
import { Runner } from "./mutation/pool.ts";
import {
  type MutantResult,
  problemsOf,
  readReasons,
  type Recorded,
  type RecordedGroup,
  recordGroup,
  renderMutation,
} from "./mutation/report.ts";
import type { Answer, DryTest, Hits } from "./mutation/runner.ts";
import { replaceBlock } from "./page_block.ts";
import { writeFile } from "./write_file.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const BUILD = join(ROOT, "build/mutation");
const COPY = join(BUILD, "copy");
const RECORD = join(ROOT, "bench/results/mutation.json");
const PAGE = join(ROOT, "docs/mutation.md");

/** What is mutated together, and the tests that may notice it. */
interface Group {
  /** Folders of sources. */
  readonly sources: readonly string[];
  /** Folders and files of tests. */
  readonly tests: readonly string[];
}

const SHARED_TESTS = [
  ...["tests/runtime", "tests/simd", "tests/modules", "tests/fuzz/corpus_test.ts"],
  ...["tests/authoring/graph_forms_test.ts"],
];

const GROUPS: Readonly<Record<string, Group>> = {
  kernels: {
    sources: ["kernels"],
    tests: ["tests/kernels", "tests/oracle", "tests/cells", "tests/reference", ...SHARED_TESTS],
  },
  runtime: {
    sources: ["src/runtime"],
    tests: ["tests/io/graph_files_test.ts", "tests/soak/soak_test.ts", ...SHARED_TESTS],
  },
  readers: {
    sources: ["src/io"],
    tests: ["tests/io", "tests/fuzz/corpus_test.ts", "tests/runtime/program_file_test.ts"],
  },
};

/** Tests of time and memory, which say nothing while a machine is busy. */
const LEFT_OUT = ["tests/io/cost_test.ts"];

/** A test may hit a mutant so many times as often as without it, and so many times more. */
const HIT_FACTOR = 30;
const MORE_HITS = 2000;

/** Processor seconds, without a mutant, of the tests that are run for one at most. */
const MAX_SECONDS = 10;

/** Seconds by the clock: of a file of tests, and of a mutant's tests, as they take without it. */
const DRY_SECONDS = 600;
const MORE_SECONDS = 60;
const MORE_TIMES = 20;

/** The files below some folders, or those files. */
function filesIn(paths: readonly string[], ending: string): string[] {
  const visit = (path: string): string[] =>
    Deno.statSync(join(ROOT, path)).isFile
      ? [path]
      : [...Deno.readDirSync(join(ROOT, path))].flatMap(({ name }) => visit(`${path}/${name}`));
  return [...new Set(paths.flatMap(visit))].filter((path) => path.endsWith(ending)).sort();
}

/** Copies the sources to where they are mutated. */
async function copyTree(): Promise<void> {
  await Deno.remove(COPY, { recursive: true }).catch(() => {});
  await Deno.mkdir(COPY, { recursive: true });
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "-co", "--exclude-standard"],
    cwd: ROOT,
  }).output();
  for (const path of new TextDecoder().decode(stdout).split("\n").filter((each) => each !== "")) {
    await Deno.mkdir(join(COPY, path, ".."), { recursive: true });
    await Deno.copyFile(join(ROOT, path), join(COPY, path));
  }
}

async function readJson<T>(path: string): Promise<T | null> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

type DryRun = Omit<KnownFile, "key">;

/** Finds the tests that notice mutants. */
class Search {
  readonly #runner: Runner;
  /** Tests that pass without a mutant, by the index that the runner gives them. */
  readonly #tests: ReadonlyMap<number, DryTest>;
  readonly #whileLoaded: Readonly<Hits>;
  /** How often each test was run with a mutant, and noticed it. */
  readonly #noticed = new Map<number, { runs: number; kills: number }>();

  constructor(runner: Runner, dry: DryRun) {
    this.#runner = runner;
    this.#tests = new Map([...dry.tests.entries()].filter(([, { passed }]) => passed));
    this.#whileLoaded = dry.static;
  }

  async try(mutant: Mutant, neighbours: ReadonlySet<string>): Promise<MutantResult> {
    const { key, file, line, code, mutator, from, to } = mutant;
    const about = { key, file, line, code, mutator, from, to };
    const loaded = this.#whileLoaded[mutant.id] !== undefined;
    const reaching = this.#order(mutant, loaded ? neighbours : null);
    if (reaching.length === 0) return { ...about, status: "uncovered", by: "" };
    for (const anew of [false, true]) {
      if (anew) this.#runner.end();
      const { status, test, unhit } = await this.#ask(mutant.id, reaching, loaded);
      const found = status === "killed" || status === "endless";
      if (found || status === "survived" && (unhit === 0 || loaded || anew)) {
        const by = test < 0 ? "" : `${this.#tests.get(test)!.file}: ${this.#tests.get(test)!.name}`;
        return { ...about, status, by };
      }
    }
    // A test that fails in a new process without the mutant says nothing of it.
    return { ...about, status: "survived", by: "" };
  }

  /**
   * The tests that reach a mutant, those first that notice most a second. Code that runs while
   * sources are loaded is reached by all tests: first come those of its file.
   *
   * @param neighbours Mutants of the same file, for such code.
   */
  #order({ id, file }: Mutant, neighbours: ReadonlySet<string> | null): number[] {
    const own = basename(file, ".ts");
    const gain = (index: number): number => {
      const { file, seconds, hits } = this.#tests.get(index)!;
      const { runs, kills } = this.#noticed.get(index) ?? { runs: 0, kills: 0 };
      const isOwn = file.includes(`/${own}`);
      const isNear = neighbours !== null &&
        (isOwn || Object.keys(hits).some((each) => neighbours.has(each)));
      const hopes = (isOwn ? 2 : 0.5) + (isNear ? 1000 : 0);
      return (kills + hopes) / (runs + 1) / (seconds + 0.005);
    };
    const reaching = [...this.#tests.keys()]
      .filter((index) => neighbours !== null || this.#tests.get(index)!.hits[id] !== undefined)
      .sort((a, b) => gain(b) - gain(a));
    let spent = 0;
    return reaching.filter((index, i) => {
      spent += this.#tests.get(index)!.seconds;
      return i === 0 || spent <= MAX_SECONDS;
    });
  }

  async #ask(
    id: string,
    reaching: readonly number[],
    loaded: boolean,
  ): Promise<Extract<Answer, { status: unknown }>> {
    const tests = reaching.map((index) =>
      [index, HIT_FACTOR * (this.#tests.get(index)!.hits[id] ?? 0) + MORE_HITS] as const
    );
    const seconds = reaching.reduce((sum, index) => sum + this.#tests.get(index)!.seconds, 0);
    const answer = await this.#runner.ask(
      { mutant: id, tests },
      MORE_SECONDS + MORE_TIMES * seconds,
      loaded ? id : undefined,
    );
    if (answer === "late") return { status: "endless", test: -1, unhit: 0 };
    if (answer === "crashed") return { status: "killed", test: -1, unhit: 0 };
    if (!("status" in answer)) throw new Error(`expected a mutant's end, got ${answer}`);
    const run = reaching.slice(0, answer.test < 0 ? undefined : reaching.indexOf(answer.test) + 1);
    for (const index of run) {
      const { runs, kills } = this.#noticed.get(index) ?? { runs: 0, kills: 0 };
      this.#noticed.set(index, { runs: runs + 1, kills: kills + (index === answer.test ? 1 : 0) });
    }
    return answer;
  }
}

/** What the tests of a file came to without a mutant; `key` tells of what sources and tests. */
interface KnownFile {
  readonly key: string;
  readonly tests: readonly DryTest[];
  readonly static: Hits;
}

/** Runs all tests without a mutant; files that were run with the same sources are known. */
async function dryRun(runner: Runner, name: string, sample: string): Promise<DryRun> {
  const path = join(BUILD, `${name}_tests.json`);
  const known: Record<string, KnownFile> = await readJson(path) ?? {};
  const read = async (file: string) => await Deno.readFile(join(COPY, file));
  const shared = createHash("sha256").update(sample);
  for (const file of filesIn(["src", "kernels", "tests", "scripts/mutation"], ".ts")) {
    if (!file.endsWith("_test.ts")) shared.update(file).update(await read(file));
  }
  const all: DryTest[] = [];
  const whileLoaded: Hits = {};
  for (const file of runner.files) {
    const key = shared.copy().update(await read(file)).digest("hex");
    if (known[file]?.key !== key) {
      const answer = await runner.ask({ dry: [file] }, DRY_SECONDS);
      if (typeof answer === "string" || !("tests" in answer)) {
        throw new Error(`${file}: without a mutant: ${answer}`);
      }
      known[file] = { key, ...answer };
      await writeFile(path, JSON.stringify(known));
    }
    all.push(...known[file]!.tests);
    Object.assign(whileLoaded, known[file]!.static);
  }
  return { tests: all, static: whileLoaded };
}

/** What became of mutants, by key. */
type Known = Record<string, MutantResult>;

const isFound = (result: MutantResult | undefined): boolean =>
  result?.status === "killed" || result?.status === "endless";

/** Tries those of a sample that no test is known to notice, and keeps what became of them. */
async function trySample(
  name: string,
  tests: readonly string[],
  { sample, contents }: { sample: readonly Mutant[]; contents: ReadonlyMap<string, string> },
  known: Known,
): Promise<void> {
  await copyTree();
  const ids = new Set(sample.map(({ id }) => id));
  for (const [file, content] of contents) {
    await Deno.writeTextFile(join(COPY, file), keepMutants(content, ids));
  }
  const files = filesIn(tests, "_test.ts").filter((file) => !LEFT_OUT.includes(file));
  const runner = new Runner(COPY, "scripts/mutation/runner.ts", files);
  const dry = await dryRun(runner, name, sample.map(({ id, key }) => `${id}\n${key}`).join("\n"));
  for (const { file, name } of dry.tests.filter(({ passed }) => !passed)) {
    console.log(`left out, since it fails without a mutant: ${file}: ${name}`);
  }
  const seconds = dry.tests.reduce((sum, each) => sum + each.seconds, 0);
  console.log(`${dry.tests.length} tests without a mutant: ${seconds.toFixed(0)} s`);

  const search = new Search(runner, dry);
  for (const [i, mutant] of sample.entries()) {
    const before = known[mutant.key];
    if (isFound(before)) continue;
    const neighbours = new Set(sample.filter(({ file }) => file === mutant.file).map((m) => m.id));
    const result = await search.try(mutant, neighbours);
    // Other tests may have reached it before.
    if (before === undefined || result.status !== "uncovered") known[mutant.key] = result;
    await writeFile(join(BUILD, `${name}.json`), JSON.stringify(known, null, 1));
    const { status, file, line, mutator, from, to, by } = result;
    const change = `${mutator} ${from.slice(0, 40)} -> ${to.slice(0, 40)}`;
    console.log(`${i + 1}/${sample.length} ${status} ${file}:${line} ${change} (${by})`);
  }
  runner.end();
}

/** Records what became of a group's sample; false where something is wrong with it. */
async function record(name: string, own: RecordedGroup): Promise<boolean> {
  const recorded: Recorded = { ...await readJson(RECORD), [name]: own };
  const reasons = await readReasons();
  await writeFile(RECORD, `${JSON.stringify(recorded, null, 2)}\n`);
  const page = await Deno.readTextFile(PAGE);
  const block = renderMutation(recorded, reasons);
  await writeFile(PAGE, replaceBlock("docs/mutation.md", page, "mutation", block));
  const problems = problemsOf({ [name]: own }, reasons);
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

const { values, positionals: [name = ""] } = readArguments(
  "deno task mutate kernels|runtime|readers [--sample N] [--seed S] [--tests PATHS] [--record]",
  {
    sample: { type: "string", default: "250" },
    seed: { type: "string", default: "1" },
    tests: { type: "string" },
    record: { type: "boolean", default: false },
  },
  1,
);
const group = GROUPS[name];
if (group === undefined) {
  console.error(`expected one of ${Object.keys(GROUPS).join(", ")}, got ${name}`);
  process.exit(2);
}
const { mutants, contents } = await instrument(ROOT, filesIn(group.sources, ".ts"));
const sample = sampleOf(mutants, Number(values.sample), values.seed);
const known: Known = await readJson(join(BUILD, `${name}.json`)) ?? {};
if (!values.record) {
  await trySample(name, values.tests?.split(",") ?? group.tests, { sample, contents }, known);
}
const results = sample.flatMap((mutant) => {
  const result = known[mutant.key];
  return result === undefined ? [] : [{ ...result, line: mutant.line }];
});
const counts = Object.groupBy(results, ({ status }) => status);
console.log(
  `${mutants.length} mutants in all, ${results.length} of ${sample.length} tried: ` +
    Object.entries(counts).map(([status, own]) => `${own!.length} ${status}`).join(", "),
);
if (values.record && !await record(name, recordGroup(results, mutants.length, values.seed))) {
  process.exit(1);
}
