/**
 * Mutation testing: changes of the sources, each of which some test should notice. Stryker's
 * instrumenter makes the mutants; a seeded sample of them is tried, one at a time, in a copy of the
 * sources, with the test files that reach the changed line, those first that notice most.
 *
 *     deno task mutate GROUP [--sample N] [--seed S] [--only FILE]
 *
 * GROUP is one of `kernels`, `runtime` and `readers`. Results are kept in `build/mutation` as they
 * come, and go on from there; `--record` puts them into `bench/results/mutation.json`.
 *
 * @module
 */
import process from "node:process";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Instrumenter } from "@stryker-mutator/instrumenter";
import { generator } from "../src/testing/random.ts";
import { readArguments } from "./arguments.ts";
import { linesOf } from "./lcov.ts";
import { writeFile } from "./write_file.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const BUILD = join(ROOT, "build/mutation");
const COPY = join(BUILD, "copy");

/** What is mutated together, and the tests that may notice it. */
interface Group {
  /** Folders of sources. */
  readonly sources: readonly string[];
  /** Folders and files of tests. */
  readonly tests: readonly string[];
}

const SHARED_TESTS = [
  ...["tests/runtime", "tests/simd", "tests/modules", "tests/fuzz/corpus_test.ts"],
  ...["tests/testing/fuzz_model_test.ts", "tests/authoring/graph_forms_test.ts"],
];

const GROUPS: Readonly<Record<string, Group>> = {
  kernels: {
    sources: ["kernels"],
    tests: ["tests/kernels", "tests/oracle", "tests/cells", "tests/reference", ...SHARED_TESTS],
  },
  runtime: { sources: ["src/runtime"], tests: SHARED_TESTS },
  readers: {
    sources: ["src/io"],
    tests: ["tests/io", "tests/fuzz/corpus_test.ts", "tests/modules", "tests/runtime"],
  },
};

/** Mutators that are left out: what a message says is read by people, not by tests. */
const EXCLUDED = ["StringLiteral"];

/** A change of a source, as Stryker describes it; lines and columns count from 0. */
interface Mutant {
  readonly id: string;
  readonly fileName: string;
  readonly mutatorName: string;
  readonly replacement: string;
  readonly location: { readonly start: Position; readonly end: Position };
}

interface Position {
  readonly line: number;
  readonly column: number;
}

/** What became of a mutant. */
export interface MutantResult {
  /** The file, and line and column from 1. */
  readonly at: string;
  readonly mutator: string;
  readonly from: string;
  readonly to: string;
  readonly status: "killed" | "timeout" | "survived" | "uncovered";
  /** The test file that noticed it, or how many were run. */
  readonly by: string | number;
}

/** A test file: what it costs, and which lines of sources it reaches. */
interface TestFile {
  readonly seconds: number;
  readonly lines: Readonly<Record<string, readonly number[]>>;
}

/** Seconds of a processor that a test file may take more than without a mutant, and its factor. */
const MORE_SECONDS = 10;
const MORE_TIMES = 4;

/** Seconds of a processor, without a mutant, of the test files that are run for one at most. */
const MAX_SECONDS = 25;

/** The files below some folders, or those files. */
function filesIn(paths: readonly string[], ending: string): string[] {
  const visit = (path: string): string[] =>
    Deno.statSync(join(ROOT, path)).isFile
      ? [path]
      : [...Deno.readDirSync(join(ROOT, path))].flatMap(({ name }) => visit(`${path}/${name}`));
  return paths.flatMap(visit).filter((path) => path.endsWith(ending)).sort();
}

/** Copies the sources to where they are mutated. */
async function copyTree(): Promise<void> {
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

/** What running a test file came to. */
interface Run {
  readonly passed: boolean;
  readonly timeout: boolean;
  readonly seconds: number;
}

/** Processor seconds that `time` wrote last. */
const TIMES = /user ([\d.]+)\nsys ([\d.]+)\s*$/;

/** Runs a test file in the copy, within some seconds of a processor. */
async function runTest(file: string, limit: number, args: readonly string[] = []): Promise<Run> {
  const command = [Deno.execPath(), "test", "-A", "--no-check", "--fail-fast", ...args, file];
  const quoted = command.map((each) => `'${each}'`).join(" ");
  const { code, stderr } = await new Deno.Command("bash", {
    args: ["-c", `ulimit -t ${Math.ceil(limit)}; time -p ${quoted} >/dev/null 2>/dev/null`],
    cwd: COPY,
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  const [, user = "0", system = "0"] = TIMES.exec(new TextDecoder().decode(stderr)) ?? [];
  const seconds = Number(user) + Number(system);
  return { passed: code === 0, timeout: code !== 0 && seconds >= limit - 1, seconds };
}

/** Measures what each test file costs and reaches; known ones are not run again. */
async function measureTests(files: readonly string[]): Promise<Map<string, TestFile>> {
  const path = join(BUILD, "tests.json");
  const known: Record<string, TestFile> = await readJson(path) ?? {};
  for (const file of files) {
    if (known[file] !== undefined) continue;
    const folder = join(BUILD, "coverage");
    await Deno.remove(folder, { recursive: true }).catch(() => {});
    const { passed, seconds } = await runTest(file, 600, [`--coverage=${folder}`]);
    if (!passed) {
      console.log(`${file}: fails without a mutant, and is left out`);
      continue;
    }
    known[file] = { seconds, lines: await linesOf(folder, COPY) };
    await writeFile(path, JSON.stringify(known));
    console.log(`${file}: ${seconds.toFixed(1)} s`);
  }
  return new Map(files.flatMap((file) => known[file] === undefined ? [] : [[file, known[file]]]));
}

async function readJson<T>(path: string): Promise<T | null> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** All mutants of some sources. */
async function mutantsOf(sources: readonly string[]): Promise<Mutant[]> {
  const silent = () => {};
  const logger = {
    ...{ trace: silent, debug: silent, info: silent, warn: silent, error: silent, fatal: silent },
    isDebugEnabled: () => false,
  };
  const instrumenter = new Instrumenter(logger as unknown as never);
  const files = await Promise.all(sources.map(async (name) => ({
    name: join(ROOT, name),
    mutate: true,
    content: await Deno.readTextFile(join(ROOT, name)),
  })));
  const { mutants } = await instrumenter.instrument(files, {
    plugins: null,
    excludedMutations: EXCLUDED,
    ignorers: [],
  });
  return mutants as unknown as Mutant[];
}

/** The same permutation for the same seed. */
function shuffled<T>(values: readonly T[], seed: number): T[] {
  const out = [...values];
  const draw = generator(seed);
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(draw(0, i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** Where a position is in a text. */
function offsetOf(text: string, { line, column }: Position): number {
  let at = 0;
  for (let i = 0; i < line; i++) at = text.indexOf("\n", at) + 1;
  return at + column;
}

/** How often test files were run with a mutant, and noticed it. */
type Noticed = Map<string, { runs: number; kills: number }>;

/** Tries a mutant. */
async function tryMutant(
  { fileName, location, replacement, mutatorName }: Mutant,
  tests: ReadonlyMap<string, TestFile>,
  noticed: Noticed,
): Promise<MutantResult> {
  const source = relative(ROOT, fileName);
  const text = await Deno.readTextFile(join(ROOT, source));
  const from = offsetOf(text, location.start);
  const to = offsetOf(text, location.end);
  const line = location.start.line + 1;
  const end = location.end.line + 1;
  const about = {
    at: `${source}:${line}:${location.start.column + 1}`,
    mutator: mutatorName,
    from: text.slice(from, to),
    to: replacement,
  };
  const own = basename(source, ".ts");
  // What notices most mutants a second first; a source's own tests before all.
  const gain = ([file, { seconds }]: readonly [string, TestFile]): number => {
    if (basename(file) === `${own}_test.ts`) return Infinity;
    const { runs, kills } = noticed.get(file) ?? { runs: 0, kills: 0 };
    return (kills + 0.5) / (runs + 1) / (seconds + 0.5);
  };
  const reaching = [...tests]
    .filter(([, { lines }]) => lines[source]?.some((each) => each >= line && each <= end))
    .sort((a, b) => gain(b) - gain(a) || 0);
  if (reaching.length === 0) return { ...about, status: "uncovered", by: 0 };
  await Deno.writeTextFile(
    join(COPY, source),
    `${text.slice(0, from)}${replacement}${text.slice(to)}`,
  );
  try {
    let spent = 0;
    let count = 0;
    for (const [file, { seconds }] of reaching) {
      if (spent + seconds > MAX_SECONDS && count > 0) break;
      const run = await runTest(file, MORE_SECONDS + MORE_TIMES * seconds);
      const { runs, kills } = noticed.get(file) ?? { runs: 0, kills: 0 };
      noticed.set(file, { runs: runs + 1, kills: kills + (run.passed ? 0 : 1) });
      if (!run.passed) return { ...about, status: run.timeout ? "timeout" : "killed", by: file };
      spent += seconds;
      count++;
    }
    return { ...about, status: "survived", by: count };
  } finally {
    await Deno.writeTextFile(join(COPY, source), text);
  }
}

const { values, positionals: [name = ""] } = readArguments(
  "deno task mutate kernels|runtime|readers [--sample N] [--seed S] [--only FILE]",
  {
    sample: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
  1,
);
const group = GROUPS[name];
if (group === undefined) {
  console.error(`expected one of ${Object.keys(GROUPS).join(", ")}, got ${name}`);
  process.exit(2);
}
await copyTree();
const tests = await measureTests(filesIn(group.tests, "_test.ts"));
const all = await mutantsOf(filesIn(group.sources, ".ts"));
const sample = shuffled(all, Number(values.seed)).slice(0, Number(values.sample))
  .filter(({ fileName }) => fileName.includes(values.only));
const noticed: Noticed = new Map();
const path = join(BUILD, `${name}.json`);
const results: Record<string, MutantResult> = await readJson(path) ?? {};
for (const [i, mutant] of sample.entries()) {
  const { fileName, location: { start }, mutatorName, replacement } = mutant;
  const key = [relative(ROOT, fileName), start.line, start.column, mutatorName, replacement]
    .join(" ");
  if (results[key] === undefined) {
    results[key] = await tryMutant(mutant, tests, noticed);
    await writeFile(path, JSON.stringify(results, null, 1));
  }
  const { at, status, by, mutator, to } = results[key]!;
  console.log(`${i + 1}/${sample.length} ${status} ${at} ${mutator} ${to.slice(0, 60)} (${by})`);
}
const counts = Object.groupBy(Object.values(results), ({ status }) => status);
console.log(
  `${all.length} mutants in all, ${Object.keys(results).length} tried: ` +
    Object.entries(counts).map(([status, own]) => `${own!.length} ${status}`).join(", "),
);
