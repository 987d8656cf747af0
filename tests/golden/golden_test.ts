import { assert, assertEquals } from "@std/assert";
import { COMMITTED } from "./run.ts";
import { newOutcome, runFile } from "./runner.ts";

const files = [...Deno.readDirSync(COMMITTED)].map(({ name }) => name).filter((name) =>
  name.endsWith(".json")
);

for (const file of files.sort()) {
  Deno.test(`golden ${file} equals torch 2.8.0`, async () => {
    const outcome = newOutcome();
    await runFile(file, await Deno.readTextFile(new URL(file, COMMITTED)), outcome);
    assertEquals(outcome.failures, []);
    assert(outcome.passed > 0);
  });
}
