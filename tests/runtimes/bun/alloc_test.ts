import { fileURLToPath } from "node:url";
import { assertNoAllocation } from "../../bench/alloc_rows.ts";
import { BUN } from "../install.ts";

Deno.test("bench/alloc_steps.ts counts no byte a step in Bun, and sees a step that makes an object", async () => {
  const steps = fileURLToPath(new URL("../../../bench/alloc_steps.ts", import.meta.url));
  await assertNoAllocation("npx", ["-y", "-p", BUN, "bun", steps]);
});
