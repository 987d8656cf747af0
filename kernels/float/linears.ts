/**
 * Float linear operators that are applied to many rows: in WebAssembly SIMD where the engine has
 * it, else in loops, with the same bits.
 *
 * @module
 */
import { linearFloat32 } from "./linear.ts";
import { LINEAR, LINEAR_RELAXED } from "./linear_wasm.ts";

/**
 * `out = weight x + bias` of rows that lie one behind the other, as {@linkcode linearFloat32}: x
 * [rows, inFeatures] at `offset`, out [rows, outFeatures] at `outOffset`; one row by default.
 */
export type FloatLinear = (
  x: Float32Array,
  offset: number,
  out: Float32Array,
  outOffset: number,
  rows?: number,
) => void;

/** Makes a linear operator of weight [outFeatures, inFeatures] and bias [outFeatures] or null. */
export type LinearMaker = (
  weight: Float32Array,
  bias: Float32Array | null,
  inFeatures: number,
  outFeatures: number,
) => FloatLinear;

/**
 * Linear operators that read their weights at each call.
 *
 * @example
 * ```ts
 * import { plainLinear } from "./linears.ts";
 * import { assertEquals } from "@std/assert";
 * const linear = plainLinear(Float32Array.of(3, 4), Float32Array.of(0.5), 2, 1);
 * const out = new Float32Array(1);
 * linear(Float32Array.of(1, 2), 0, out, 0);
 * assertEquals(out[0], 11.5);
 * ```
 */
export const plainLinear: LinearMaker =
  (weight, bias, inFeatures, outFeatures) => (x, offset, out, outOffset, rows = 1) => {
    for (let r = 0; r < rows; r++) {
      const from = offset + r * inFeatures;
      const to = outOffset + r * outFeatures;
      linearFloat32(x, from, weight, bias, inFeatures, outFeatures, out, to);
    }
  };

/** Rows from which laying out a weight anew costs less than it saves. */
const MIN_ROWS = 4;

/** Rows of a block of a weight: those of linear.as. */
const BLOCK = 16;

/** Rows of x that multiplyFour takes together. */
const FOUR = 4;

/** Bytes of a page of WebAssembly memory. */
const PAGE = 65536;

type Multiply = (
  weight: number,
  bias: number,
  x: number,
  out: number,
  columns: number,
  blocks: number,
) => void;

/** What linear.as exports. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly multiply: Multiply;
  readonly multiplyFour: Multiply;
}

/** Memory that calls take from its end and give back in the opposite order. */
class Arena {
  readonly #exports: Exports;
  #top = 0;
  #floats: Float32Array;
  #doubles: Float64Array;

  constructor(exports: Exports) {
    this.#exports = exports;
    this.#floats = new Float32Array(exports.memory.buffer);
    this.#doubles = new Float64Array(exports.memory.buffer);
  }

  /** Runs something that makes operators, and gives their memory back. */
  use<T>(work: (make: LinearMaker) => T): T {
    const top = this.#top;
    try {
      return work((...given) => this.#make(...given));
    } finally {
      this.#top = top;
    }
  }

  #take(bytes: number): number {
    const at = this.#top;
    this.#top += Math.ceil(bytes / BLOCK) * BLOCK;
    const { memory } = this.#exports;
    const missing = this.#top - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    this.#view();
    return at;
  }

  /** Views of the memory as it is: growing it empties the old ones. */
  #view(): void {
    const { buffer } = this.#exports.memory;
    if (this.#floats.buffer === buffer) return;
    this.#floats = new Float32Array(buffer);
    this.#doubles = new Float64Array(buffer);
  }

  #make(
    weight: Float32Array,
    bias: Float32Array | null,
    inFeatures: number,
    outFeatures: number,
  ): FloatLinear {
    const { multiply, multiplyFour } = this.#exports;
    const blocks = Math.ceil(outFeatures / BLOCK);
    const packed = this.#take(8 * blocks * BLOCK * inFeatures);
    const biases = this.#take(8 * blocks * BLOCK);
    const input = this.#take(FOUR * 8 * inFeatures);
    const results = this.#take(FOUR * 4 * blocks * BLOCK);
    const doubles = this.#doubles;
    doubles.fill(0, packed / 8, packed / 8 + blocks * BLOCK * inFeatures);
    for (let r = 0, from = 0; r < outFeatures; r++) {
      let to = packed / 8 + (r - r % BLOCK) * inFeatures + r % BLOCK;
      for (let k = 0; k < inFeatures; k++, from++, to += BLOCK) doubles[to] = weight[from]!;
    }
    doubles.fill(0, biases / 8, biases / 8 + blocks * BLOCK);
    if (bias !== null) doubles.set(bias, biases / 8);
    return (x, offset, out, outOffset, rows = 1) => {
      this.#view();
      const memory = this.#floats;
      const values = this.#doubles;
      for (let done = 0; done < rows;) {
        const count = rows - done >= FOUR ? FOUR : 1;
        const from = offset + done * inFeatures;
        for (let k = 0, at = input / 8; k < count * inFeatures; k++) values[at + k] = x[from + k]!;
        const apply = count === FOUR ? multiplyFour : multiply;
        apply(packed, biases, input, results, inFeatures, blocks);
        for (let r = 0; r < count; r++) {
          const at = results / 4 + r * blocks * BLOCK;
          const to = outOffset + (done + r) * outFeatures;
          for (let i = 0; i < outFeatures; i++) out[to + i] = memory[at + i]!;
        }
        done += count;
      }
    };
  }
}

let arena: Arena | null | undefined;

/** null where the engine has no SIMD, or does not allow code that is made at run time. */
function openArena(): Arena | null {
  for (const text of [LINEAR_RELAXED, LINEAR]) {
    try {
      const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
      return new Arena(exports as unknown as Exports);
    } catch {
      continue;
    }
  }
  return null;
}

/**
 * Runs something that applies linear operators to about `rows` rows each. They read their weights
 * when they are made and can be used until `work` returns.
 *
 * @example
 * ```ts
 * import { withLinears } from "./linears.ts";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * withLinears(100, (make) => {
 *   const linear = make(Float32Array.of(3, 4, 1, 1), null, 2, 2);
 *   linear(Float32Array.of(1, 2), 0, out, 0);
 * });
 * assertEquals([...out], [11, 3]);
 * ```
 */
export function withLinears<T>(rows: number, work: (make: LinearMaker) => T): T {
  if (rows < MIN_ROWS) return work(plainLinear);
  arena = arena === undefined ? openArena() : arena;
  return arena === null ? work(plainLinear) : arena.use(work);
}
