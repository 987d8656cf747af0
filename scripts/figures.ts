/**
 * Puts what the benches recorded into the pages, between markers, so that no figure there is typed.
 *
 *     deno task figures             writes README.md and the pages in docs/
 *     deno task figures --check     fails if a page is not what the recorded results make it
 */
import type { Cost } from "../bench/cost.ts";
import {
  byProblem,
  COLUMNS,
  ownName,
  PORTABLE,
  type Run,
  SIMD,
  summary,
} from "../bench/peers/report.ts";
import type { CoverageRecord, FuzzRecord, Share } from "../tests/fuzz/record.ts";
import { readArguments } from "./arguments.ts";
import { replaceBlock } from "./page_block.ts";
import { writeFile } from "./write_file.ts";

const result = (name: string) =>
  Deno.readTextFileSync(new URL(`../bench/results/${name}`, import.meta.url)).trim();

/** A recorded result of another part of the project; undefined if it does not exist yet. */
function optional(name: string): string | undefined {
  try {
    return result(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function sizeTable(): string {
  const sizes: Record<string, { minified: number; gzipped: number }> = JSON.parse(
    result("size.json"),
  );
  const rows = Object.entries(sizes).map(([entry, { minified, gzipped }]) =>
    `| \`${entry}\` | ${minified.toLocaleString("en-US")} | ${gzipped.toLocaleString("en-US")} |`
  );
  return ["| entry point | bytes minified | gzipped |", "| --- | --- | --- |", ...rows].join("\n");
}

function costTable(record: string | undefined): string | undefined {
  if (record === undefined) return undefined;
  const { lines }: Cost = JSON.parse(record);
  const rows = lines.map(
    ({ panel, kernels, xTitle, yTitle, slope, intercept, rSquared, largestDeviation }) => {
      const line = `${yTitle} = ${intercept.toFixed(2)} + ${slope.toPrecision(3)} · ${xTitle}`
        .replace("+ -", "- ");
      return `| ${panel} | ${kernels} | ${line} | ${rSquared.toFixed(5)} | ${
        (100 * largestDeviation).toFixed(1)
      } % |`;
    },
  );
  return [
    "| what varies | kernels | line | r² | furthest point |",
    "| --- | --- | --- | ---: | ---: |",
    ...rows,
  ].join(
    "\n",
  );
}

/** One row of bench/results/cold_start.json. */
interface ColdStart {
  readonly runtime: string;
  readonly program: string;
  readonly overBareMs: number;
  readonly overBareLeastMs: number;
}

function coldTable(record: string | undefined): string | undefined {
  if (record === undefined) return undefined;
  const { rows }: { rows: ColdStart[] } = JSON.parse(record);
  const runtimes = [...new Set(rows.map(({ runtime }) => runtime))];
  const table = [...new Set(rows.map(({ program }) => program))].map((program) => {
    const cells = runtimes.map((runtime) => {
      const row = rows.find((row) => row.runtime === runtime && row.program === program);
      return row ? `${row.overBareMs} (${row.overBareLeastMs})` : "";
    });
    return `| ${[program, ...cells].join(" | ")} |`;
  });
  const head = `| program | ${runtimes.join(" | ")} |`;
  return [head, `| --- |${" ---: |".repeat(runtimes.length)}`, ...table].join("\n");
}

/**
 * Runs of `deno task fuzz`: the readers and what they read, then the invariants over all targets.
 */
function fuzzTable(record: string | undefined): string | undefined {
  if (record === undefined) return undefined;
  const records: Record<string, FuzzRecord> = JSON.parse(record);
  const number = (n: number) => n.toLocaleString("en-US");
  const invariants: Record<string, { count: number; seeds: Set<number>; dates: Set<string> }> = {};
  const targets: string[] = [];
  for (const [name, { date, seed, outcomes, counts }] of Object.entries(records)) {
    const total = Object.values(outcomes).reduce((a, b) => a + b, 0);
    const parts = Object.entries(outcomes).sort().map(([what, n]) => `${number(n)} ${what}`);
    targets.push(`| \`${name}\` | ${number(total)} (${parts.join(", ")}) | ${seed} | ${date} |`);
    for (const [what, count] of Object.entries(counts)) {
      if (what === name) continue;
      const own = invariants[what] ??= { count: 0, seeds: new Set(), dates: new Set() };
      own.count += count;
      own.seeds.add(seed);
      own.dates.add(date);
    }
  }
  const rows = Object.entries(invariants).map(([what, { count, seeds, dates }]) =>
    `| \`${what}\` | ${number(count)} | ${[...seeds].join(", ")} | ${[...dates].join(", ")} |`
  );
  return [
    "| invariant | cases held | seed | date |",
    "| --- | ---: | ---: | --- |",
    ...rows,
    "",
    "| target | cases | seed | date |",
    "| --- | --- | ---: | --- |",
    ...targets,
  ].join("\n");
}

/** What the kept cases of fuzzing run. */
function coverageTable(record: string | undefined): string | undefined {
  if (record === undefined) return undefined;
  const { parts }: CoverageRecord = JSON.parse(record);
  const text = ({ hit, found }: Share) =>
    `${hit.toLocaleString("en-US")} of ${found.toLocaleString("en-US")}`;
  return [
    "| sources | lines | branches | functions |",
    "| --- | ---: | ---: | ---: |",
    ...Object.entries(parts).map(([part, { lines, branches, functions }]) =>
      `| \`${part}\` | ${text(lines)} | ${text(branches)} | ${text(functions)} |`
    ),
  ].join("\n");
}

/** Peers in the README's table; the recommended preset comes first. */
const SHOWN = [SIMD, PORTABLE, ownName("simd", "fbgemm"), "onnxruntime-web float32", "ncnn int8"];

/** The README's table: one LSTM layer, real inputs and outputs. */
function speedTable(record: string | undefined): string | undefined {
  if (record === undefined) return undefined;
  const { rows }: Run = JSON.parse(record);
  return `${COLUMNS}\n\n${summary(rows.filter(({ problem }) => problem === "lstm"), SHOWN)}`;
}

/** Every peer of each problem, in Deno or where it runs. */
function peersTables(record: string | undefined): string | undefined {
  if (record === undefined) return undefined;
  const { rows }: Run = JSON.parse(record);
  const tables = byProblem(rows).map(({ title, rows }) => `### ${title}\n\n${summary(rows)}`);
  return [COLUMNS, ...tables].join("\n\n");
}

const { check } =
  readArguments("deno task figures [--check]", { check: { type: "boolean" } }).values;
const tables: Record<string, string | undefined> = {
  accuracy: result("accuracy.md"),
  icu: optional("icu.md"),
  size: sizeTable(),
  cost: costTable(optional("cost.json")),
  fuzz: fuzzTable(optional("fuzz.json")),
  coverage: coverageTable(optional("coverage.json")),
  cold: coldTable(optional("cold_start.json")),
  peers: peersTables(optional("peers.json")),
  speed: speedTable(optional("peers.json")),
};
/** The tables on each page. */
const PAGES: Record<string, readonly string[]> = {
  "README.md": ["speed"],
  "docs/accuracy.md": ["accuracy"],
  "docs/testing.md": ["fuzz", "coverage"],
  "docs/performance.md": ["peers", "cost", "icu", "cold", "size"],
};
const stale: string[] = [];
for (const [page, names] of Object.entries(PAGES)) {
  const url = new URL(`../${page}`, import.meta.url);
  const before = Deno.readTextFileSync(url);
  const after = names.reduce((text, name) => replaceBlock(page, text, name, tables[name]), before);
  if (after === before) continue;
  stale.push(page);
  if (!check) await writeFile(url, after);
}
if (check && stale.length > 0) {
  console.error(
    `figures: ${stale.join(", ")}: not what bench/results make it; run deno task figures`,
  );
  Deno.exit(1);
}
