/**
 * One digest over the outputs of a fixed set of models and inputs: the same bytes in every runtime.
 *
 *     deno task digest             prints it; fails if it is not the recorded one, naming the cases that differ
 *     deno task digest --record    records it, after a change that means to change outputs
 */
import { simdKernels } from "@splitgate/splitgate/simd";
import { readArguments } from "./arguments.ts";
import { writeFile } from "./write_file.ts";
import { cases, digest, digestOfAll } from "../tests/runtimes/cases.ts";
import { packModelFiles } from "../tests/runtimes/model_files.ts";
import { type Expected, readThai } from "../tests/runtimes/suite.ts";

const { record } =
  readArguments("deno task digest [--record]", { record: { type: "boolean" } }).values;
const RECORD = new URL("../tests/runtimes/expected.json", import.meta.url);
const digests: Record<string, string> = {};
for (
  const { name, run } of cases(
    { ...readThai(new URL("../demo/data/", import.meta.url)), files: packModelFiles() },
    await simdKernels(),
  )
) {
  digests[name] = await digest(run());
}
const got: Expected = { all: await digestOfAll(digests), cases: digests };
console.log(got.all);
if (record) {
  await writeFile(RECORD, `${JSON.stringify(got, null, 2)}\n`);
} else {
  const expected: Expected = JSON.parse(Deno.readTextFileSync(RECORD));
  const names = new Set([...Object.keys(expected.cases), ...Object.keys(digests)]);
  const differ = [...names].filter((name) => expected.cases[name] !== digests[name]);
  if (differ.length > 0 || got.all !== expected.all) {
    console.error(`digest: expected ${expected.all}; these cases differ:\n${differ.join("\n")}`);
    Deno.exit(1);
  }
}
