/**
 * Bytes in the forms callers have them, and platform types that every TypeScript from 5.0 on reads
 * the same way, with or without the DOM library.
 *
 * @module
 */
import { failType } from "./errors.ts";

/**
 * Bytes in a buffer of their own: a `Uint8Array`, from TypeScript 5.7 on a
 * `Uint8Array<ArrayBuffer>`, which `Response`, `Blob` and `crypto` take as it is.
 *
 * @example
 * ```ts
 * import { type Bytes, Linear, saveFloatModel } from "@splitgate/splitgate";
 * const file: Bytes = saveFloatModel(new Linear({ inFeatures: 2, outFeatures: 3 }));
 * new Response(file); // what takes an ArrayBuffer's view takes it
 * ```
 */
export type Bytes = ReturnType<Uint8Array["slice"]>;

/**
 * A `WebAssembly.Module`; any object where no library declares WebAssembly.
 *
 * @example
 * ```ts
 * import { simdKernels, type WasmModule } from "@splitgate/splitgate/simd";
 * // In a Cloudflare worker: import module from "@splitgate/splitgate/simd/relaxed.wasm".
 * const bytes = await Deno.readFile("kernels/simd/plain.wasm");
 * const module: WasmModule = await WebAssembly.compile(bytes);
 * await simdKernels({ module });
 * ```
 */
export type WasmModule = typeof globalThis extends
  { WebAssembly: { Module: { readonly prototype: infer Module } } } ? Module : object;

/**
 * A source of bytes: a view of any kind (`Uint8Array`, Node's `Buffer`, `DataView`), or a buffer.
 *
 * @example
 * ```ts
 * import { compileModel, LSTM, quantize } from "@splitgate/splitgate";
 * import { type BytesSource, loadProgram } from "@splitgate/splitgate/runtime/state";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 1, hiddenSize: 2 });
 * const program = compileModel((await quantize(lstm, [Float32Array.of(0.5, 1)])).model);
 * const sources: BytesSource[] = [program, program.buffer, new DataView(program.buffer)];
 * assertEquals(sources.map((bytes) => loadProgram(bytes).outputSize), [2, 2, 2]);
 * ```
 */
export type BytesSource = ArrayBufferView | ArrayBufferLike;

/**
 * The bytes of a view or a buffer, of any realm, without copying them.
 *
 * @param name What messages call the value.
 * @throws {TypeError} If it is neither.
 */
export function bytesOf(name: string, value: BytesSource): Uint8Array {
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (!/^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(value))) {
    failType(name, "bytes, as an ArrayBuffer or a view of one such as Uint8Array", value);
  }
  return new Uint8Array(value);
}
