import { assertEquals } from "@std/assert";
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
