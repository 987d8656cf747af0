import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };

const ENTRIES = Object.values(config.exports).filter((path) => path.endsWith(".ts"))
  .map((path) => path.slice(2));

/** Paths of a list that are entry points, or the folder of one. */
const entriesOf = (paths: readonly string[]) =>
  ENTRIES.filter((entry) => paths.some((path) => entry === path || entry.startsWith(`${path}/`)));

Deno.test("every entry point is published, its examples run, its documentation is linted, the README tells of it", async () => {
  const read = (path: string) => Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
  assertEquals(entriesOf(config.publish.include), ENTRIES);
  assertEquals(entriesOf(config.tasks.doc.split(" ")), ENTRIES);
  const [linted] = /deno doc --lint .*/.exec(await read(".ci/run"))!;
  assertEquals(entriesOf(linted.split(" ")), ENTRIES);
  const readme = await read("README.md");
  const names = Object.keys(config.exports).filter((name) => !name.endsWith(".wasm"));
  assertEquals(names.filter((name) => !readme.includes(`\`${name.slice(1) || name}\``)), []);
});

/** What the main entry may export: what its users need every day, types included. */
const MAX_MAIN_NAMES = 110;

/** Names that an entry exports, values and types. */
async function namesOf(entry: string): Promise<string[]> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", entry],
    cwd: new URL("../../", import.meta.url),
    stderr: "null",
  }).output();
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: { name: string }[] }>;
  };
  const names = Object.values(nodes).flatMap(({ symbols }) => symbols.map(({ name }) => name));
  return [...new Set(names)].sort();
}

Deno.test("the main entry exports what is needed every day, and no more than that", async () => {
  const names = await namesOf("mod.ts");
  for (const name of ["LSTM", "quantize", "prepare", "convert", "saveModel", "compileModel"]) {
    assert(names.includes(name), name);
  }
  assert(
    names.length <= MAX_MAIN_NAMES,
    `${names.length} names, expected at most ${MAX_MAIN_NAMES}: others go to an entry of their own`,
  );
});

Deno.test("what the entries beside the main one export is not in the main one, too", async () => {
  const main = await namesOf("mod.ts");
  for (const entry of ["modules", "qconfig", "reference", "safetensors", "tune"]) {
    const names = await namesOf(`${entry}.ts`);
    assert(names.length > 0, entry);
    assertEquals(names.filter((name) => main.includes(name)), [], entry);
  }
});
