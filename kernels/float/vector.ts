/**
 * The WebAssembly SIMD of float operators (vector.as) and its memory. It returns the same bits as
 * the plain loops.
 *
 * @module
 */
import { expFloat32, tanhFloat32 } from "../numeric/float_functions.ts";
import { VECTOR, VECTOR_RELAXED } from "./vector_wasm.ts";

/** The exports of vector.as; addresses are byte offsets into its memory. */
export interface VectorExports {
  readonly memory: WebAssembly.Memory;
  pack(from: number, to: number, columns: number): void;
  multiply(layer: number, x: number, out: number, rows: number): void;
  sigmoid(values: number, count: number): void;
  hyperbolicTangent(values: number, count: number): void;
  addGrams(
    gram: number,
    inputs: number,
    weights: number,
    room: number,
    width: number,
    count: number,
  ): void;
  multiplyGram(gram: number, x: number, out: number, size: number): void;
  descend(problem: number, q: number, pull: number, lo: number, hi: number): void;
}

/** Size of a page of WebAssembly memory. */
const PAGE = 65536;

/** Alignment of allocations, in bytes. */
const ALIGNMENT = 16;

/** Thrown if memory cannot grow; {@linkcode vectorOrPlain} then runs the loops. */
class OutOfMemory extends Error {}

/**
 * The result of `vector`, or of `plain` if memory is too small for `vector`.
 *
 * @param vector Allocates all of its memory before it changes anything else.
 */
export function vectorOrPlain<T>(vector: () => T, plain: () => T): T {
  try {
    return vector();
  } catch (error) {
    if (error instanceof OutOfMemory) return plain();
    throw error;
  }
}

/** An instance of vector.as, and its memory, allocated like a stack. */
export class VectorMemory {
  readonly exports: VectorExports;
  /** Views of the whole memory; {@linkcode take} renews them when the memory grows. */
  floats!: Float32Array;
  doubles!: Float64Array;
  integers!: Int32Array;
  #top = 0;

  constructor(module: WebAssembly.Module) {
    const exact = { exp: expFloat32, tanh: tanhFloat32 };
    const { exports } = new WebAssembly.Instance(module, { exact });
    this.exports = exports as unknown as VectorExports;
    this.#view();
  }

  /** Calls a function that allocates memory, and frees what it allocated. */
  use<T>(work: (memory: VectorMemory) => T): T {
    const top = this.#top;
    try {
      return work(this);
    } finally {
      this.#top = top;
    }
  }

  /**
   * Allocates bytes, uninitialized, and returns their address.
   *
   * @throws {OutOfMemory} If the memory cannot grow enough.
   */
  take(bytes: number): number {
    const at = this.#top;
    const top = at + Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    const { memory } = this.exports;
    const missing = top - memory.buffer.byteLength;
    if (missing > 0) {
      try {
        memory.grow(Math.ceil(missing / PAGE));
      } catch (error) {
        throw new OutOfMemory(undefined, { cause: error });
      }
      this.#view();
    }
    this.#top = top;
    return at;
  }

  /** Growing the memory detaches the existing views. */
  #view(): void {
    const { buffer } = this.exports.memory;
    this.floats = new Float32Array(buffer);
    this.doubles = new Float64Array(buffer);
    this.integers = new Int32Array(buffer);
  }
}

let module: WebAssembly.Module | null | undefined;
let shared: VectorMemory | null | undefined;

/** Compiles vector.as; null if the engine has no SIMD or forbids compiling at run time. */
function compile(): WebAssembly.Module | null {
  for (const text of [VECTOR_RELAXED, VECTOR]) {
    try {
      return new WebAssembly.Module(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
    } catch {
      continue;
    }
  }
  return null;
}

/** A new memory, alive as long as it is referenced; null without SIMD. */
export function openVectorMemory(): VectorMemory | null {
  module = module === undefined ? compile() : module;
  if (module === null) return null;
  try {
    return new VectorMemory(module);
  } catch {
    return module = null;
  }
}

/** The memory shared by calls that free what they allocate; null without SIMD. */
export function sharedVectorMemory(): VectorMemory | null {
  return shared = shared === undefined ? openVectorMemory() : shared;
}
