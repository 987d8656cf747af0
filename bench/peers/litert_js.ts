/**
 * LiteRT.js (WebAssembly, one thread): an LSTM cell of builtin operators, in float32 and in int8
 * between float32 edges, which is all that it takes. Its models are what peer_litert.py writes: it
 * loads no fused LSTM, whose variable tensors it does not support.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  FLOAT_TOLERANCE,
  importPackage,
  INT8_TOLERANCE,
  type Peer,
  type PeerSource,
  type Runner,
} from "./peer.ts";
import { fileName, type Problem, stepsOf } from "./problem.ts";

interface LiteRtTensor {
  toTypedArray(): Float32Array;
  delete(): void;
}

interface CompiledModel {
  run(inputs: readonly LiteRtTensor[]): Promise<readonly LiteRtTensor[]>;
}

interface LiteRt {
  loadLiteRt(folder: string, options: { threads: boolean }): Promise<unknown>;
  loadAndCompile(model: Uint8Array, options: { accelerator: "wasm" }): Promise<CompiledModel>;
  readonly Tensor: new (values: Float32Array, shape: readonly number[]) => LiteRtTensor;
}

/** What its loader, which is written for browsers, looks for; taken away when it has loaded. */
const BROWSER_GLOBALS = ["self", "require", "__filename", "__dirname", "importScripts", "Module"];

/** Runs a load in an environment where LiteRT.js finds its WebAssembly on disk. */
async function inBrowserClothes(folder: string, load: () => Promise<unknown>): Promise<void> {
  const scope = globalThis as Record<string, unknown>;
  const before = BROWSER_GLOBALS.map((name) => [name, scope[name]] as const);
  const script = join(folder, "litert.js");
  scope["self"] ??= globalThis;
  scope["require"] ??= createRequire(script);
  scope["__filename"] ??= script;
  scope["__dirname"] ??= folder;
  scope["importScripts"] = (url: string) => {
    const path = url.startsWith("file:") ? fileURLToPath(url) : url;
    // An indirect eval declares in the global scope, as importScripts does.
    (0, eval)(`${readFileSync(path, "utf8")}\n;globalThis.ModuleFactory = ModuleFactory;`);
    scope["Module"] = {
      locateFile: (name: string) => join(folder, name),
      wasmBinary: readFileSync(path.replace(/\.js$/, ".wasm")),
      print: () => {},
      printErr: () => {},
    };
  };
  try {
    await load();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete scope[name];
      else scope[name] = value;
    }
  }
}

/** The state is kept in the tensors that a step gives: nothing is copied but the output. */
function createRunner(liteRt: LiteRt, model: CompiledModel, problem: Problem): Runner {
  const { size, inputSize } = problem;
  const xs = stepsOf(problem);
  const zero = () => new liteRt.Tensor(new Float32Array(size), [1, size]);
  let h = zero();
  let c = zero();
  const replace = (nextH: LiteRtTensor, nextC: LiteRtTensor) => {
    h.delete();
    c.delete();
    h = nextH;
    c = nextC;
  };
  return {
    reset: () => replace(zero(), zero()),
    step: async (t) => {
      const x = new liteRt.Tensor(xs[t]!, [1, inputSize]);
      const [nextH, nextC] = await model.run([x, h, c]);
      x.delete();
      replace(nextH!, nextC!);
      return h.toTypedArray();
    },
  };
}

const name = (int8: boolean) => `LiteRT.js ${int8 ? "int8" : "float32"} cell`;

/** LiteRT.js. */
export const liteRtJs: PeerSource = {
  names: [name(false), name(true)],
  async load() {
    const models = process.argv[2]!;
    const entry = createRequire(import.meta.url).resolve("@litertjs/core");
    const folder = join(dirname(entry), "..", "wasm");
    const liteRt = await importPackage<LiteRt>(pathToFileURL(entry).href);
    await inBrowserClothes(folder, () => liteRt.loadLiteRt(folder + sep, { threads: false }));
    return [false, true].map((int8): Peer => ({
      name: name(int8),
      problems: ["lstm"],
      tolerance: int8 ? INT8_TOLERANCE : FLOAT_TOLERANCE,
      prepare: async (problem) => {
        const type = int8 ? "int8" : "float32";
        const file = join(models, `${fileName(problem.kind, problem.size)}.${type}.tflite`);
        if (!existsSync(file)) throw new Error("no Python with ai-edge-litert wrote its model");
        const bytes = readFileSync(file);
        const model = await liteRt.loadAndCompile(new Uint8Array(bytes), { accelerator: "wasm" });
        return [createRunner(liteRt, model, problem)];
      },
    }));
  },
};
