// What the machine does to files of the command: a full disk, a limit of their size, a process that
// is killed while it writes, a file that changes while it is read.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { main } from "@splitgate/splitgate/cli";
import {
  compileModel,
  convert,
  getPreset,
  Linear,
  loadFloatModel,
  loadModel,
  prepare,
  saveFloatModel,
  saveModel,
  tensor,
} from "@splitgate/splitgate";
import { loadProgram } from "@splitgate/splitgate/runtime";

const onLinux = Deno.build.os === "linux";
const FILES = import.meta.resolve("../../src/cli/files.ts");
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));
const OLD = "what was there before";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-faults-" });
  try {
    await Deno.writeFile(`${folder}/float.safetensors`, saveFloatModel(linear(1)));
    await Deno.writeTextFile(`${folder}/x.csv`, "0.1,0.2\n-0.4,0.5\n");
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function linear(seed: number): Linear {
  return new Linear({ inFeatures: 2, outFeatures: 3, seed });
}

/** A command's exit code and what it said is wrong. */
async function splitgate(...args: string[]): Promise<[code: number, error: string]> {
  let error = "";
  const code = await main(args, {
    write() {},
    error: (text) => void (error += text),
    async *lines() {},
    isTerminal: false,
  });
  return [code, error];
}

const COMMAND = fileURLToPath(new URL("../../scripts/splitgate.ts", import.meta.url));

/** {@linkcode splitgate} in a process that may write to devices, as these tests may not. */
async function splitgateWithDevices(...args: string[]): Promise<[code: number, error: string]> {
  const run = ["run", "--quiet", "--no-check", "--config", CONFIG, "-A", COMMAND, ...args];
  const env = { NO_COLOR: "1" };
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args: run, env }).output();
  return [code, new TextDecoder().decode(stderr)];
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

/** Runs statements in a process of their own, in which `writeWhole` is at hand. */
async function spawn(
  folder: string,
  statements: string,
  limitBlocks?: number,
): Promise<Deno.ChildProcess> {
  const script = `${folder}/script.ts`;
  await Deno.writeTextFile(script, `import { writeWhole } from "${FILES}";\n${statements}\n`);
  const run = ["run", "--no-check", "--config", CONFIG, "--no-lock", "-A", script];
  const deno = [Deno.execPath(), ...run];
  const limited = ["-c", `ulimit -f ${limitBlocks}; exec "$@"`, "sh", ...deno];
  const [command, ...args] = limitBlocks === undefined ? deno : ["sh", ...limited];
  const env = { NO_COLOR: "1" };
  return new Deno.Command(command!, { args, env, stdout: "piped", stderr: "piped" }).spawn();
}

Deno.test({
  name: "a command says that the disk is full, and leaves every output as it was",
  ignore: !onLinux,
  fn: () =>
    inFolder(async (f) => {
      const float = `${f}/float.safetensors`;
      await Deno.writeTextFile(`${f}/old`, OLD);
      const before = names(f);
      const outputs = [
        ["-o", "/dev/full"],
        // The other output is written first, and is not renamed over what was there.
        ["-o", `${f}/old`, "--program", "/dev/full"],
        ["-o", "/dev/full", "--program", `${f}/old`],
      ];
      for (const each of outputs) {
        const args = ["quantize", float, "--calibration", `${f}/x.csv`, ...each];
        const [code, error] = await splitgateWithDevices(...args);
        assertEquals([code, error.trim().split("\n").length], [1, 1], error);
        assertStringIncludes(error, "/dev/full: cannot be written: the disk is full");
        assertEquals([names(f), await Deno.readTextFile(`${f}/old`)], [before, OLD]);
      }
    }),
});

Deno.test({
  name: "a limit of the size of files leaves what was there",
  // ulimit is the shell's.
  ignore: !onLinux,
  fn: () =>
    inFolder(async (f) => {
      const file = `${f}/old`;
      await Deno.writeTextFile(file, OLD);
      const large = `await writeWhole([${JSON.stringify(file)}, new Uint8Array(2 ** 26)]);`;
      const { code } = await (await spawn(f, large, 32768)).output();
      assert(code !== 0);
      assertEquals(await Deno.readTextFile(file), OLD);
    }),
});

/** Bytes that are written while a process is killed: enough to be met in the middle of it. */
const LARGE = 2 ** 26;

/** Whether a file is being written in a folder: something unfinished, or of another size. */
function isWriting(folder: string): boolean {
  return [...Deno.readDirSync(folder)].some(({ name }) => {
    if (!name.startsWith("out")) return false;
    try {
      return Deno.statSync(`${folder}/${name}`).size < LARGE;
    } catch {
      // Renamed meanwhile.
      return false;
    }
  });
}

Deno.test("a process that is killed while it writes leaves the old file or the new one, whole", async () => {
  await inFolder(async (f) => {
    const file = `${f}/out`;
    const process = await spawn(
      f,
      `const file = ${JSON.stringify(file)};
const contents = new Uint8Array(${LARGE});
for (let n = 0;; n = (n + 1) % 256) {
  await writeWhole([file, contents.fill(n)]);
  if (n === 0) console.log("written once");
}`,
    );
    const reader = process.stdout.getReader();
    await reader.read();
    const end = performance.now() + 20_000;
    while (!isWriting(f) && performance.now() < end);
    process.kill("SIGKILL");
    await reader.cancel();
    await process.stderr.cancel();
    await process.status;
    const bytes = await Deno.readFile(file);
    assertEquals(bytes.length, LARGE);
    assert(bytes.every((byte) => byte === bytes[0]));
  });
});

Deno.test("a model file or program that is half of one and half of another is refused at every cut", () => {
  const quantized = (seed: number) => {
    const observed = prepare(linear(seed), getPreset("fbgemm"));
    observed.forward(tensor([0.1, -0.4, 0.9, seed], [2, 1, 2]));
    return convert(observed);
  };
  const [one, other] = [quantized(1), quantized(2)];
  const readers = [
    [saveModel, (bytes: Uint8Array<ArrayBuffer>) => void loadModel(bytes)],
    [compileModel, (bytes: Uint8Array<ArrayBuffer>) => void loadProgram(bytes)],
  ] as const;
  let refused = 0;
  const tear = (
    a: Uint8Array<ArrayBuffer>,
    b: Uint8Array<ArrayBuffer>,
    read: (bytes: Uint8Array<ArrayBuffer>) => void,
  ) => {
    for (let cut = 0; cut <= a.length; cut++) {
      const torn = new Uint8Array(Math.max(cut, b.length));
      torn.set(b);
      torn.set(a.subarray(0, cut));
      const same = (whole: Uint8Array) =>
        whole.length === torn.length && whole.every((byte, i) => byte === torn[i]);
      if (same(a) || same(b)) continue;
      try {
        read(torn);
      } catch (error) {
        const { name, message } = error as Error;
        assert(/^(Range|Type)Error$/.test(name) && /: expected [^]+, got /.test(message), message);
        refused++;
        continue;
      }
      throw new Error(`a file that was torn at ${cut} is read`);
    }
  };
  for (const [write, read] of readers) {
    tear(write(one), write(other), read);
    tear(write(other), write(one), read);
  }
  tear(saveFloatModel(linear(1)), saveFloatModel(linear(2)), (bytes) => void loadFloatModel(bytes));
  assert(refused > 1000, `${refused} cuts`);
});

Deno.test("a file that changes while commands read it is read whole or refused in one line", async () => {
  await inFolder(async (f) => {
    const file = `${f}/changing.safetensors`;
    const models = [1, 2].map((seed) => saveFloatModel(linear(seed)));
    await Deno.writeFile(file, models[0]!);
    let changing = true;
    const change = (async () => {
      for (let n = 0; changing; n++) {
        const bytes = models[n % 2]!;
        // In two writes, as if by a program that does not rename; it is cut off in between.
        await Deno.writeFile(file, bytes.subarray(0, bytes.length >> 1));
        await Deno.writeFile(file, bytes.subarray(bytes.length >> 1), { append: true });
      }
    })();
    let read = 0;
    const TIMES = 100;
    for (let n = 0; n < TIMES; n++) {
      const [code, error] = await splitgate("inspect", file);
      if (code === 0) read++;
      else {
        assertEquals([code, error.trim().split("\n").length], [1, 1], error);
        assertStringIncludes(error, "changing.safetensors: ");
      }
    }
    changing = false;
    await change;
    await Deno.writeFile(file, models[1]!);
    assertEquals(await splitgate("inspect", file), [0, ""]);
    assert(read < TIMES || Deno.build.os === "windows", "no command met a change");
  });
});
