/**
 * Pages followed word by word, from an empty folder, with nothing but what they say and the files
 * that they begin with.
 */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { zipSync } from "fflate/browser";
import { fileURLToPath, pathToFileURL } from "node:url";
import { stop } from "esbuild";
import { loadModel, type Tensor, tensor } from "@splitgate/splitgate";
import { importKeras } from "@splitgate/splitgate/import/keras";
import { importOnnx } from "@splitgate/splitgate/import/onnx";
import { writeNpy } from "../../src/cli/npy.ts";
import { generator } from "../../src/testing/random.ts";
import { pack } from "../../scripts/pack.ts";
import { type Block, blocksOf, commandsIn, read } from "../pages.ts";
import { launch } from "./browser/chromium.ts";
import { bundle } from "./bundle.ts";
import { NAME, succeed } from "./install.ts";
import { serveFolder } from "./serve_folder.ts";
import { storageFolder, Workerd } from "./workerd/workerd.ts";

const EXAMPLE = fileURLToPath(new URL("../../examples/pytorch-to-edge/", import.meta.url));

/** The part of a page below a heading, up to the next one. */
function sectionOf(page: string, heading: string): string {
  const [, section] = read(page).split(`\n## ${heading}\n`);
  return section!.split("\n## ")[0]!;
}

/** Types a command into a shell, where `npx` has put its programs at hand. */
function type(folder: string, command: string): Promise<string> {
  const ready = 'PATH="$PWD/node_modules/.bin:$PATH"; EDITOR="cp architecture.json";';
  return succeed(folder, "sh", "-c", `${ready} ${command}`);
}

/** The file that a page says to put a block into. */
function fileOf({ info }: Block): string | undefined {
  return / (?:examples\/pytorch-to-edge\/)?(\w+\.(?:html|json|m?js|toml))$/.exec(info)?.[1];
}

/** Random float32 sequences as a .npy file. */
function npy(seed: number, shape: readonly [number, number, number]): Uint8Array {
  const draw = generator(seed);
  const length = shape[0] * shape[1] * shape[2];
  return writeNpy(Float32Array.from({ length }, () => draw(-1, 1)), shape);
}

/** Does what wrangler does with a module, its data and WebAssembly beside it, and calls it. */
async function withWorker(
  folder: string,
  call: (url: string) => Promise<void>,
  module = "worker.mjs",
  objects?: Parameters<typeof Workerd.start>[0]["objects"],
): Promise<void> {
  const entry = pathToFileURL(`${folder}/${module}`);
  await bundle(entry, folder, "bundle.js", { external: ["./model.bin", "*.wasm"] });
  const wasm = `${NAME}/simd/relaxed.wasm`;
  const path = `${folder}/node_modules/${NAME}/kernels/simd/relaxed.wasm`;
  const simd = (await Deno.readTextFile(`${folder}/bundle.js`)).includes(wasm);
  const worker = await Workerd.start({
    modules: [
      { name: "worker.js", kind: "esModule", path: `${folder}/bundle.js` },
      { name: "model.bin", kind: "data", path: `${folder}/model.bin` },
      ...simd ? [{ name: wasm, kind: "wasm", path } as const] : [],
    ],
    ...objects !== undefined && { objects },
  });
  try {
    await call(worker.url);
  } finally {
    await worker.stop();
  }
}

/** What a worker answers to steps. */
async function answerOf(url: string, body: string): Promise<unknown> {
  return await (await fetch(url, { method: "POST", body })).json();
}

/** What a page that leads to a worker lets its reader type. */
const STEPS_TO_WORKER = ["npm", "npm", "npx splitgate", "npx splitgate", "npx wrangler", "curl"];

/** Files that hold their graph, the pages that lead from them to a worker, and values of a step. */
const GRAPH_FILES = [
  {
    page: "docs/from-keras-and-tfjs.md",
    model: "keras-made/lstm.keras",
    importModel: (bytes: Uint8Array) => importKeras(bytes).model,
    values: 3,
  },
  {
    page: "docs/from-onnx.md",
    model: "onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.onnx",
    importModel: (bytes: Uint8Array) => importOnnx(bytes).model,
    values: 7,
  },
];

/**
 * Follows the section of a page that leads from an empty folder to a worker, in a folder that has
 * what its lines of Python save, and gives what the worker answered.
 *
 * @param before What to look at before a file of the page is written.
 */
async function followToWorker(
  page: string,
  folder: string,
  before: (file: string) => void | Promise<void> = () => {},
): Promise<{ programs: string[]; body: string; answer: unknown }> {
  const programs: string[] = [];
  let body = "";
  let answer: unknown;
  for (const block of blocksOf(sectionOf(page, "From an empty folder to a worker"))) {
    const file = fileOf(block);
    if (file !== undefined) {
      await before(file);
      await Deno.writeTextFile(`${folder}/${file}`, block.text);
    }
    for (const command of commandsIn(block)) {
      const [program] = /^npx \w+|^\w+/.exec(command)!;
      programs.push(program);
      if (program === "npx wrangler") continue;
      const [, posted] = /^curl --data '(.*)' http:\/\/localhost:8787$/.exec(command) ?? [];
      if (posted === undefined) {
        const printed = await type(folder, command.replace("PATH/TO", ".."));
        if (command.includes("quantize")) assertMatch(printed, /int8 beside float/);
        continue;
      }
      body = posted;
      await withWorker(folder, async (url) => void (answer = await answerOf(url, body)));
    }
  }
  return { programs, body, answer };
}

Deno.test("pages lead from an empty folder to where they say", async (t) => {
  const outer = await Deno.makeTempDir({ prefix: "splitgate-pages-" });
  const folder = `${outer}/a new project`;
  try {
    await Deno.mkdir(folder);
    await pack(`${outer}/splitgate.tgz`);

    await t.step("docs/from-pytorch.md: a running worker", async () => {
      // What its lines of Python save.
      for (const name of ["model.pt", "calibration.npy", "test.npy"]) {
        await Deno.copyFile(`${EXAMPLE}${name}`, `${folder}/${name}`);
      }
      const done = await followToWorker("docs/from-pytorch.md", folder, async (file) => {
        if (file !== "architecture.json") return;
        // The draft is this one, with two blanks.
        const draft = JSON.parse(await Deno.readTextFile(`${folder}/${file}`));
        const kinds = draft.modules.map(({ kind }: { kind: string }) => kind);
        assertEquals(kinds, ["LSTM", "?", "Linear", "?"]);
      });
      assertEquals(done.programs, STEPS_TO_WORKER);
      assertEquals(done.answer, { motion: "standing" });
    });

    await t.step(
      "docs/edge-workers.md: a worker with SIMD, a stream, a server in Deno",
      async () => {
        // model.bin is that of docs/from-pytorch.md: three values a step in, three out.
        for (const block of blocksOf(read("docs/edge-workers.md"))) {
          const file = fileOf(block);
          if (file !== undefined) await Deno.writeTextFile(`${folder}/${file}`, block.text);
        }
        const model = loadModel(await Deno.readFile(`${folder}/model.safetensors`));
        const session = model.createSession();
        const output = new Float32Array(6);
        const expected = (...steps: number[]) => {
          session.run(Float32Array.from(steps), output);
          return [...output];
        };
        const [one, other] = ["[[0,0,1],[0.1,0,1]]", "[[1,0,0],[0.5,0.5,0]]"];
        const first = expected(0, 0, 1, 0.1, 0, 1);
        const next = expected(1, 0, 0, 0.5, 0.5, 0);
        await withWorker(folder, async (url) => {
          assertEquals(await answerOf(url, one), first);
          assertMatch(
            JSON.stringify(await answerOf(url, "[[1],[2]]")),
            /"error":"sequence: expected/,
          );
        });
        const toml = await Deno.readTextFile(`${folder}/durable.toml`);
        const [className, binding] = ["class_name", "name"].map((key) =>
          new RegExp(`^${key} = "(\\w+)"$`, "m").exec(toml)![1]!
        );
        const storage = await storageFolder();
        try {
          const objects = { className: className!, binding: binding!, folder: storage };
          await withWorker(
            folder,
            async (url) => {
              assertEquals(await answerOf(`${url}/a`, one), first);
              assertEquals(await answerOf(`${url}/b`, one), first);
            },
            "stream.mjs",
            objects,
          );
          // Another process goes on with the state that was stored.
          await withWorker(
            folder,
            async (url) => {
              assertMatch(JSON.stringify(await answerOf(`${url}/a`, "[[1],[2]]")), /"error"/);
              assertEquals(await answerOf(`${url}/a`, other), next);
            },
            "stream.mjs",
            objects,
          );
        } finally {
          await Deno.remove(storage, { recursive: true });
        }
        const server = new Deno.Command(Deno.execPath(), {
          args: ["run", "--no-lock", "--allow-net", "--allow-read=.", "main.mjs"],
          cwd: folder,
          stderr: "piped",
          stdout: "null",
          env: { DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0", NO_COLOR: "1" },
        }).spawn();
        const reader = server.stderr.pipeThrough(new TextDecoderStream()).getReader();
        try {
          let told = "";
          let url: string | undefined;
          while (url === undefined) {
            const { value, done } = await reader.read();
            assert(!done, told);
            told += value;
            [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(told) ?? [];
          }
          assertEquals(await answerOf(url, one), first);
        } finally {
          server.kill("SIGKILL");
          await reader.cancel();
          await server.status;
        }
      },
    );

    await t.step("docs/browsers.md: a page", async () => {
      for (const block of blocksOf(read("docs/browsers.md"))) {
        const file = fileOf(block);
        if (file !== undefined) await Deno.writeTextFile(`${folder}/${file}`, block.text);
      }
      const model = loadModel(await Deno.readFile(`${folder}/model.safetensors`));
      const output = new Float32Array(3);
      model.createSession().step(Float32Array.of(0, 0, 1), output);
      const server = serveFolder(folder);
      const browser = await launch();
      try {
        const page = await browser.newPage();
        const errors: string[] = [];
        page.on("pageerror", (error) => errors.push(error.message));
        await page.goto(server.url);
        await page.getByText(output.join(", ")).waitFor({ timeout: 20_000 });
        assertEquals(errors, []);
      } finally {
        await browser.close();
        await server.stop();
      }
    });

    for (const { page, model, importModel, values } of GRAPH_FILES) {
      await t.step(`${page}: a running worker`, async () => {
        const own = `${outer}/${model.replace(/^.*\//, "")}`;
        const bytes = await Deno.readFile(new URL(`../models/${model}`, import.meta.url));
        await Deno.mkdir(own);
        await Deno.writeFile(`${own}/model${/\.\w+$/.exec(model)![0]}`, bytes);
        await Deno.writeFile(`${own}/calibration.npy`, npy(5, [20, 30, values]));
        await Deno.writeFile(`${own}/test.npy`, npy(6, [10, 30, values]));
        const { programs, answer, body } = await followToWorker(page, own);
        assertEquals(programs, STEPS_TO_WORKER);
        const steps: number[][] = JSON.parse(body);
        const input = tensor(steps.flat(), [1, steps.length, values]);
        const expected = importModel(bytes).forward(input) as Tensor;
        assertEquals(expected.shape, [1, (answer as number[]).length]);
        (answer as number[]).forEach((score, i) =>
          assertAlmostEquals(score, expected.data[i]!, 0.03)
        );
      });
    }

    await t.step("docs/command.md: a float file, an int8 file and a program", async () => {
      const [train, test] = [npy(1, [8, 20, 3]), npy(2, [4, 20, 3])];
      await Deno.writeFile(`${folder}/train.npy`, train);
      await Deno.writeFile(`${folder}/test.npz`, zipSync({ "x.npy": test }, { level: 0 }));
      const commands = blocksOf(sectionOf("docs/command.md", "From a checkpoint of PyTorch"))
        .flatMap(commandsIn);
      assertEquals(commands.length, 4);
      for (const command of commands) await type(folder, command);
      for (const name of ["float.safetensors", "int8.safetensors", "model.bin"]) {
        assert((await Deno.stat(`${folder}/${name}`)).size > 0, name);
      }
    });

    await t.step("README.md: an ONNX file", async () => {
      const model = "../models/onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.onnx";
      await Deno.copyFile(new URL(model, import.meta.url), `${folder}/model.onnx`);
      await Deno.writeFile(`${folder}/train.npy`, npy(3, [8, 20, 7]));
      await Deno.writeFile(`${folder}/test.npy`, npy(4, [4, 20, 7]));
      const commands = blocksOf(read("README.md")).flatMap(commandsIn)
        .filter((command) => command.startsWith("npx splitgate"));
      assertEquals(commands.length, 2);
      const [inspected, quantized] = [
        await type(folder, commands[0]!),
        await type(folder, commands[1]!),
      ];
      assertMatch(inspected, /LSTM/);
      assertMatch(quantized, /int8 beside float/);
    });
  } finally {
    await stop();
    await Deno.remove(outer, { recursive: true });
  }
});
