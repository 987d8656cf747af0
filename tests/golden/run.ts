/**
 * `deno task golden [DIR] [--table] [--update | --check]`: runs every golden file of
 * a directory.
 *
 * @module
 */
import { compareFiles, newOutcome, type Outcome, runFile } from "./runner.ts";
import { replaceBlock } from "../../scripts/page_block.ts";
import { writeFile } from "../../scripts/write_file.ts";
import { exactnessTable, notes } from "./table.ts";

const PAGE = "docs/exactness.md";

/** The golden files that are part of the repository. */
export const COMMITTED: URL = new URL("data/", import.meta.url);

/** Runs every golden file of a directory. */
export async function runDirectory(directory: string | URL): Promise<Outcome> {
  const outcome = newOutcome();
  const fail = (file: string, error: unknown) =>
    void outcome.failures.push({ file, name: "", reason: (error as Error).message });
  const files: string[] = [];
  try {
    for await (const { name } of Deno.readDir(directory)) {
      if (name.endsWith(".json")) files.push(name);
    }
  } catch (error) {
    fail(String(directory), error);
    return outcome;
  }
  if (files.length === 0) {
    fail(String(directory), new Error("no golden files, *.json, in this directory"));
  }
  const base = typeof directory === "string" ? `${directory}/` : directory;
  for (const file of files.sort(compareFiles)) {
    let text: string;
    try {
      text = await Deno.readTextFile(typeof base === "string" ? base + file : new URL(file, base));
    } catch (error) {
      fail(file, error);
      continue;
    }
    await runFile(file, text, outcome);
  }
  return outcome;
}

async function main(args: readonly string[]): Promise<number> {
  const flags = args.filter((arg) => arg.startsWith("--"));
  const directories = args.filter((arg) => !arg.startsWith("--"));
  const unknown = flags.find((flag) => !["--table", "--update", "--check"].includes(flag));
  if (unknown !== undefined || directories.length > 1) {
    console.error(`usage: deno task golden [DIR] [--table] [--update | --check]`);
    return 2;
  }
  const outcome = await runDirectory(directories[0] ?? COMMITTED);
  const { passed, failures, excused, tally } = outcome;
  if (flags.includes("--table")) console.log(exactnessTable(outcome));
  else for (const note of notes(tally)) console.log(note);
  let failed = failures.length;
  if (failures.length === 0 && (flags.includes("--update") || flags.includes("--check"))) {
    const url = new URL(`../../${PAGE}`, import.meta.url);
    const old = await Deno.readTextFile(url);
    const updated = replaceBlock(PAGE, old, "exactness", exactnessTable(outcome));
    if (flags.includes("--update")) await writeFile(url, updated);
    else if (old !== updated) {
      failed++;
      console.error(`FAILED ${PAGE}: its table is not the one of this run; run with --update`);
    }
  }
  for (const { file, name, allowed } of excused) {
    console.log(
      `differs as listed: ${file}: ${name}: ${allowed.reason} (${allowed.differs.join("; ")})`,
    );
  }
  for (const { file, name, reason } of failures) {
    console.error(`FAILED ${file}${name === "" ? "" : `: ${name}`}: ${reason}`);
  }
  console.log(`${tally.compared.toLocaleString("en-US")} values compared`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
