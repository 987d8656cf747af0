// onnxruntime-web on its wasm backend: load, and the first step.
import { answered, read } from "./host.ts";

/** Put in by the bench: the package's entry, its wasm, the model, its size. */
declare const ENTRY: string, WASM: string, MODEL: string, SIZE: number;

const module = await import(ENTRY);
const ort = module.default ?? module;
ort.env.logLevel = "error";
ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = false;
const wasm = read(WASM);
ort.env.wasm.wasmBinary = wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength);
const session = await ort.InferenceSession.create(read(MODEL), { executionProviders: ["wasm"] });
const tensor = (value: number) =>
  new ort.Tensor("float32", new Float32Array(SIZE).fill(value), [1, 1, SIZE]);
const { h0_next: h } = await session.run({ X: tensor(0.5), h0: tensor(0), c0: tensor(0) });
if (h.data.every((value: number) => value === 0)) throw new Error("no answer");
answered();
// Its threads would keep the process alive.
if ("Deno" in globalThis) Deno.exit(0);
else (globalThis as unknown as { process: { exit(code: number): void } }).process.exit(0);
