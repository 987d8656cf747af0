import { assert, assertEquals } from "@std/assert";
import { instrument, keepMutants, sampleOf } from "../../scripts/mutation/mutants.ts";
import {
  changeOf,
  problemsOf,
  readReasons,
  type Recorded,
  recordGroup,
  renderMutation,
  unusedReasons,
} from "../../scripts/mutation/report.ts";
import { replaceBlock } from "../../scripts/page_block.ts";
import { fileURLToPath } from "node:url";

const read = (path: string) =>
  Deno.readTextFile(fileURLToPath(new URL(`../../${path}`, import.meta.url)));

const recorded: Recorded = JSON.parse(await read("bench/results/mutation.json"));

Deno.test("every survivor has a reason, every reason a survivor, and every group its score", async () => {
  const reasons = await readReasons();
  assert(recorded.runtime !== undefined);
  assertEquals(problemsOf(recorded, reasons), []);
  assertEquals(unusedReasons(recorded, reasons), []);
});

Deno.test("docs/mutation.md shows what was recorded", async () => {
  const page = await read("docs/mutation.md");
  const block = renderMutation(recorded, await readReasons());
  assertEquals(replaceBlock("docs/mutation.md", page, "mutation", block), page);
});

Deno.test("a survivor without a reason and a score that is too low are named", () => {
  const result = (status: "killed" | "survived", line: number) => ({
    ...{ key: `${line}`, file: "kernels/a.ts", line, code: "a < b", mutator: "EqualityOperator" },
    ...{ from: "a < b", to: "a <= b", status, by: "" },
  });
  const results = [
    ...Array.from({ length: 8 }, (_, i) => result("killed", i)),
    result("survived", 9),
  ];
  const kernels = recordGroup(results, 100, "1");
  assertEquals([kernels.tried, kernels.killed, kernels.survivors.length], [9, 8, 1]);
  assertEquals(kernels.folders, { kernels: { tried: 9, found: 8 } });
  assertEquals(problemsOf({ kernels }, {}), [
    "kernels: expected 90 %, got 88.9 %",
    'kernels/a.ts:9: no reason for "a < b => a <= b"',
  ]);
  const reasons = { "kernels/a.ts": { [changeOf(kernels.survivors[0]!)]: "the same" } };
  assertEquals(problemsOf({ kernels }, reasons), ["kernels: expected 90 %, got 88.9 %"]);
  assertEquals(unusedReasons({}, reasons), ["kernels/a.ts: a < b => a <= b"]);
});

Deno.test("a sample keeps its mutants of other files, and what is built in is the sample alone", async () => {
  const root = await Deno.makeTempDir();
  try {
    const first = "export const less = (a: number, b: number) => a < b;\n";
    const second = "export const sum = (a: number, b: number) => a + b > 0 ? a : b;\n";
    await Deno.writeTextFile(`${root}/a.ts`, first);
    await Deno.writeTextFile(`${root}/b.ts`, second);
    const before = await instrument(root, ["a.ts", "b.ts"]);
    await Deno.writeTextFile(`${root}/a.ts`, `export const one = 1;\n${first}`);
    const after = await instrument(root, ["a.ts", "b.ts"]);
    const names = ({ mutants }: typeof before) => sampleOf(mutants, 4, "1").map(({ key }) => key);
    assertEquals(names(before), names(after));
    const sample = sampleOf(after.mutants, 2, "1");
    const kept = [...after.contents.values()]
      .map((content) => keepMutants(content, new Set(sample.map(({ id }) => id))))
      .join("");
    const built = [...kept.matchAll(/stryMutAct_9fa48\("(\d+)"\)/g)].map(([, id]) => id!);
    assertEquals(built.sort(), sample.map(({ id }) => id).sort());
    assert(after.mutants.length > 6);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
