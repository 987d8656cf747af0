/**
 * A search for integers that minimize a quadratic form, used to round the rows of a weight. It runs
 * in WebAssembly SIMD if available, otherwise in loops that make the same moves.
 *
 * @module
 */
import { clamp, roundHalfEven } from "../numeric/requantize.ts";
import { openVectorMemory, type VectorMemory, vectorOrPlain } from "./vector.ts";

/** Moves that lower the error by less than this share of their curvature are rounding noise. */
const MIN_GAIN = 1e-9;

/** Max number of sweeps over a row, far above the need of 8 bits: each sweep lowers the error. */
const MAX_SWEEPS = 1000;

/** Number of vectors that {@linkcode IntegerSearch.multiply} multiplies at once. */
export const VECTORS = 4;

/**
 * Minimizes `qᵀ G q - 2 linearᵀ q` over integers q, for one gram matrix G after another.
 *
 * This is integer coordinate descent: each integer in turn moves to its best value. When no single
 * move helps, pairs move: one integer by one, its best partner by any step. Only `+ - * /` are
 * used, in a fixed order, so that every engine makes the same moves.
 */
export interface IntegerSearch {
  /** Sets G [size, size], symmetric and positive semidefinite. */
  setGram(gram: Float64Array): void;
  /** `out = G x` for {@linkcode VECTORS} vectors. */
  multiply(x: readonly Float64Array[], out: readonly Float64Array[]): void;
  /**
   * Replaces q with integers of a lower error.
   *
   * @param q The start, within lo..hi.
   * @param pull linear - G q, half the negative gradient; overwritten with undefined values.
   */
  descend(q: Int32Array, pull: Float64Array, lo: number, hi: number): void;
}

/** Values derived from a gram matrix that the search uses repeatedly. */
function describeGram(
  gram: Float64Array,
  diagonal: Float64Array,
  coupling: Float64Array,
): void {
  const size = diagonal.length;
  for (let i = 0; i < size; i++) {
    diagonal[i] = gram[i * size + i]!;
    let largest = 0;
    for (let j = 0; j < size; j++) {
      if (j !== i) largest = Math.max(largest, Math.abs(gram[i * size + j]!));
    }
    coupling[i] = 2 * largest;
  }
}

/** The search in loops. */
class PlainSearch implements IntegerSearch {
  #gram: Float64Array = new Float64Array(0);
  readonly #diagonal: Float64Array;
  /** Twice the largest magnitude outside the diagonal, for each row. */
  readonly #coupling: Float64Array;
  #lo = 0;
  #hi = 0;
  #q: Int32Array = new Int32Array(0);
  #pull: Float64Array = this.#gram;

  constructor(size: number) {
    this.#diagonal = new Float64Array(size);
    this.#coupling = new Float64Array(size);
  }

  setGram(gram: Float64Array): void {
    this.#gram = gram;
    describeGram(gram, this.#diagonal, this.#coupling);
  }

  multiply([x0, x1, x2, x3]: readonly Float64Array[], out: readonly Float64Array[]): void {
    const gram = this.#gram;
    const size = x0!.length;
    for (let k = 0, at = 0; k < size; k++) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let j = 0; j < size; j++, at++) {
        const value = gram[at]!;
        a += value * x0![j]!;
        b += value * x1![j]!;
        c += value * x2![j]!;
        d += value * x3![j]!;
      }
      out[0]![k] = a;
      out[1]![k] = b;
      out[2]![k] = c;
      out[3]![k] = d;
    }
  }

  descend(q: Int32Array, pull: Float64Array, lo: number, hi: number): void {
    this.#q = q;
    this.#pull = pull;
    this.#lo = lo;
    this.#hi = hi;
    for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
      if (!this.#moveEach() && !this.#movePairs()) return;
    }
  }

  /** A move by s along k lowers the error by s (2 pull[k] - s G[k, k]). */
  #moveEach(): boolean {
    const q = this.#q;
    const pull = this.#pull;
    let moved = false;
    for (let k = 0; k < q.length; k++) {
      const curvature = this.#diagonal[k]!;
      if (!(curvature > 0)) continue;
      const best = clamp(q[k]! + pull[k]! / curvature, this.#lo, this.#hi);
      const step = roundHalfEven(best) - q[k]!;
      if (step * (2 * pull[k]! - step * curvature) > MIN_GAIN * curvature) {
        this.#move(k, step);
        moved = true;
      }
    }
    return moved;
  }

  #movePairs(): boolean {
    const q = this.#q;
    const pull = this.#pull;
    const size = q.length;
    let moved = false;
    for (let i = 0; i < size; i++) {
      if (!(this.#diagonal[i]! > 0)) continue;
      for (let a = -1; a <= 1; a += 2) {
        // The gain of the step alone: at most 0, like that of any other single step.
        const alone = 2 * a * pull[i]! - this.#diagonal[i]!;
        const to = q[i]! + a;
        if (!(alone + this.#coupling[i]! > 0) || to < this.#lo || to > this.#hi) continue;
        const j = this.#partner(i, a);
        if (j < 0) continue;
        const b = pull[j]! > a * this.#gram[i * size + j]! ? 1 : -1;
        this.#move(i, a);
        this.#move(j, b);
        moved = true;
      }
    }
    return moved;
  }

  #move(k: number, step: number): void {
    const gram = this.#gram;
    const pull = this.#pull;
    this.#q[k]! += step;
    for (let j = 0, at = k * pull.length; j < pull.length; j++, at++) {
      pull[j]! -= gram[at]! * step;
    }
  }

  /**
   * The index after i whose move, together with a step `a` along i, lowers the error most; -1 if
   * none lowers it.
   */
  #partner(i: number, a: number): number {
    const gram = this.#gram;
    const pull = this.#pull;
    const q = this.#q;
    const diagonal = this.#diagonal;
    const lo = this.#lo;
    const hi = this.#hi;
    const size = q.length;
    const alone = 2 * a * pull[i]! - diagonal[i]!;
    let best = 0;
    let found = -1;
    for (let j = i + 1, at = i * size + i + 1; j < size; j++, at++) {
      // The pull along j after the step along i; a step of 1 in its direction then lowers the error
      // by twice its magnitude, less G[j, j].
      const after = pull[j]! - a * gram[at]!;
      const lower = alone - diagonal[j]! + 2 * Math.abs(after);
      if (lower <= best) continue;
      const to = q[j]! + (after > 0 ? 1 : -1);
      if (to < lo || to > hi || !(lower > MIN_GAIN * (diagonal[i]! + diagonal[j]!))) continue;
      if (!(diagonal[j]! > 0)) continue;
      best = lower;
      found = j;
    }
    return found;
  }
}

/** Size of the description of a gram matrix for vector.as: three addresses and the size. */
const PROBLEM_BYTES = 16;

/** The search in SIMD, in its own memory, since a generator may be suspended during a search. */
class VectorSearch implements IntegerSearch {
  readonly #memory: VectorMemory;
  readonly #size: number;
  /** The size of the gram matrix, padded to a multiple of four. */
  readonly #width: number;
  readonly #problem: number;
  readonly #gram: number;
  readonly #padded: number;
  readonly #diagonal: number;
  readonly #coupling: number;
  readonly #q: number;
  readonly #pull: number;
  readonly #x: number;
  readonly #out: number;

  constructor(memory: VectorMemory, size: number) {
    this.#memory = memory;
    this.#size = size;
    const width = this.#width = Math.ceil(size / VECTORS) * VECTORS;
    this.#problem = memory.take(PROBLEM_BYTES);
    this.#gram = memory.take(8 * size * size);
    this.#padded = width === size ? this.#gram : memory.take(8 * width * width);
    this.#diagonal = memory.take(8 * size);
    this.#coupling = memory.take(8 * size);
    this.#q = memory.take(4 * size);
    this.#pull = memory.take(8 * size);
    this.#x = memory.take(8 * VECTORS * width);
    this.#out = memory.take(8 * VECTORS * width);
    const problem = [this.#gram, this.#diagonal, this.#coupling, size];
    memory.integers.set(problem, this.#problem / 4);
  }

  setGram(gram: Float64Array): void {
    const { doubles } = this.#memory;
    const size = this.#size;
    doubles.set(gram, this.#gram / 8);
    if (this.#padded !== this.#gram) {
      for (let i = 0; i < size; i++) {
        doubles.set(gram.subarray(i * size, (i + 1) * size), this.#padded / 8 + i * this.#width);
      }
    }
    const diagonal = this.#diagonal / 8;
    const coupling = this.#coupling / 8;
    describeGram(
      gram,
      doubles.subarray(diagonal, diagonal + size),
      doubles.subarray(coupling, coupling + size),
    );
  }

  multiply(x: readonly Float64Array[], out: readonly Float64Array[]): void {
    const { doubles, exports } = this.#memory;
    const size = this.#size;
    for (let v = 0; v < VECTORS; v++) {
      const from = x[v]!;
      for (let k = 0, at = this.#x / 8 + v; k < size; k++, at += VECTORS) doubles[at] = from[k]!;
    }
    exports.multiplyGram(this.#padded, this.#x, this.#out, this.#width);
    for (let v = 0; v < VECTORS; v++) {
      const to = out[v]!;
      for (let k = 0, at = this.#out / 8 + v; k < size; k++, at += VECTORS) to[k] = doubles[at]!;
    }
  }

  descend(q: Int32Array, pull: Float64Array, lo: number, hi: number): void {
    const { doubles, integers, exports } = this.#memory;
    integers.set(q, this.#q / 4);
    doubles.set(pull, this.#pull / 8);
    exports.descend(this.#problem, this.#q, this.#pull, lo, hi);
    q.set(integers.subarray(this.#q / 4, this.#q / 4 + this.#size));
  }
}

/** Size from which SIMD saves more time than copying costs. */
const MIN_SIZE = 8;

/** A search in loops for q of `size` integers. */
export function plainSearch(size: number): IntegerSearch {
  return new PlainSearch(size);
}

/**
 * A search for q of `size` integers.
 *
 * @example
 * ```ts
 * import { openIntegerSearch } from "./integer_search.ts";
 * import { assertEquals } from "@std/assert";
 * // Two inputs that are nearly the same: of 0.4 + 0.4 nearest rounding leaves nothing.
 * const search = openIntegerSearch(2), q = Int32Array.of(0, 0);
 * search.setGram(Float64Array.of(1, 0.99, 0.99, 1));
 * search.descend(q, Float64Array.of(0.796, 0.796), -127, 127);
 * assertEquals([...q], [1, 0]);
 * ```
 */
export function openIntegerSearch(size: number): IntegerSearch {
  const memory = size < MIN_SIZE ? null : openVectorMemory();
  if (memory === null) return plainSearch(size);
  return vectorOrPlain<IntegerSearch>(
    () => new VectorSearch(memory, size),
    () => plainSearch(size),
  );
}
