import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FAULTS = new URL("faults/", import.meta.url);

/** What the sources need to run. */
const SOURCES = ["kernels", "src", "mod.ts", "simd.ts", "deno.json"];

/** Trials of each invariant. */
const RUNS = "60";

/** Runs a command in a folder. */
async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, cwd }).output();
  const text = new TextDecoder();
  assert(success, `${command} ${args.join(" ")}\n${text.decode(stdout)}${text.decode(stderr)}`);
  return text.decode(stdout);
}

/** Copies a file, or a folder with all that is in it. */
async function copy(from: string, to: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) await copy(`${from}/${name}`, `${to}/${name}`);
}

/** What fuzzing finds in the sources with a patch: the broken invariants and their reports. */
async function foundWith(patch: string | null): Promise<Record<string, string>> {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-fault-" });
  try {
    for (const name of SOURCES) await copy(`${ROOT}/${name}`, `${folder}/${name}`);
    await Deno.copyFile(new URL("models.ts", FAULTS), `${folder}/models.ts`);
    if (patch !== null) {
      await run(folder, "git", "apply", "-p1", fileURLToPath(new URL(patch, FAULTS)));
    }
    const args = ["run", "--no-check", "--allow-read", "models.ts", RUNS];
    return JSON.parse(await run(folder, Deno.execPath(), ...args));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const patches = [...Deno.readDirSync(FAULTS)].map(({ name }) => name)
  .filter((name) => name.endsWith(".patch")).sort();

Deno.test("fuzzModel() finds nothing in the sources as they are, and there are a dozen faults", async () => {
  assertEquals(await foundWith(null), {});
  assert(patches.length >= 12);
});

for (const patch of patches) {
  Deno.test(`fuzzModel() finds the fault ${patch}`, async () => {
    const found = Object.entries(await foundWith(patch));
    if (Deno.env.get("SHOW")) console.log(patch, found.map(([name]) => name));
    assert(found.length > 0);
    const [, report] = found[0]!;
    for (const said of ["BROKEN", "first difference: module ", "smallest input: "]) {
      assert(report.includes(said), report);
    }
  });
}
