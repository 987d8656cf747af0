/**
 * What `--coverage` of Deno recorded, by the lines and branches of sources.
 *
 * @module
 */
import { relative } from "node:path";

/** A file's lines and branches. */
export interface FileCoverage {
  /** Times that each line was run, by its number from 1. */
  readonly lines: Readonly<Record<number, number>>;
  /** Branches, each by its line, its number and how often it was taken. */
  readonly branches: readonly {
    readonly line: number;
    readonly branch: string;
    readonly taken: number;
  }[];
}

/** Reads a folder of profiles: files below `root`, by their paths from there. */
export async function readCoverage(
  folder: string,
  root: string,
): Promise<Map<string, FileCoverage>> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["coverage", "--lcov", folder],
    env: { NO_COLOR: "1" },
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  const found = new Map<string, FileCoverage>();
  for (const record of new TextDecoder().decode(stdout).split("end_of_record")) {
    const source = /^SF:(.*)$/m.exec(record)?.[1];
    if (source === undefined) continue;
    const path = relative(root, source);
    if (path.startsWith("..")) continue;
    const lines: Record<number, number> = {};
    for (const [, line, count] of record.matchAll(/^DA:(\d+),(\d+)/gm)) {
      lines[Number(line)] = Number(count);
    }
    const branches = [...record.matchAll(/^BRDA:(\d+),(\d+),(\d+),(-|\d+)$/gm)]
      .map(([, line, block, branch, taken]) => ({
        line: Number(line),
        branch: `${block}.${branch}`,
        taken: taken === "-" ? 0 : Number(taken),
      }));
    found.set(path, { lines, branches });
  }
  return found;
}

/** The lines that were run, by file. */
export async function linesOf(folder: string, root: string): Promise<Record<string, number[]>> {
  const files = await readCoverage(folder, root);
  return Object.fromEntries([...files].map(([path, { lines }]) => [
    path,
    Object.entries(lines).filter(([, count]) => count > 0).map(([line]) => Number(line)),
  ]));
}
