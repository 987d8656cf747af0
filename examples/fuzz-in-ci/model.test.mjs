// For node --test, bun test and deno test; in Vitest `test` comes from "vitest".
import { rejects } from "node:assert/strict";
import test from "node:test";
import { checkModel } from "./check.mjs";

const MODEL = new URL("../model/motion.safetensors", import.meta.url);

test("the deployed model keeps its promises", { timeout: 120_000 }, () => checkModel(MODEL));

test("a file that is no model is named, not fuzzed", async () => {
  await rejects(checkModel(new URL("package.json", import.meta.url)), /safetensors file/);
});
