import { pathToFileURL } from "node:url";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { checkOutput, WriteError, writeFile } from "../../scripts/write_file.ts";

const MODULE = import.meta.resolve("../../scripts/write_file.ts");
const OLD = "what was there before";
const onUnix = Deno.build.os !== "windows";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Whether files that this process makes are the superuser's. */
function isSuperuser(): boolean {
  const file = Deno.makeTempFileSync();
  const { uid } = Deno.statSync(file);
  Deno.removeSync(file);
  return uid === 0;
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).toSorted();
}

/** Runs statements in a process of their own, in which `writeFile` and `file` are at hand. */
async function spawn(
  folder: string,
  statements: string,
  limitBlocks?: number,
): Promise<Deno.ChildProcess> {
  const file = JSON.stringify(`${folder}/out`);
  // A cache of its own: the limit is for the file, not for what Deno keeps of earlier runs.
  const cache = `${folder}/cache`;
  const script = `${cache}/script.ts`;
  await Deno.mkdir(cache);
  await Deno.writeTextFile(
    script,
    `import { writeFile } from "${MODULE}";\nconst file = ${file};\n${statements}\n`,
  );
  const deno = [Deno.execPath(), "run", "--no-check", "--no-config", "--no-lock", "-A", script];
  const limited = ["-c", `ulimit -f ${limitBlocks}; exec "$@"`, "sh", ...deno];
  const [command, ...args] = limitBlocks === undefined ? deno : ["sh", ...limited];
  const env = { NO_COLOR: "1", DENO_DIR: cache };
  return new Deno.Command(command!, { args, env, stdout: "piped", stderr: "piped" }).spawn();
}

const told = async (process: Deno.ChildProcess): Promise<[number, string]> => {
  const { code, stderr } = await process.output();
  return [code, new TextDecoder().decode(stderr).trim()];
};

/** Waits until a process says something. */
async function ready(process: Deno.ChildProcess): Promise<void> {
  const reader = process.stdout.getReader();
  await reader.read();
  reader.releaseLock();
}

Deno.test("writeFile() writes strings, bytes and streams, over an old file or none", async () => {
  await inFolder(async (folder) => {
    const bytes = new TextEncoder().encode("bytes");
    const cases = [["ก text", "ก text"], [bytes, "bytes"], [
      new Blob(["stream"]).stream(),
      "stream",
    ]];
    for (const [contents, expected] of cases as [string, string][]) {
      await writeFile(`${folder}/out`, contents);
      assertEquals(Deno.readTextFileSync(`${folder}/out`), expected);
    }
    await writeFile(pathToFileURL(`${folder}/a/b/new`), OLD, { makeFolder: true });
    assertEquals(Deno.readTextFileSync(`${folder}/a/b/new`), OLD);
    assertEquals(names(folder), ["a", "out"]);
  });
});

Deno.test("writeFile() leaves the old file and nothing else when what it writes fails half-way", async () => {
  for (const old of [OLD, null]) {
    await inFolder(async (folder) => {
      const file = `${folder}/out`;
      if (old !== null) await Deno.writeTextFile(file, old);
      async function* failing() {
        yield new Uint8Array(100_000);
        await Promise.resolve();
        throw new Error("the source failed");
      }
      await assertRejects(
        () => writeFile(file, failing()),
        WriteError,
        `${file}: could not be written: the source failed`,
      );
      assertEquals(names(folder), old === null ? [] : ["out"]);
      if (old !== null) assertEquals(Deno.readTextFileSync(file), old);
    });
  }
});

Deno.test({
  name: "writeFile() leaves the old file and says why in one line at a file-size limit",
  // ulimit is the shell's, and only Linux' signal for it is known to be caught.
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/out`, OLD);
      // Blocks of 512 bytes or 1 KiB, as the shell counts: above what Deno's cache needs, below 64
      // MiB.
      const process = await spawn(folder, "await writeFile(file, new Uint8Array(2 ** 26));", 32768);
      const [code, message] = await told(process);
      assertEquals(code, 1);
      assertEquals(
        message,
        "error: Uncaught (in promise) WriteError: " +
          `${folder}/out: could not be written: File too large (os error 27)`,
      );
      assertEquals(names(folder), ["cache", "out"]);
      assertEquals(Deno.readTextFileSync(`${folder}/out`), OLD);
    }),
});

const HANGING = `
async function* hanging() {
  yield new TextEncoder().encode("all of it");
  console.log("written");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}
await writeFile(file, hanging());`;

for (const [signal, expected] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test({
    name: `writeFile() leaves the old file and nothing else when ${signal} comes before the rename`,
    // Windows ends processes without telling them.
    ignore: !onUnix,
    fn: () =>
      inFolder(async (folder) => {
        await Deno.writeTextFile(`${folder}/out`, OLD);
        const process = await spawn(folder, HANGING);
        await ready(process);
        assertEquals(names(folder), [".out.part", "cache", "out"]);
        process.kill(signal);
        assertEquals(await told(process), [expected, ""]);
        assertEquals(names(folder), ["cache", "out"]);
        assertEquals(Deno.readTextFileSync(`${folder}/out`), OLD);
      }),
  });
}

Deno.test("writeFile() takes over what a run left that was killed before the rename", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/out`, OLD);
    const process = await spawn(folder, HANGING);
    await ready(process);
    process.kill("SIGKILL");
    await process.output();
    assertEquals(Deno.readTextFileSync(`${folder}/out`), OLD);
    assertEquals(names(folder), [".out.part", "cache", "out"]);
    await writeFile(`${folder}/out`, "new");
    assertEquals(names(folder), ["cache", "out"]);
    assertEquals(Deno.readTextFileSync(`${folder}/out`), "new");
  });
});

Deno.test("writeFile() leaves one of the contents, whole, when several write at once", async () => {
  await inFolder(async (folder) => {
    const all = Array.from({ length: 8 }, (_, i) => new Uint8Array(1_000 + 77_777 * i).fill(i));
    async function* inPieces(bytes: Uint8Array) {
      for (let at = 0; at < bytes.length; at += 10_000) {
        yield bytes.subarray(at, at + 10_000);
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    await Promise.all(all.map((bytes) => writeFile(`${folder}/out`, inPieces(bytes))));
    const got = Deno.readFileSync(`${folder}/out`);
    assertEquals(got, all[got[0]!]);
    assertEquals(names(folder), ["out"]);
  });
});

Deno.test("writeFile() names the file and the reason where nothing can be written", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/sub`);
    await Deno.writeTextFile(`${folder}/plain`, OLD);
    const cases: [string, string][] = [
      [`${folder}/none/out`, "No such file or directory"],
      [`${folder}/sub`, "it is a folder"],
      [`${folder}/plain/out`, "Not a directory"],
    ];
    if (onUnix) {
      await Deno.symlink(`${folder}/nowhere`, `${folder}/dangling`);
      cases.push([`${folder}/dangling`, "it is a symbolic link to a file that is not there"]);
      await Deno.symlink(`${folder}/plain`, `${folder}/.trap.part`);
      cases.push([`${folder}/trap`, `${folder}/.trap.part is a symbolic link`]);
    }
    for (const [path, reason] of cases) {
      const error = await assertRejects(() => writeFile(path, "x"), WriteError);
      assertStringIncludes(error.message, `${path}: could not be written: `);
      if (onUnix) assertStringIncludes(error.message, reason);
      assertEquals(error.message.includes("\n"), false);
    }
    assertEquals(Deno.readTextFileSync(`${folder}/plain`), OLD);
  });
});

Deno.test({
  name: "writeFile() leaves the old file where the folder cannot be written",
  // The superuser writes everywhere; Windows has other permissions.
  ignore: !onUnix || isSuperuser(),
  fn: () =>
    inFolder(async (folder) => {
      const file = `${folder}/out`;
      await Deno.writeTextFile(file, OLD);
      await Deno.chmod(folder, 0o500);
      try {
        await assertRejects(() => writeFile(file, "x"), WriteError, "Permission denied");
        assertEquals(names(folder), ["out"]);
        assertEquals(Deno.readTextFileSync(file), OLD);
      } finally {
        await Deno.chmod(folder, 0o700);
      }
    }),
});

Deno.test("writeFile() needs permission for the file and the unfinished one only", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/out`, OLD);
    const run = (write: string) => {
      const file = JSON.stringify(`${folder}/out`);
      const code = `import { writeFile } from "${MODULE}"; await writeFile(${file}, "new");`;
      const args = ["run", "--no-check", "--no-config", "--no-lock", "--no-prompt", "-"];
      args.splice(1, 0, `--allow-read=${folder}`, `--allow-write=${write}`);
      const command = new Deno.Command(Deno.execPath(), {
        args,
        env: { NO_COLOR: "1" },
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      });
      const process = command.spawn();
      const writer = process.stdin.getWriter();
      writer.write(new TextEncoder().encode(code)).then(() => writer.close());
      return told(process);
    };
    assertEquals((await run(`${folder}/out`))[0], 1);
    assertEquals(Deno.readTextFileSync(`${folder}/out`), OLD);
    assertEquals(await run(`${folder}/out,${folder}/.out.part`), [0, ""]);
    assertEquals(Deno.readTextFileSync(`${folder}/out`), "new");
  });
});

Deno.test({
  name: "writeFile() keeps modes and symbolic links, and writes devices as they are",
  ignore: !onUnix,
  fn: () =>
    inFolder(async (folder) => {
      await Deno.mkdir(`${folder}/sub`);
      const file = `${folder}/sub/out`;
      await Deno.writeTextFile(file, OLD);
      await Deno.chmod(file, 0o640);
      await Deno.symlink("sub/out", `${folder}/link`);
      await writeFile(`${folder}/link`, "new");
      assertEquals(Deno.lstatSync(`${folder}/link`).isSymlink, true);
      assertEquals(Deno.readTextFileSync(file), "new");
      assertEquals(Deno.statSync(file).mode! & 0o777, 0o640);
      await writeFile(`${folder}/fresh`, "x");
      Deno.writeTextFileSync(`${folder}/usual`, "x");
      assertEquals(Deno.statSync(`${folder}/fresh`).mode, Deno.statSync(`${folder}/usual`).mode);
      await writeFile("/dev/null", "x");
      assertEquals(Deno.statSync("/dev/null").isCharDevice, true);
      assertEquals([names(folder), names(`${folder}/sub`)], [
        ["fresh", "link", "sub", "usual"],
        ["out"],
      ]);
    }),
});

Deno.test("checkOutput() refuses an input by every path and link to it", async () => {
  await inFolder(async (folder) => {
    const input = `${folder}/model`;
    await Deno.mkdir(`${folder}/sub`);
    await Deno.writeTextFile(input, OLD);
    await Deno.writeTextFile(`${folder}/.out.part`, OLD);
    const outputs = [input, `${folder}/./model`, `${folder}/sub/../model`];
    await Deno.link(input, `${folder}/hard`);
    outputs.push(`${folder}/hard`);
    if (onUnix) {
      await Deno.symlink("model", `${folder}/soft`);
      await Deno.symlink(folder, `${folder}/sub/folder`);
      outputs.push(`${folder}/soft`, `${folder}/sub/folder/model`);
    }
    for (const output of outputs) {
      await assertRejects(
        () => checkOutput(output, [`${folder}/absent`, input]),
        RangeError,
        `output: expected another file than the input ${input}, got ${output}`,
      );
    }
    await assertRejects(() => checkOutput(`${folder}/out`, [`${folder}/.out.part`]), RangeError);
    await checkOutput(`${folder}/new`, [input]);
  });
});
