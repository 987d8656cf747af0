/**
 * Which lines and branches of kernels, running halves and readers the kept cases of fuzzing run.
 * Every branch and function that none of them runs is listed with its reason
 * in `tests/fuzz/unreached.json`; another one is an error, and so is one that is run by now.
 *
 *     deno task fuzz:coverage             fails where that list is not right
 *     deno task fuzz:coverage --update    writes it, with reasons left empty for new entries
 *     deno task fuzz:coverage --record    puts figures into bench/results/coverage.json
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readArguments } from "../../scripts/arguments.ts";
import { type FileCoverage, readCoverage } from "../../scripts/lcov.ts";
import { writeFile } from "../../scripts/write_file.ts";
import { WATCHED } from "./reached.ts";
import type { CoverageRecord } from "./record.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** What `deno coverage --lcov` makes of a run of `reach.ts`. */
const LCOV = new URL("../../build/fuzz.lcov", import.meta.url);
const LIST = new URL("unreached.json", import.meta.url);
const RECORD = new URL("../../bench/results/coverage.json", import.meta.url);

/** Reasons of what is not run, by file, then by function and line of code. */
type Unreached = Record<string, Record<string, string>>;

/** What nothing runs of a file, as {@linkcode Unreached} names it: lines move, their text seldom. */
function unreachedOf(source: string, { functions, branches }: FileCoverage): string[] {
  const lines = source.split("\n");
  const named = functions.toSorted((a, b) => a.line - b.line);
  const around = (line: number) => named.findLast((each) => each.line <= line)?.name ?? "";
  const found = [
    ...functions.filter(({ hit }) => hit === 0).map(({ name, line }) => ({ line, name, code: "" })),
    ...branches.filter(({ taken }) => taken === 0).map(({ line }) => ({
      line,
      name: around(line),
      code: `: ${lines[line - 1]!.trim()}`,
    })),
  ].toSorted((a, b) => a.line - b.line);
  return [...new Set(found.map(({ name, code }) => `${name}${code}`))];
}

/** All watched sources that hold code. */
async function* sources(folder: string): AsyncGenerator<string> {
  for await (
    const { name, isDirectory } of Deno.readDir(new URL(`../../${folder}`, import.meta.url))
  ) {
    if (isDirectory) yield* sources(`${folder}${name}/`);
    else if (name.endsWith(".ts")) yield folder + name;
  }
}

const share = (hit: number, found: number) => ({ hit, found });

/** Sums over the files of each watched folder. */
function summary(coverage: ReadonlyMap<string, FileCoverage>): CoverageRecord["parts"] {
  return Object.fromEntries(WATCHED.map((part) => {
    const files = [...coverage].filter(([path]) => path.startsWith(part)).map(([, each]) => each);
    const lines = files.flatMap((each) => each.lines);
    const branches = files.flatMap((each) => each.branches);
    const functions = files.flatMap((each) => each.functions);
    return [part, {
      lines: share(lines.filter(({ hit }) => hit > 0).length, lines.length),
      branches: share(branches.filter(({ taken }) => taken > 0).length, branches.length),
      functions: share(functions.filter(({ hit }) => hit > 0).length, functions.length),
    }];
  }));
}

if (import.meta.main) {
  const { values } = readArguments("deno task fuzz:coverage [--update] [--record]", {
    update: { type: "boolean" },
    record: { type: "boolean" },
  });
  const listed: Unreached = JSON.parse(await Deno.readTextFile(LIST));
  const coverage = await readCoverage(fileURLToPath(LCOV), ROOT);
  const unreached: Unreached = {};
  for (const [path, each] of [...coverage].sort(([a], [b]) => a < b ? -1 : 1)) {
    if (!WATCHED.some((part) => path.startsWith(part))) continue;
    const source = await Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
    const codes = unreachedOf(source, each);
    if (codes.length === 0) continue;
    unreached[path] = Object.fromEntries(codes.map((code) => [code, listed[path]?.[code] ?? ""]));
  }
  for (const part of WATCHED.filter((each) => each.endsWith("/"))) {
    for await (const path of sources(part)) {
      if (!coverage.has(path)) console.log(`not loaded: ${path}`);
    }
  }
  const parts = summary(coverage);
  for (const [part, { lines, branches, functions }] of Object.entries(parts)) {
    const text = ({ hit, found }: { hit: number; found: number }) => `${hit} of ${found}`;
    console.log(
      `${part}: ${text(lines)} lines, ${text(branches)} branches, ${text(functions)} functions`,
    );
  }
  if (values.update) await writeFile(LIST, `${JSON.stringify(unreached, null, 2)}\n`);
  if (values.record) {
    const record: CoverageRecord = { date: new Date().toISOString().slice(0, 10), parts };
    await writeFile(RECORD, `${JSON.stringify(record, null, 2)}\n`);
  }
  let wrong = 0;
  const tell = (what: string, path: string, code: string) => {
    console.error(`${what}: ${path}: ${code}`);
    wrong++;
  };
  for (const [path, codes] of Object.entries(unreached)) {
    for (const [code, reason] of Object.entries(codes)) {
      if (reason === "") tell("no case runs this, and no reason is given", path, code);
    }
  }
  if (!values.update) {
    for (const [path, codes] of Object.entries(listed)) {
      for (const code of Object.keys(codes)) {
        if (unreached[path]?.[code] === undefined) {
          tell("listed as run by no case, and it is run, or is gone", path, code);
        }
      }
    }
  }
  if (wrong > 0) {
    console.error(`deno task fuzz:grow looks for cases; deno task fuzz:coverage --update lists`);
    process.exit(1);
  }
}
