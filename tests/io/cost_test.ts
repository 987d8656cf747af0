import { assert } from "@std/assert";
import { fileURLToPath } from "node:url";

/** How many there are of something in a small file; the large one has four times as many. */
const COUNT = 50;

Deno.test("What is done with a file is in proportion to what it has many of", async (t) => {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      `--config=${fileURLToPath(new URL("../../deno.json", import.meta.url))}`,
      "--v8-flags=--no-opt,--no-maglev",
      fileURLToPath(new URL("cost_work.ts", import.meta.url)),
      `${COUNT}`,
    ],
    stderr: "inherit",
  }).output();
  assert(success);
  const worked: Record<string, [few: number, many: number]> = JSON.parse(
    new TextDecoder().decode(stdout),
  );
  assert(Object.keys(worked).length >= 10);
  for (const [name, [few, many]] of Object.entries(worked)) {
    await t.step(name, () => {
      assert(few > 0);
      assert(many < 4.2 * few, `${few} blocks ran for ${COUNT}, ${many} for four times as many`);
    });
  }
  await t.step("an empty tensor takes less than 200 blocks", () => {
    const [few, many] = worked["empty tensors"]!;
    // Two a character of punctuation, of which there are some 25.
    const each = (many - few) / (3 * COUNT);
    assert(each < 200, `${each}`);
  });
});
