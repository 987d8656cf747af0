/**
 * Cold start: a fresh process that imports, loads a compiled model from its file and gives the
 * first answer. Measured from outside until the answer is told, less what the bare runtime takes to
 * tell something.
 *
 *     deno task bench:cold [--rounds N] [--no-peers]     prints and writes bench/results/cold_start.json
 */
import { createRequire } from "node:module";
import { availableParallelism, cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { stop } from "esbuild";
import { compileModel, loadModel } from "@splitgate/splitgate";
import { simdKernels } from "@splitgate/splitgate/simd";
import { Dictionary, parseRuns } from "../demo/segmenter.ts";
import { readArguments } from "../scripts/arguments.ts";
import { writeFile } from "../scripts/write_file.ts";
import { bundle } from "../tests/runtimes/bundle.ts";
import { thaiFile } from "../tests/runtimes/cases.ts";
import { BUN, installPacked, NAME, succeed } from "../tests/runtimes/install.ts";
import { readThai } from "../tests/runtimes/suite.ts";
import { streamingFile } from "../tests/runtimes/workerd/build.ts";
import { installPeers } from "./peers/install.ts";
import { median } from "./peers/measure.ts";
import { createProblem } from "./peers/problem.ts";

const SIZE = 64;

const { rounds: given, peers: withPeers } =
  readArguments("deno task bench:cold [--rounds N] [--no-peers]", {
    rounds: { type: "string", default: "15" },
    peers: { type: "boolean", default: true },
  }).values;
const rounds = Number(given);

/** Where npx has put bun: starting npx itself is no part of bun's start. */
async function bunPath(): Promise<string> {
  const args = [
    "-y",
    "-p",
    BUN,
    "node",
    "-p",
    `require("fs").realpathSync(require("child_process")
    .execSync("command -v bun").toString().trim())`,
  ];
  const { stdout, success } = await new Deno.Command("npx", { args, stderr: "inherit" }).output();
  if (!success) throw new Error(`cold_start: ${BUN} could not be found`);
  return new TextDecoder().decode(stdout).trim();
}

const before = loadavg()[0]!;
const folder = await Deno.makeTempDir({ prefix: "splitgate-cold-" });
try {
  await installPacked(folder);
  const assets = readThai(new URL("../demo/data/", import.meta.url));
  const thai = loadModel(thaiFile(assets, "accurate"));
  const [run] = parseRuns(
    "test",
    assets.test,
    Dictionary.parse(assets.dictionary, thai.vocabulary),
  );
  const expected = new Float32Array(run!.tokens.length * thai.outputSize);
  thai.createSession({ maxSteps: run!.tokens.length }).run(run!.tokens, expected);
  await Deno.writeFile(`${folder}/thai.program`, compileModel(thai));
  await Deno.writeFile(
    `${folder}/thai_simd.program`,
    compileModel(thai, { kernels: await simdKernels() }),
  );
  await Deno.writeFile(`${folder}/lstm.program`, streamingFile(SIZE, SIZE, 1));

  const program = async (
    name: string,
    file: string,
    define: Record<string, unknown>,
    external: string[] = [],
    options = {},
  ) => {
    const texts = Object.entries(define).map(([key, value]) => [key, JSON.stringify(value)]);
    await bundle(new URL(`cold_start/${name}.ts`, import.meta.url), folder, file, {
      define: Object.fromEntries(texts),
      external: [...external, "node:*", "file:*"],
      minify: true,
      ...options,
      nodePaths: [
        `${folder}/node_modules`,
        fileURLToPath(new URL("peers/node_modules", import.meta.url)),
      ],
    });
  };
  const answer = { TOKENS: [...run!.tokens], EXPECTED: [...expected] };
  const thaiDefines = { MODEL: `${folder}/thai.program`, ...answer };
  await program("bare", "bare.mjs", {});
  await program("thai", "thai.mjs", thaiDefines);
  await program("thai", "thai_installed.mjs", thaiDefines, [`${NAME}/*`]);
  await program("thai_simd", "thai_simd.mjs", { MODEL: `${folder}/thai_simd.program`, ...answer });
  const bun = await bunPath();
  const compiled = ["build", "--bytecode", "--target=bun", "--format=cjs", "--outdir=bytecode"];
  await succeed(folder, bun, ...compiled, "thai.mjs");
  await program("lstm", "lstm.mjs", { MODEL: `${folder}/lstm.program` });
  const programs: [label: string, file: string][] = [
    ["splitgate, Thai model, one file", "thai.mjs"],
    ["splitgate, Thai model, from node_modules", "thai_installed.mjs"],
    ["splitgate, Thai model, SIMD, one file", "thai_simd.mjs"],
    [`splitgate, LSTM of ${SIZE}, one file`, "lstm.mjs"],
  ];
  if (withPeers) {
    await installPeers();
    const [layer] = createProblem("lstm", SIZE).layers;
    const entry = createRequire(new URL("peers/", import.meta.url));
    const write = fileURLToPath(new URL("peers/write_onnx.ts", import.meta.url));
    await succeed(
      folder,
      Deno.execPath(),
      "run",
      "-A",
      "--no-lock",
      write,
      `${SIZE}`,
      `${folder}/lstm.onnx`,
    );
    const weights = new Float32Array(8 * SIZE * SIZE);
    weights.set(layer!.weightIh);
    weights.set(layer!.weightHh, layer!.weightIh.length);
    await Deno.writeFile(`${folder}/lstm.bin`, new Uint8Array(weights.buffer));
    const ort = entry.resolve("onnxruntime-web/wasm");
    await program("onnxruntime_web", "ort.mjs", {
      ENTRY: pathToFileURL(ort).href,
      WASM: join(dirname(ort), "ort-wasm-simd-threaded.wasm"),
      MODEL: `${folder}/lstm.onnx`,
      SIZE,
    });
    // What is not ES modules in it requires Node's own modules.
    const js =
      `import{createRequire}from"node:module";const require=createRequire(import.meta.url);`;
    await program("tfjs_cpu", "tfjs.mjs", { MODEL: `${folder}/lstm.bin`, SIZE }, [], {
      platform: "node",
      mainFields: ["module", "main"],
      banner: { js },
    });
    programs.push([`onnxruntime-web wasm, int8 LSTM of ${SIZE}`, "ort.mjs"], [
      `tfjs cpu, LSTM of ${SIZE}`,
      "tfjs.mjs",
    ]);
  }

  const runtimes: [name: string, command: string, ...args: string[]][] = [
    ["Deno", Deno.execPath(), "run", "-A", "--no-lock"],
    ["Bun", bun],
    ["Node", "node"],
  ];
  const start = async ([, program, ...args]: typeof runtimes[0], file: string): Promise<number> => {
    const command = new Deno.Command(program, {
      args: [...args, file],
      cwd: folder,
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    const from = performance.now();
    const child = command.spawn();
    const told = await child.stdout.getReader().read();
    const time = performance.now() - from;
    const [{ success }, errors] = await Promise.all([
      child.status,
      new Response(child.stderr).text(),
    ]);
    if (!success || told.done) throw new Error(`cold_start: ${file} failed\n${errors}`);
    return time;
  };
  const rows: Record<string, string | number>[] = [];
  for (const runtime of runtimes) {
    const times = new Map<string, number[]>();
    const all = runtime[0] === "Bun"
      ? [...programs, ["splitgate, Thai model, bun build --bytecode", "bytecode/thai.js"] as const]
      : programs;
    const files = ["bare.mjs", ...all.map(([, file]) => file)];
    // The first round, in which caches are filled, does not count.
    for (let round = -1; round < rounds; round++) {
      for (const file of files) {
        const time = await start(runtime, file);
        if (round >= 0) times.set(file, [...times.get(file) ?? [], time]);
      }
    }
    const bare = times.get("bare.mjs")!;
    const digits = (ms: number) => Number(ms.toFixed(1));
    for (const [label, file] of all) {
      const own = times.get(file)!;
      rows.push({
        runtime: runtime[0],
        program: label,
        bareMs: digits(median(bare)),
        answerMs: digits(median(own)),
        overBareMs: digits(median(own) - median(bare)),
        overBareLeastMs: digits(Math.min(...own) - Math.min(...bare)),
      });
    }
  }
  console.table(rows);
  const machine = `${cpus()[0]!.model}, ${availableParallelism()} processors`;
  // Of the minute before and of this run: over 1, others were at work and every figure is too
  // large.
  const load = { before, after: loadavg()[0]! };
  const results = new URL("results/", import.meta.url);
  await writeFile(
    new URL("cold_start.json", results),
    `${JSON.stringify({ machine, load, rounds, rows }, null, 2)}\n`,
    { makeFolder: true },
  );
} finally {
  await stop();
  await Deno.remove(folder, { recursive: true });
}
