/**
 * The test worker, built from the packed package and the demo's data.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";
import {
  compileModel,
  convert,
  Generator,
  getPreset,
  loadModel,
  LSTM,
  prepare,
  tensor,
} from "@splitgate/splitgate";
import { bundle } from "../bundle.ts";
import { thaiFile } from "../cases.ts";
import { installPacked, NAME } from "../install.ts";
import { packModelFiles } from "../model_files.ts";
import { readThai } from "../suite.ts";
import type { WorkerModule } from "./workerd.ts";

const DATA = new URL("../../../demo/data/", import.meta.url);

/** A streaming model from a seed, compiled. */
export function streamingFile(
  inputSize: number,
  hiddenSize: number,
  seed: number,
): Uint8Array<ArrayBuffer> {
  const lstm = new LSTM({ inputSize, hiddenSize, seed });
  const input = new Float32Array(40 * inputSize);
  new Generator(seed).uniform(input, -2, 2);
  const observed = prepare(lstm, getPreset("fbgemm"), { splitGates: true });
  observed.forward(tensor(input, [40, 1, inputSize]));
  return compileModel(convert(observed));
}

/** What {@linkcode buildWorker} made. */
export interface BuiltWorker {
  readonly thai: Uint8Array<ArrayBuffer>;
  readonly streaming: Uint8Array<ArrayBuffer>;
  /** The worker's modules, with another streaming model where one is given. */
  modules(streaming?: string): WorkerModule[];
  /** The modules of the worker that digests the shared cases. */
  readonly digest: readonly WorkerModule[];
  /** The modules of the worker that holds many sessions. */
  readonly many: readonly WorkerModule[];
}

/** Installs the packed package in `folder` and builds the workers there. */
export async function buildWorker(
  folder: string,
  inputSize: number,
  hiddenSize: number,
): Promise<BuiltWorker> {
  await installPacked(folder);
  const external = ["thai.*", "streaming.program", "models.safetensors"];
  const wasm: Plugin = {
    name: "wasm",
    setup: (build) =>
      build.onResolve({ filter: /\.wasm$/ }, () => ({ path: "./plain.wasm", external: true })),
  };
  for (const entry of ["worker", "digest_worker", "many_worker"]) {
    await bundle(new URL(`${entry}.ts`, import.meta.url), folder, `${entry}.js`, {
      external,
      plugins: [wasm],
    });
  }
  const files = packModelFiles();
  const assets = readThai(DATA);
  await Deno.writeFile(`${folder}/models.safetensors`, files);
  const thai = compileModel(loadModel(thaiFile(assets, "accurate")));
  const streaming = streamingFile(inputSize, hiddenSize, 1);
  await Deno.writeFile(`${folder}/thai.program`, thai);
  await Deno.writeFile(`${folder}/streaming.program`, streaming);
  const plain: WorkerModule = {
    name: "plain.wasm",
    kind: "wasm",
    path: `${folder}/node_modules/${NAME}/kernels/simd/plain.wasm`,
  };
  const data = (name: string, kind: "data" | "text"): WorkerModule => ({
    name,
    kind,
    path: fileURLToPath(new URL(name, DATA)),
  });
  return {
    thai,
    streaming,
    modules: (streaming = `${folder}/streaming.program`) => [
      { name: "worker.js", kind: "esModule", path: `${folder}/worker.js` },
      plain,
      { name: "thai.program", kind: "data", path: `${folder}/thai.program` },
      data("thai.json", "text"),
      { name: "streaming.program", kind: "data", path: streaming },
    ],
    many: [
      { name: "worker.js", kind: "esModule", path: `${folder}/many_worker.js` },
      { name: "streaming.program", kind: "data", path: `${folder}/streaming.program` },
    ],
    digest: [
      { name: "worker.js", kind: "esModule", path: `${folder}/digest_worker.js` },
      plain,
      data("thai.safetensors", "data"),
      data("thai.json", "text"),
      data("thai.calibration.txt", "text"),
      data("thai.test.txt", "text"),
      { name: "models.safetensors", kind: "data", path: `${folder}/models.safetensors` },
    ],
  };
}
