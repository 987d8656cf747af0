import expected from "./expected.json" with { type: "json" };
import { packModelFiles } from "./model_files.ts";
import { readThai, suite } from "./suite.ts";

await suite(Deno.test, {
  ...readThai(new URL("../../demo/data/", import.meta.url)),
  files: packModelFiles(),
}, expected);
