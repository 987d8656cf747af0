/**
 * The command as a new user has it: an empty folder, the packed tarball in it, a model of each
 * format and data of each kind. Every option that a command's help lists is used.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { tensor } from "@splitgate/splitgate";
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import { zipSync } from "fflate/browser";
import { readNpy, writeNpy } from "../../../src/cli/npy.ts";
import { BUN, installPacked } from "../install.ts";

const MODELS = new URL("../../models/", import.meta.url);
const TORCH = new URL("../../io/torch/files/", import.meta.url);

/** Files that a user brings, by where they come from. */
const BROUGHT: readonly (readonly [name: string, from: URL])[] = [
  ...["lstm.keras", "lstm.h5", "lstm.weights.h5", "lstm.json", "masked.keras", "both.keras"]
    .map((name) => [name, new URL(`keras-made/${name}`, MODELS)] as const),
  ["model.pt", new URL("checkpoint.pt", TORCH)],
  ["nested.pt", new URL("nested.pt", TORCH)],
  ["hostile.pt", new URL("call_os_system_2.pt", TORCH)],
  ["wrapped.pt", new URL("wrapped.pt", TORCH)],
  ["gru.onnx", new URL("onnx-operators/gru-two-layers.onnx", MODELS)],
  ["brain.onnx", new URL("brainmaze/modelA_paper.without_conv.onnx", MODELS)],
  ["unsupported.onnx", new URL("onnx-made/lstm-proj-unrolled-legacy.onnx", MODELS)],
  ...["model.json", ...Array.from({ length: 4 }, (_, i) => `group1-shard${i + 1}of4.bin`)].map(
    (name) => [`tfjs/${name}`, new URL(`tfjs-made/lstm-chars-uint8/${name}`, MODELS)] as const,
  ),
];

const [SEQUENCES, STEPS] = [6, 7];

/** Values of `size` a step that are never 0. */
function values(size: number): Float32Array {
  return Float32Array.from(
    { length: SEQUENCES * STEPS * size },
    (_, i) => Math.fround(Math.sin(i * 1.7) + 1.5),
  );
}

/** A file of int64, which NumPy makes of integers by default. */
function idsNpy(ids: readonly number[], shape: readonly number[]): Uint8Array {
  const floats = writeNpy(new Float32Array(2 * ids.length), shape);
  const at = new TextDecoder().decode(floats).indexOf("f4'");
  floats.set(new TextEncoder().encode("i8"), at);
  const values = BigInt64Array.from(ids, BigInt);
  floats.set(new Uint8Array(values.buffer), floats.length - values.byteLength);
  return floats;
}

/** Writes data of every kind that help names. */
async function writeData(folder: string): Promise<void> {
  const x = values(3);
  const shape = [SEQUENCES, STEPS, 3];
  const npy = writeNpy(x, shape);
  const classes = Array.from({ length: SEQUENCES }, (_, i) => i % 3);
  const lines = Array.from({ length: SEQUENCES }, (_, b) =>
    Array.from(
      { length: STEPS },
      (_, t) => [...x.subarray((b * STEPS + t) * 3, (b * STEPS + t + 1) * 3)],
    ));
  const rows = lines.flatMap((steps, b) => steps.map((step) => `s${b},${step.join(",")}`));
  const ids = Array.from({ length: SEQUENCES * STEPS }, (_, i) => (i * 7) % 5);
  const files: Record<string, Uint8Array | string> = {
    "x.npy": npy,
    "y.npy": idsNpy(classes, [SEQUENCES]),
    "x.npz": zipSync({ "x.npy": npy, "y.npy": idsNpy(classes, [SEQUENCES]) }),
    "x.safetensors": writeSafetensors([["x", tensor(x, shape)]]),
    "x.csv": `sequence,a,b,c\n${rows.join("\n")}\n`,
    "x.jsonl": `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`,
    "x5.npy": writeNpy(values(5), [SEQUENCES, STEPS, 5]),
    "x200.npy": writeNpy(values(200), [SEQUENCES, STEPS, 200]),
    "pairs.jsonl": "[[1,2],[3,4]]\n[[-1,0.5]]\n",
    "ids.npy": idsNpy(ids, [SEQUENCES, STEPS]),
    "ids.csv": "1,2,3\n4,0\n",
    "ids.jsonl": "[1,2,3]\n[4,0]\n",
    "ids20.npy": idsNpy(Array.from({ length: 40 }, (_, i) => i % 50), [2, 20]),
    "Q.json": JSON.stringify({ global: "fbgemm", modules: { lstm: "int8x16" } }),
    "bad.csv": "1,2,3\n4,five,6\n",
    "cut.keras": Deno.readFileSync(new URL("keras-made/lstm.keras", MODELS)).slice(0, 4000),
    "old.txt": "old",
  };
  for (const [name, contents] of Object.entries(files)) {
    if (typeof contents === "string") await Deno.writeTextFile(`${folder}/${name}`, contents);
    else await Deno.writeFile(`${folder}/${name}`, contents);
  }
}

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** How each runtime starts the command that npm has installed. */
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  node: ["node", "node_modules/.bin/splitgate"],
  bun: ["npx", "-y", BUN, "node_modules/.bin/splitgate"],
  deno: [
    Deno.execPath(),
    "run",
    "-A",
    "--no-config",
    "--node-modules-dir=manual",
    "node_modules/.bin/splitgate",
  ],
};

async function splitgate(
  folder: string,
  runtime: string,
  args: string,
  input = "",
): Promise<Outcome> {
  const [command, ...own] = RUNTIMES[runtime]!;
  const process = new Deno.Command(command!, {
    args: [...own, ...args.split(" ")],
    cwd: folder,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await process.output();
  const [out, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out: out!, error: error! };
}

/** A draft's blanks, as a user fills them in. */
function filled(draft: string): string {
  const kinds: Record<string, object> = {
    time_after_rnn: { kind: "LastStep", options: { batchFirst: true } },
    after_norm: { kind: "ReLU" },
    after_fc: { kind: "Identity" },
    after_linear: { kind: "Identity" },
  };
  const architecture = JSON.parse(draft);
  architecture.modules = architecture.modules.map((each: { name: string }) => ({
    ...each,
    ...kinds[each.name],
  }));
  return JSON.stringify(architecture);
}

/** What is typed, in order: later ones take what earlier ones have made. */
const DONE = [
  "inspect lstm.keras",
  "inspect lstm.h5 --json",
  "inspect lstm.weights.h5 --config lstm.json",
  "inspect lstm.keras --from lstm --cut dense --logits",
  "inspect gru.onnx",
  "inspect brain.onnx --cut /Transpose_output_0 --outputs logits",
  "inspect unsupported.onnx",
  "inspect tfjs",
  "inspect nested.pt --key encoder --draft L.json",
  "inspect hostile.pt",
  "inspect model.pt --draft A.json",
  "import model.pt --architecture A.json -o torch.safetensors",
  "import nested.pt --key encoder --architecture L.json --strict -o linear.safetensors --json",
  "import wrapped.pt --architecture A.json --prefix module._orig_mod. -o wrapped.safetensors",
  "import lstm.keras --logits --skip 9 -o keras.safetensors",
  "import lstm.keras --from lstm --cut dense --output part.safetensors",
  "import lstm.weights.h5 --config lstm.json -o weights.safetensors",
  "import brain.onnx --cut /Transpose_output_0 --outputs logits -o brain.safetensors",
  "import tfjs/model.json -o tfjs.safetensors",
  "inspect keras.safetensors",
  "quantize lstm.keras --calibration x.npy --test x.npz --labels y.npy --preset fbgemm " +
  "--split-gates --program p.bin --report r.html -o q.safetensors",
  "quantize lstm.h5 --calibration x.csv --qconfig Q.json --output q2.safetensors --json",
  "quantize lstm.keras --calibration x.jsonl --from first --cut dense --logits -o q3.safetensors",
  "quantize lstm.weights.h5 --config lstm.json --calibration x.safetensors -o q4.safetensors",
  "quantize masked.keras --calibration x.npy --skip 0 -o masked.safetensors",
  "quantize model.pt --architecture A.json --key model_state --calibration ids.npy -o t.safetensors",
  "quantize wrapped.pt --architecture A.json --prefix module._orig_mod. --calibration ids.csv " +
  "-o q5.safetensors",
  "quantize nested.pt --key encoder --architecture L.json --strict --calibration pairs.jsonl " +
  "-o q6.safetensors",
  "quantize brain.onnx --cut /Transpose_output_0 --outputs logits --calibration x200.npy " +
  "-o brain8.safetensors",
  "quantize gru.onnx --calibration x5.npy -o gru.safetensors",
  "quantize tfjs --calibration ids20.npy -o tfjs8.safetensors",
  "run lstm.keras x.npy",
  "run lstm.keras x.npz --json",
  "run q.safetensors x.csv -o y.csv",
  "run p.bin x.jsonl --labels y.npy --output y.jsonl --json",
  "run q.safetensors x.safetensors --labels y.npy",
  "run q.safetensors x.npy -o yq.npy",
  "run p.bin x.npy -o yp.safetensors",
  "run torch.safetensors ids.jsonl",
  "run model.pt ids.csv --architecture A.json --key model_state",
  "run wrapped.pt ids.npy --architecture A.json --prefix module._orig_mod.",
  "run nested.pt pairs.jsonl --key encoder --architecture L.json --strict",
  "run lstm.keras x.npy --from first --cut dense --logits",
  "run lstm.weights.h5 x.npy --config lstm.json",
  "run masked.safetensors x.npy --skip none",
  "run brain.onnx x200.npy --cut /Transpose_output_0 --outputs logits",
  "compare lstm.keras q.safetensors --data x.npy --json",
  "compare q.safetensors p.bin --data x.csv",
  "compare lstm.keras q3.safetensors --from first --cut dense --logits --data x.npy",
  "compare lstm.weights.h5 q4.safetensors --config lstm.json --data x.npy --skip none",
  "compare model.pt t.safetensors --architecture A.json --key model_state --data ids.npy",
  "compare wrapped.pt q5.safetensors --architecture A.json --prefix module._orig_mod. " +
  "--data ids.npy",
  "compare nested.pt q6.safetensors --key encoder --architecture L.json --strict " +
  "--data pairs.jsonl",
  "compare brain.onnx brain8.safetensors --cut /Transpose_output_0 --outputs logits --data x200.npy",
  "graph q.safetensors",
  "graph q.safetensors --format mermaid",
  "graph q.safetensors --json",
  "tune lstm.keras --calibration x.npy --budget 20 --split-gates -o tuned.safetensors --json",
  "tune lstm.keras --from first --cut dense --logits --skip 9 --calibration x.npy --budget 20 " +
  "--output tuned.safetensors",
  "tune lstm.weights.h5 --config lstm.json --calibration x.npy --budget 20 -o tuned.safetensors",
  "tune model.pt --architecture A.json --key model_state --calibration ids.npy --budget 20 " +
  "-o tuned.safetensors",
  "tune wrapped.pt --architecture A.json --prefix module._orig_mod. --strict " +
  "--calibration ids.npy --budget 20 -o tuned.safetensors",
  "tune brain.onnx --cut /Transpose_output_0 --outputs logits --calibration x200.npy --budget 20 " +
  "-o tuned.safetensors",
  "bench q.safetensors --seconds .05",
  "bench p.bin --simd --steps 10 --seconds .05 --json",
  "bench lstm.keras --from first --cut dense --logits --seconds .05",
  "bench lstm.weights.h5 --config lstm.json --seconds .05",
  "bench model.pt --architecture A.json --key model_state --seconds .05",
  "bench wrapped.pt --architecture A.json --prefix module._orig_mod. --strict --seconds .05",
  "bench brain.onnx --cut /Transpose_output_0 --outputs logits --seconds .05",
  "compile q.safetensors -o compiled.bin",
  "compile q.safetensors --simd --output simd.bin --json",
  "compile t.safetensors --fold-embedding true -o folded.bin",
];

/** What is refused: with which code, and what the line says. */
const REFUSED: readonly (readonly [args: string, code: number, message: string])[] = [
  ["run cut.keras x.npy", 1, "cut.keras: expected a readable zip archive"],
  ["run bad.csv x.npy", 1, "bad.csv: expected a model of PyTorch, Keras"],
  ["run lstm.keras bad.csv", 1, 'bad.csv line 2: expected numbers, got "five"'],
  ["run lstm.keras ids.npy", 1, "ids.npy's shape: expected [batch, steps, 3], got [6, 7]"],
  ["run torch.safetensors x.npy", 1, "x.npy's shape: expected [batch, steps] of token ids"],
  ["import hostile.pt -o old.txt", 1, "hostile.pt: holds tensors and no graph: give --arch"],
  ["import unsupported.onnx -o old.txt", 1, "unsupported.onnx: node "],
  ["import lstm.keras -o lstm.keras", 1, "lstm.keras: is an input; write to another file"],
  ["import lstm.keras -o none/m.safetensors", 1, "cannot be written: there is no such file"],
  ["quantize q.safetensors --calibration x.npy -o old.txt", 1, "is a quantized model; a float"],
  ["quantize lstm.keras --calibration x.npy -o x.npy", 1, "x.npy: is an input"],
  ["quantize lstm.keras --preset best --calibration x.npy -o old.txt", 2, "--preset: expected"],
  ["tune lstm.keras --calibration x.npy --budget 900 -o old.txt", 1, "--budget: expected at m"],
  ["graph lstm.keras", 1, "the graph is that of a quantized model"],
  ["compile lstm.keras -o old.txt", 1, "expected a quantized model"],
  ["bench q.safetensors --steps 0", 2, "--steps: expected a number from 1 on, got 0"],
  ["compare torch.safetensors q.safetensors --data x.npy", 1, "takes 3 values a step, and torch"],
  ["inspect nothing.pt", 1, "nothing.pt: cannot be read: there is no such file or folder"],
  ["quantize lstm.keras", 2, "is needed"],
  ["quantise lstm.keras", 2, "quantise is not a command: inspect, import, quantize"],
];

/** The options of a command's help, by their long names. */
function optionsOf(help: string): string[] {
  return [...help.matchAll(/^ {2}(?:-\w, )?--([a-z-]+)/gm)].map(([, name]) => name!);
}

Deno.test("a new user with nothing but the packed tarball can do all that the command's help says", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-command-" });
  try {
    await installPacked(folder);
    await Deno.mkdir(`${folder}/tfjs`);
    for (const [name, from] of BROUGHT) await Deno.copyFile(from, `${folder}/${name}`);
    await writeData(folder);
    const type = (args: string, input = "", runtime = "node") =>
      splitgate(folder, runtime, args, input);
    const used = new Map<string, Set<string>>();

    await t.step("every command does its work, without a word on standard error", async () => {
      for (const args of DONE) {
        const { code, out, error } = await type(args);
        const words = / --labels /.test(args) && !/ (-o|--output) /.test(args) ? /^right: / : /^$/;
        assert(code === 0 && words.test(error), `splitgate ${args}\n${error}`);
        if (args.includes("--json")) JSON.parse(out);
        const [, draft] = / --draft (\S+)/.exec(args) ?? [];
        if (draft !== undefined) {
          const contents = await Deno.readTextFile(`${folder}/${draft}`);
          await Deno.writeTextFile(`${folder}/${draft}`, filled(contents));
        }
        const [command, ...rest] = args.split(" ");
        const names = rest.flatMap((each) =>
          each === "-o" ? ["output"] : each.startsWith("--") ? [each.slice(2)] : []
        );
        const known = used.get(command!) ?? new Set();
        used.set(command!, new Set([...known, ...names]));
      }
    });

    await t.step("every option of every command's help is among them", async () => {
      const { out } = await type("--help");
      const commands = [...out.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name!);
      assertEquals(new Set(commands), new Set(used.keys()));
      for (const command of commands) {
        const { out: help } = await type(`${command} --help`);
        const left = optionsOf(help).filter((name) => !used.get(command)!.has(name));
        assertEquals(left, [], command);
      }
    });

    await t.step(
      "int8 and its program give the same rows, in every format of results",
      async () => {
        const npy = readNpy("yq.npy", await Deno.readFile(`${folder}/yq.npy`)).data;
        const { tensors } = parseSafetensors(await Deno.readFile(`${folder}/yp.safetensors`));
        assertEquals([...tensors.get("y")!.data as Float32Array], [...npy as Float32Array]);
        const lines = (await Deno.readTextFile(`${folder}/y.jsonl`)).trim().split("\n");
        assertEquals(lines.flatMap((line) => JSON.parse(line)), [...npy as Float32Array]);
        assertEquals(
          (await Deno.readTextFile(`${folder}/y.csv`)).split("\n").length > SEQUENCES,
          true,
        );
      },
    );

    await t.step("a stream is answered line by line, by Node, Bun and Deno alike", async () => {
      const lines = await Deno.readTextFile(`${folder}/x.jsonl`);
      const answers: string[] = [];
      for (const runtime of Object.keys(RUNTIMES)) {
        for (const args of ["run q.safetensors", "run p.bin -"]) {
          const { code, out, error } = await type(args, lines, runtime);
          assertEquals([code, error], [0, ""], `${runtime}: ${args}`);
          answers.push(out);
        }
      }
      assertEquals(new Set(answers).size, 1);
      assertEquals(answers[0]!.trim().split("\n").length, SEQUENCES);
      const { code, out, error } = await type("run q.safetensors", `${lines}hello\n`);
      assertEquals([code, out], [1, answers[0]]);
      assertStringIncludes(error, `line ${SEQUENCES + 1}: expected JSON`);
    });

    await t.step(
      "what is wrong is one line with a way on, and leaves files as they were",
      async () => {
        const before = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
        for (const [args, code, message] of REFUSED) {
          const outcome = await type(args);
          assertEquals([outcome.code, outcome.out], [code, ""], args);
          assertStringIncludes(outcome.error, message, args);
          assertEquals(outcome.error.trimEnd().split("\n").length, 1, outcome.error);
        }
        assertEquals(await Deno.readTextFile(`${folder}/old.txt`), "old");
        assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), before);
      },
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
