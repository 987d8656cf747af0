import { assertEquals } from "@std/assert";

const read = (path: string) => Deno.readTextFile(new URL(`../../${path}`, import.meta.url));

Deno.test("the table of tasks in CONTRIBUTING.md has every task of deno.json and no other", async () => {
  const { tasks } = JSON.parse(await read("deno.json")) as { tasks: Record<string, string> };
  const [, tasksSection] = (await read("CONTRIBUTING.md")).split("\n## Tasks\n");
  const rows = tasksSection!.split("\n").filter((line) => line.startsWith("| `"));
  const named = rows.flatMap((row) =>
    [...row.split("|")[1]!.matchAll(/`([\w:]+)/g)].map(([, name]) => name!)
  );
  assertEquals(named.toSorted(), Object.keys(tasks).toSorted());
});
