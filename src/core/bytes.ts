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
 */
export type Bytes = ReturnType<Uint8Array["slice"]>;

/** A `WebAssembly.Module`; any object where no library declares WebAssembly. */
export type WasmModule = typeof globalThis extends
  { WebAssembly: { Module: { readonly prototype: infer Module } } } ? Module : object;

/**
 * A source of bytes: a view of any kind (`Uint8Array`, Node's `Buffer`, `DataView`), or a buffer.
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
