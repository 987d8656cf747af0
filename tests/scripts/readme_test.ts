import { assertEquals } from "@std/assert";

const read = (path: string) => Deno.readTextFile(new URL(`../../${path}`, import.meta.url));

Deno.test("the README's table of tasks has every task of deno.json and no other", async () => {
  const { tasks } = JSON.parse(await read("deno.json")) as { tasks: Record<string, string> };
  const [, development] = (await read("README.md")).split("\n## Development\n");
  const rows = development!.split("\n").filter((line) => line.startsWith("| `"));
  const named = rows.flatMap((row) =>
    [...row.split("|")[1]!.matchAll(/`([\w:]+)/g)].map(([, name]) => name!)
  );
  assertEquals(named.toSorted(), Object.keys(tasks).toSorted());
});
