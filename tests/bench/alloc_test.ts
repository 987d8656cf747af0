import { assert } from "@std/assert";
import { fileURLToPath } from "node:url";

Deno.test("bench/alloc_steps.ts counts no byte a step in Deno, and sees a step that makes an object", async () => {
  const steps = fileURLToPath(new URL("../../bench/alloc_steps.ts", import.meta.url));
  const flags = "--v8-flags=--expose-gc,--max-semi-space-size=256,--min-semi-space-size=256";
  const args = ["run", "--no-check", "--allow-env", flags, steps, "100000"];
  // On a busy machine an engine may optimize late, and boxes numbers until then: a second look settles it.
  for (const last of [false, false, true]) {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    const rows = Object.entries(JSON.parse(new TextDecoder().decode(stdout) || "{}") as Record<string, number>);
    assert(rows.length > 5, new TextDecoder().decode(stderr));
    // A boxed number takes 12 bytes or more; below one byte a step, no step allocates.
    const wrong = rows.filter(([name, bytes]) => name.startsWith("a step that makes") ? bytes < 12 : bytes >= 1);
    if (wrong.length === 0) return;
    assert(!last, JSON.stringify(wrong));
  }
});
