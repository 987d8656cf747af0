/**
 * Coverage recorded by Deno's `--coverage`, by sources.
 *
 * @module
 */
import { promisify } from "node:util";
import { join, relative } from "node:path";
import parse from "lcov-parse";

/** A file's record, as lcov-parse gives it. */
interface LcovFile {
  readonly file: string;
  readonly lines: { readonly details: { line: number; hit: number }[] };
  readonly functions: { readonly details: { name: string; line: number; hit?: number }[] };
  readonly branches: { readonly details: { line: number; taken: number }[] };
}

const readLcov: (file: string) => Promise<readonly LcovFile[]> = promisify(parse);

/** What was run of a file. */
export interface FileCoverage {
  /** How often each line was run that holds code, by its number from 1. */
  readonly lines: readonly { readonly line: number; readonly hit: number }[];
  /** How often each function was called. */
  readonly functions: readonly {
    readonly name: string;
    readonly line: number;
    readonly hit: number;
  }[];
  /** How often each branch was taken. */
  readonly branches: readonly { readonly line: number; readonly taken: number }[];
}

/** Files below `root`, by their paths from there, of a file that `deno coverage --lcov` wrote. */
export async function readCoverage(
  file: string,
  root: string,
): Promise<Map<string, FileCoverage>> {
  const found = new Map<string, FileCoverage>();
  for (const each of await readLcov(file)) {
    const path = relative(root, each.file);
    if (path.startsWith("..")) continue;
    const { lines, functions, branches } = each;
    found.set(path, {
      lines: lines.details,
      functions: functions.details.map(({ name, line, hit }) => ({ name, line, hit: hit ?? 0 })),
      branches: branches.details,
    });
  }
  return found;
}

/**
 * The lines that were run of each file below `root`, by its path from there; `folder` is what
 * `--coverage` wrote.
 */
export async function linesOf(folder: string, root: string): Promise<Record<string, number[]>> {
  const file = join(folder, "all.lcov");
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["coverage", "--lcov", `--output=${file}`, folder],
    env: { NO_COLOR: "1" },
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  const files = await readCoverage(file, root);
  return Object.fromEntries([...files].map(([path, { lines }]) => [
    path,
    lines.filter(({ hit }) => hit > 0).map(({ line }) => line),
  ]));
}
