/**
 * Heap measurement of a million steps in Deno and Node and a tenth of that in Bun, printed as a
 * table: `deno task bench:alloc`. Engines that are not on the path are left out. A number that an
 * engine boxes takes 12 bytes or more, so less than one byte a step is 0 steps that allocate.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";
import { readArguments } from "../scripts/arguments.ts";

readArguments("deno task bench:alloc", {});

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
// Deno and Bun run the sources themselves, Node 20 a bundle.
const source = here("./alloc_steps.ts");
const directory = Deno.makeTempDirSync();
const script = `${directory}/steps.mjs`;
await build({
  entryPoints: [source],
  bundle: true,
  format: "esm",
  outfile: script,
  logLevel: "error",
});
await stop();

// A young generation that no collection empties within the measurement.
const flags = "--expose-gc --max-semi-space-size=256 --min-semi-space-size=256".split(" ");
const engines: [name: string, command: string, args: string[]][] = [
  ["Deno", Deno.execPath(), [
    "run",
    "--no-check",
    "--allow-all",
    `--v8-flags=${flags.join(",")}`,
    source,
  ]],
  ["Node", "node", [...flags, script]],
  ["Bun", "bun", [source]],
];
const columns: [string, Record<string, number>][] = [];
for (const [name, command, args] of engines) {
  try {
    const { success, stdout, stderr } = new Deno.Command(command, { args }).outputSync();
    if (!success) throw new Error(`${name}: ${new TextDecoder().decode(stderr)}`);
    columns.push([name, JSON.parse(new TextDecoder().decode(stdout))]);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log(`${name} is not on the path`);
  }
}
Deno.removeSync(directory, { recursive: true });

console.log(`${"bytes a step".padEnd(32)}${columns.map(([name]) => name.padStart(9)).join("")}`);
let failed = false;
for (const row of Object.keys(columns[0]![1])) {
  console.log(
    row.padEnd(32) + columns.map(([, rows]) => rows[row]!.toFixed(2).padStart(9)).join(""),
  );
  const makes = row.startsWith("a step that makes");
  const idle = row.startsWith("nothing");
  for (const [, rows] of columns) {
    if (makes ? rows[row]! < 12 : !idle && rows[row]! >= 1) failed = true;
  }
}
if (failed) {
  console.log("a step allocates, or the measurement does not see it");
  Deno.exit(1);
}
