/**
 * Line coverage recorded by Deno's `--coverage`.
 *
 * @module
 */
import { relative } from "node:path";

/** The executed lines of each file below `root`, by its path from there. */
export async function linesOf(folder: string, root: string): Promise<Record<string, number[]>> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["coverage", "--lcov", folder],
    env: { NO_COLOR: "1" },
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  const found: Record<string, number[]> = {};
  for (const record of new TextDecoder().decode(stdout).split("end_of_record")) {
    const source = /^SF:(.*)$/m.exec(record)?.[1];
    if (source === undefined) continue;
    const path = relative(root, source);
    if (path.startsWith("..")) continue;
    const runs = [...record.matchAll(/^DA:(\d+),(\d+)/gm)];
    found[path] = runs.filter(([, , count]) => Number(count) > 0).map(([, line]) => Number(line));
  }
  return found;
}
