/**
 * Random numbers for initial weights: PyTorch's CPU generator.
 *
 * @module
 */
import { fmaFloat32 } from "../../kernels/numeric/requantize.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { checkInteger, failRange, failType } from "./errors.ts";

const f = Math.fround;

/**
 * The Mersenne Twister MT19937 as torch.Generator seeds and reads it.
 *
 * Method: M. Matsumoto and T. Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998).
 *
 * @example
 * ```ts
 * import { Generator } from "@splitgate/splitgate";
 * import { assertAlmostEquals } from "@std/assert";
 * const out = new Float32Array(1);
 * new Generator(0).uniform(out, 0, 1); // torch.manual_seed(0); torch.rand(1)
 * assertAlmostEquals(out[0], 0.4963, 1e-4);
 * ```
 */
export class Generator {
  readonly #state: Uint32Array = new Uint32Array(624);
  #at = 624;
  /** The unused second value of the last pair that {@linkcode Generator.normal} made. */
  #spare: number | null = null;

  /**
   * Starts the sequence that torch.manual_seed(seed) starts on the CPU.
   *
   * @param seed 0..2^32 - 1, as torch.manual_seed takes it.
   * @throws {TypeError | RangeError} If it is not such an integer.
   */
  constructor(seed: number) {
    checkInteger("seed", seed, 0, 2 ** 32 - 1);
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const last = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = Math.imul(1812433253, last) + i;
    }
  }

  /** The next 32 random bits, 0..2^32 - 1. */
  next(): number {
    const state = this.#state;
    if (this.#at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i]! & 0x80000000) | (state[(i + 1) % 624]! & 0x7fffffff);
        state[i] = state[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.#at = 0;
    }
    let y = state[this.#at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /**
   * Fills `out` from the uniform distribution over [low, high): 24 random bits u * 2^-24 a value,
   * then `fma(u, f(high - low), low)`, the bits of torch's vectorized uniform_. Rounding may give
   * high itself.
   *
   * @throws {TypeError} If `out` is no Float32Array.
   * @throws {RangeError} If low > high, or high - low is no finite float32.
   */
  uniform(out: Float32Array, low: number, high: number): void {
    if (!isFloat32Array(out)) failType("out", "a Float32Array", out);
    const from = f(low);
    const range = f(f(high) - from);
    if (!(range >= 0 && range < Infinity)) {
      failRange("high", `a number from low = ${low} up, at a finite distance`, high);
    }
    for (let i = 0; i < out.length; i++) out[i] = fmaFloat32(this.#unit(), range, from);
  }

  #unit(): number {
    return (this.next() & 0xffffff) * 2 ** -24;
  }

  /** 53 random bits times 2^-53. */
  #unitDouble(): number {
    const high = this.next() & 0x1fffff;
    const low = this.next();
    return (high * 2 ** 32 + low) * 2 ** -53;
  }

  /**
   * Fills `out` from the normal distribution of mean 0 and variance 1, by Box and Muller's method
   * from the same random bits as torch's normal_. The values are within 1e-6 of torch's, not equal:
   * sine, cosine and logarithm are those of the engine that runs this.
   *
   * @throws {TypeError} If `out` is no Float32Array.
   */
  normal(out: Float32Array): void {
    if (!isFloat32Array(out)) failType("out", "a Float32Array", out);
    const { length } = out;
    if (length < 16) {
      for (let i = 0; i < length; i++) {
        if (this.#spare !== null) {
          out[i] = this.#spare;
          this.#spare = null;
          continue;
        }
        const theta = 2 * Math.PI * this.#unitDouble();
        const radius = Math.sqrt(-2 * Math.log1p(-this.#unitDouble()));
        out[i] = radius * Math.cos(theta);
        this.#spare = radius * Math.sin(theta);
      }
      return;
    }
    for (let i = 0; i < length; i++) out[i] = this.#unit();
    for (let i = 0; i + 16 <= length; i += 16) normalFill16(out, i);
    if (length % 16 === 0) return;
    // As torch: the last 16 values are generated anew, overwriting some that are there already.
    for (let i = length - 16; i < length; i++) out[i] = this.#unit();
    normalFill16(out, length - 16);
  }
}

/** Turns 16 uniform values into 16 normal ones: value j and value j + 8 make a pair. */
function normalFill16(data: Float32Array, start: number): void {
  for (let j = start; j < start + 8; j++) {
    const radius = f(Math.sqrt(f(-2 * f(Math.log(f(1 - data[j]!))))));
    const theta = f(f(2 * Math.PI) * data[j + 8]!);
    data[j] = radius * f(Math.cos(theta));
    data[j + 8] = radius * f(Math.sin(theta));
  }
}

/**
 * Where a module's initial weights come from: a seed of its own, or a generator that several
 * modules share.
 *
 * @example
 * ```ts
 * import { Generator, Linear, type Seed } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const weights = (seed: Seed) =>
 *   new Linear({ inFeatures: 2, outFeatures: 2, seed }).stateDict().get("weight");
 * assertEquals(weights(7), weights(new Generator(7))); // as after torch.manual_seed(7)
 * ```
 */
export type Seed = number | Generator;

/** A new generator for a seed, or the one given. */
export function generatorOf(seed: Seed): Generator {
  if (seed instanceof Generator) return seed;
  if (typeof seed !== "number") failType("seed", "an integer or a Generator", seed);
  return new Generator(seed);
}
