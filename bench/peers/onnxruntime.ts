/**
 * onnxruntime-web (WebAssembly, one thread) and onnxruntime-node (native, one thread): LSTM and GRU
 * in float, and DynamicQuantizeLSTM.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createOnnxModel, stateNames } from "./onnx_model.ts";
import {
  FLOAT_TOLERANCE,
  importPackage,
  INT8_TOLERANCE,
  type Peer,
  type PeerSource,
  type Runner,
} from "./peer.ts";
import { KINDS, type Problem, STEPS, stepsOf } from "./problem.ts";

interface OrtTensor {
  readonly data: Float32Array;
}

interface OrtSession {
  run(
    feeds: Record<string, OrtTensor>,
    fetches: readonly string[],
  ): Promise<Record<string, OrtTensor>>;
}

interface Ort {
  readonly env: {
    logLevel: string;
    wasm: { numThreads: number; proxy: boolean; wasmBinary: ArrayBufferLike };
  };
  readonly InferenceSession: {
    create(model: Uint8Array, options: unknown): Promise<OrtSession>;
  };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => OrtTensor;
}

const SEQUENCE = ["Y"];

async function createRunner(
  ort: Ort,
  provider: string,
  problem: Problem,
  int8: boolean,
): Promise<Runner> {
  const { size, inputSize, input, head } = problem;
  const session = await ort.InferenceSession.create(
    await createOnnxModel(problem, int8),
    { executionProviders: [provider], intraOpNumThreads: 1, interOpNumThreads: 1 },
  );
  const xs = stepsOf(problem).map((x) => new ort.Tensor("float32", x, [1, 1, inputSize]));
  const zero = new ort.Tensor("float32", new Float32Array(size), [1, 1, size]);
  const { before, after } = stateNames(problem);
  const zeros = Object.fromEntries(before.map((name) => [name, zero]));
  const all = { X: new ort.Tensor("float32", input, [STEPS, 1, inputSize]), ...zeros };
  // A layer's last state is its output, which then need not be fetched twice.
  const answer = head === undefined ? after[0]! : "Y";
  const fetches = head === undefined ? after : ["Y", ...after];
  const feeds: Record<string, OrtTensor> = { X: xs[0]!, ...zeros };
  return {
    reset: () => {
      for (const name of before) feeds[name] = zero;
    },
    step: async (t) => {
      feeds.X = xs[t]!;
      const results = await session.run(feeds, fetches);
      for (let i = 0; i < before.length; i++) feeds[before[i]!] = results[after[i]!]!;
      return results[answer]!.data;
    },
    sequence: async () => (await session.run(all, SEQUENCE)).Y!.data,
  };
}

function peers(name: string, ort: Ort, provider: string): readonly Peer[] {
  ort.env.logLevel = "error";
  return [false, true].map((int8) => ({
    name: `${name} ${int8 ? "int8" : "float32"}`,
    problems: int8 ? ["lstm", "model"] : KINDS,
    tolerance: int8 ? INT8_TOLERANCE : FLOAT_TOLERANCE,
    prepare: async (problem) => [await createRunner(ort, provider, problem, int8)],
  }));
}

/** onnxruntime-web. */
export const onnxruntimeWeb: PeerSource = {
  names: ["onnxruntime-web float32", "onnxruntime-web int8"],
  async load() {
    const ort = await importPackage<Ort>("onnxruntime-web/wasm");
    const entry = createRequire(import.meta.url).resolve("onnxruntime-web/wasm");
    const wasm = readFileSync(join(dirname(entry), "ort-wasm-simd-threaded.wasm"));
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.proxy = false;
    ort.env.wasm.wasmBinary = wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength);
    return peers("onnxruntime-web", ort, "wasm");
  },
};

/** onnxruntime-node. */
export const onnxruntimeNode: PeerSource = {
  names: ["onnxruntime-node float32", "onnxruntime-node int8"],
  load: async () => peers("onnxruntime-node", await importPackage<Ort>("onnxruntime-node"), "cpu"),
};
