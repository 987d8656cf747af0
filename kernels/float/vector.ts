/**
 * The WebAssembly SIMD of float operators (vector.as), and memory for what it works on. It gives the
 * bits of the plain loops beside which it is used.
 *
 * @module
 */
import { expFloat32, tanhFloat32 } from "../numeric/float_functions.ts";
import { VECTOR, VECTOR_RELAXED } from "./vector_wasm.ts";

/** What vector.as exports; addresses are bytes from the beginning of its memory. */
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

/** Bytes of a page of WebAssembly memory. */
const PAGE = 65536;

/** What each piece of memory begins at a multiple of, in bytes. */
const ALIGNMENT = 16;

/** Thrown where memory cannot grow: {@linkcode vectorOrPlain} takes loops then. */
class NoRoom extends Error {}

/**
 * What `vector` gives or, where there is no room for what it takes, `plain`.
 *
 * @param vector Takes all of its memory before it changes anything else.
 */
export function vectorOrPlain<T>(vector: () => T, plain: () => T): T {
  try {
    return vector();
  } catch (error) {
    if (error instanceof NoRoom) return plain();
    throw error;
  }
}

/** An instance, and memory of it that is taken from its end and given back in the opposite order. */
export class VectorMemory {
  readonly exports: VectorExports;
  /** Views of the whole memory, as long as it does not grow: {@linkcode take} makes them anew. */
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

  /** Runs something that takes memory, and gives that back. */
  use<T>(work: (memory: VectorMemory) => T): T {
    const top = this.#top;
    try {
      return work(this);
    } finally {
      this.#top = top;
    }
  }

  /**
   * Where so many bytes begin, which are what others left there.
   *
   * @throws {NoRoom} If the memory cannot grow by what is missing.
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
        throw new NoRoom(undefined, { cause: error });
      }
      this.#view();
    }
    this.#top = top;
    return at;
  }

  /** Growing a memory empties the views that there were. */
  #view(): void {
    const { buffer } = this.exports.memory;
    this.floats = new Float32Array(buffer);
    this.doubles = new Float64Array(buffer);
    this.integers = new Int32Array(buffer);
  }
}

let module: WebAssembly.Module | null | undefined;
let shared: VectorMemory | null | undefined;

/** Compiles vector.as; null where the engine has no SIMD, or forbids code made at run time. */
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

/** Memory of one's own, for as long as it is referred to; null where there is no SIMD. */
export function openVectorMemory(): VectorMemory | null {
  module = module === undefined ? compile() : module;
  if (module === null) return null;
  try {
    return new VectorMemory(module);
  } catch {
    return module = null;
  }
}

/** The memory that calls share which give back what they take; null where there is no SIMD. */
export function sharedVectorMemory(): VectorMemory | null {
  return shared = shared === undefined ? openVectorMemory() : shared;
}
