// Cases that failed once, or that reach what others do not: each holds now, and comes out as it was kept.
import { assert, assertEquals } from "@std/assert";
import { keptFiles, readKeptFile } from "./kept.ts";
import { readReaching } from "./reaching.ts";
import { targetOf, TARGETS } from "./targets.ts";

const files = keptFiles();
const reaching = await readReaching();

for (const file of files) {
  Deno.test(`the kept case ${file} holds`, async () => {
    const kept = await readKeptFile(file);
    const { outcome } = await targetOf(kept.target).run(kept.case);
    if (kept.outcome !== "any") assertEquals(outcome, kept.outcome);
  });
}

for (const { name, run } of TARGETS) {
  Deno.test(`cases that run what no other does hold: ${name}`, async () => {
    for (const { target, case: one } of reaching) if (target === name) await run(one);
  });
}

Deno.test("every target has a kept case", () => {
  const kept = files.map((file) => file.replace(/-\w+\.json$/, ""));
  for (const { name } of TARGETS) assert(kept.includes(name), name);
});

Deno.test("a reader that fails without a name is found, and its file shrunk to the byte that does it", () => {
  const target = targetOf("npy");
  const one = { file: "npy", seed: 3 };
  // As if every file that differs in its first byte failed.
  const fails = (each: unknown) => {
    const { base64 } = each as { base64: string };
    return atob(base64).charCodeAt(0) !== 0x93;
  };
  const broken = { base64: btoa(`x${"y".repeat(9)}`) };
  assertEquals(target.smallest!(broken, fails), broken);
  const smallest = target.smallest!(one, () => true) as { base64: string };
  assert(smallest.base64.length > 0);
  // What makes no difference is put back: the valid file is left.
  assertEquals(atob(smallest.base64).slice(1, 6), "NUMPY");
});
