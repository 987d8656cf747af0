import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Allowed } from "./allowlist.ts";
import { runDirectory } from "./run.ts";
import { newOutcome, type Outcome, runFile } from "./runner.ts";
import { exactnessTable } from "./table.ts";

const meta = { torch: "2.8.0" };
const golden = {
  op: "requantize",
  x: {
    shape: [2],
    dtype: "quint8",
    qscheme: "per_tensor",
    scale: 0.5,
    zero_point: 10,
    ints: [12, 16],
  },
  y: { shape: [2], dtype: "quint8", qscheme: "per_tensor", scale: 1, zero_point: 0, ints: [1, 3] },
};

async function run(
  value: unknown,
  file = "ops_quantize.json",
  allowlist: readonly Allowed[] = [],
): Promise<Outcome> {
  const outcome = newOutcome();
  await runFile(
    file,
    typeof value === "string" ? value : JSON.stringify(value),
    outcome,
    allowlist,
  );
  return outcome;
}

async function reason(
  value: unknown,
  file?: string,
  allowlist?: readonly Allowed[],
): Promise<string> {
  const { failures } = await run(value, file, allowlist);
  assertEquals(failures.length, 1);
  return `${failures[0]!.file}: ${failures[0]!.name}: ${failures[0]!.reason}`;
}

/** The case with a part replaced. */
function changed(part: "x" | "y", key: string, value: unknown): unknown {
  return { meta, cases: [{ ...golden, [part]: { ...golden[part], [key]: value } }] };
}

Deno.test("runFile() counts values and passes when all are equal", async () => {
  const outcome = await run({ meta, cases: [golden] });
  assertEquals([outcome.passed, outcome.failures, outcome.tally.compared], [1, [], 2]);
  assertStringIncludes(exactnessTable(outcome), "| 2 | all equal |");
});

Deno.test("runFile() fails with the place and both values when an integer differs", async () => {
  assertStringIncludes(
    await reason(changed("y", "ints", [1, 4])),
    "1 of 2 values differ: y[1]: torch 4, here 3",
  );
});

Deno.test("runFile() fails with the file's name and the reason when the file is malformed", async () => {
  const whole = JSON.stringify({ meta, cases: [golden] });
  assertMatch(await reason(whole.slice(0, -5)), /^ops_quantize.json: : not JSON, or cut off: /);
  assertStringIncludes(await reason(""), "not JSON, or cut off");
  assertStringIncludes(await reason([]), "expected an object, got []");
  assertStringIncludes(await reason({ cases: [golden] }), "meta: expected a value, got nothing");
  assertStringIncludes(await reason({ meta }), "cases: expected a value, got nothing");
  assertStringIncludes(await reason({ meta, cases: {} }), "cases: expected an array, got {}");
  assertStringIncludes(await reason({ meta, cases: [] }), "cases: expected 1 or more, got none");
  assertStringIncludes(await reason({ meta, cases: [7] }), "cases[0]: expected an object, got 7");
});

Deno.test("runFile() fails with the place when a value is malformed", async () => {
  assertStringIncludes(
    await reason(changed("x", "ints", [1])),
    "cases[0].x.ints: expected 2 integers, not 1, got [1]",
  );
  assertStringIncludes(
    await reason(changed("x", "ints", [1, 256])),
    "cases[0].x.ints[1]: expected an integer that quint8",
  );
  assertStringIncludes(
    await reason(changed("x", "ints", [1, "2"])),
    "cases[0].x.ints[1]: expected an integer",
  );
  assertStringIncludes(
    await reason(changed("x", "scale", -1)),
    "cases[0].x: scale: expected a positive float32",
  );
  assertStringIncludes(
    await reason(changed("x", "scale", null)),
    "cases[0].x.scale: expected a number, got null",
  );
  assertStringIncludes(
    await reason(changed("y", "dtype", "quint4")),
    "cases[0].y.dtype: expected quint8 or qint8",
  );
  assertStringIncludes(
    await reason(changed("y", "shape", [3])),
    "cases[0].y.ints: expected 3 integers",
  );
});

Deno.test("runFile() fails when the kind of a file or case is unknown", async () => {
  assertEquals(
    await reason({ meta, cases: [golden] }, "ops_convolution.json"),
    "ops_convolution.json: : a golden file of unknown kind",
  );
  assertStringIncludes(
    await reason({ meta, cases: [{ ...golden, op: "toString" }] }),
    "cases[0].op: expected one of quantize_per_tensor, ",
  );
});

Deno.test("runFile() excuses what the allowlist names, and only that", async () => {
  const name = "requantize x [2] y [2]";
  const reasonText = "because";
  const entry = (differs: string[]): Allowed => ({
    file: "ops_quantize",
    name,
    differs,
    reason: reasonText,
  });
  const differing = changed("y", "ints", [2, 4]);
  const outcome = await run(differing, undefined, [entry(["y[0]", "y[1]"])]);
  assertEquals([outcome.passed, outcome.failures, outcome.excused.length], [1, [], 1]);
  assertStringIncludes(exactnessTable(outcome), "| 2 | 0 equal, 2 differ: [listed]");
  assertStringIncludes(
    await reason(differing, undefined, [entry(["y[0]"])]),
    "1 of 2 values differ: y[1]",
  );
  assertStringIncludes(
    await reason(changed("y", "ints", [2, 3]), undefined, [entry(["y[0]", "y[1]"])]),
    "listed as different from torch, but agrees: y[1]",
  );
});

Deno.test("runDirectory() fails when there is no such directory, or no golden file in it", async () => {
  const directory = await Deno.makeTempDir();
  try {
    assertStringIncludes((await runDirectory(directory)).failures[0]!.reason, "no golden files");
    assertEquals((await runDirectory(`${directory}/none`)).failures.length, 1);
    await Deno.writeTextFile(
      `${directory}/ops_quantize_7.json`,
      JSON.stringify({ meta, cases: [golden] }),
    );
    await Deno.writeTextFile(`${directory}/ops_linear.json`, "{");
    const outcome = await runDirectory(directory);
    assertEquals([outcome.passed, outcome.failures.map(({ file }) => file)], [1, [
      "ops_linear.json",
    ]]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
