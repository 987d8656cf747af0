/**
 * Puts what the benches wrote into the README, between markers, so that no figure there is typed.
 *
 *     deno task readme             writes README.md
 *     deno task readme --check     fails if README.md is not what the recorded results make it
 */
import type { Cost } from "../bench/cost.ts";
import { readArguments } from "./arguments.ts";
import { writeFile } from "./write_file.ts";

const README = new URL("../README.md", import.meta.url);
const result = (name: string) =>
  Deno.readTextFileSync(new URL(`../bench/results/${name}`, import.meta.url)).trim();

/** A record that another part of the project writes, or undefined where it is not there yet. */
function optional(name: string): string | undefined {
  try {
    return result(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** One section of a page, without its heading. */
function section(page: string | undefined, heading: string): string | undefined {
  return page?.split(/^## /m).find((part) => part.startsWith(`${heading}\n`))?.slice(heading.length)
    .trim();
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

const { check } =
  readArguments("deno task readme [--check]", { check: { type: "boolean" } }).values;
const before = Deno.readTextFileSync(README);
let readme = before;
const sections: Record<string, string | undefined> = {
  accuracy: result("accuracy.md"),
  icu: optional("icu.md"),
  size: sizeTable(),
  cost: costTable(optional("cost.json")),
  cold: coldTable(optional("cold_start.json")),
  peers: section(optional("peers.md"), "In short"),
};
for (const [name, text] of Object.entries(sections)) {
  if (text === undefined) continue;
  const begin = `<!-- ${name}:begin -->`;
  const end = `<!-- ${name}:end -->`;
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end);
  if (from < 0 || to < from) throw new Error(`README.md: expected the markers ${begin} and ${end}`);
  readme = `${readme.slice(0, from + begin.length)}\n${text}\n${readme.slice(to)}`;
}
if (!check) {
  await writeFile(README, readme);
} else if (readme !== before) {
  console.error("readme: README.md is not what bench/results make it; run deno task readme");
  Deno.exit(1);
}
