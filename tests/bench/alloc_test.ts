import { fileURLToPath } from "node:url";
import { assertNoAllocation } from "./alloc_rows.ts";

Deno.test("bench/alloc_steps.ts counts no byte a step in Deno, and sees a step that makes an object", async () => {
  const steps = fileURLToPath(new URL("../../bench/alloc_steps.ts", import.meta.url));
  const flags = "--v8-flags=--expose-gc,--max-semi-space-size=256,--min-semi-space-size=256";
  await assertNoAllocation(Deno.execPath(), [
    "run",
    "--no-check",
    "--allow-env",
    flags,
    steps,
    "100000",
  ]);
});
