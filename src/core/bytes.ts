/**
 * Types of the platform's that every TypeScript from 5.0 on, with and without the DOM library,
 * reads alike.
 *
 * @module
 */

/**
 * Bytes in a buffer of their own: a `Uint8Array`, from TypeScript 5.7 on a
 * `Uint8Array<ArrayBuffer>`, which `Response`, `Blob` and `crypto` take as it is.
 */
export type Bytes = ReturnType<Uint8Array["slice"]>;

/** A `WebAssembly.Module`; any object where no library declares WebAssembly. */
export type WasmModule = typeof globalThis extends
  { WebAssembly: { Module: { readonly prototype: infer Module } } } ? Module : object;
