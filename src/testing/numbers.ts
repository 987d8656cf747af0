/**
 * Arbitrary numbers for kernels, with edge cases and ties in the foreground.
 *
 * @module
 */
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import { type Activation, FLOAT_FUNCTIONS } from "../../kernels/numeric/float_functions.ts";

/**
 * Any finite float32 value, including subnormals.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { anyFloat32 } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(anyFloat32, { numRuns: 1, seed: 1 });
 * assertEquals(Math.fround(drawn!), drawn);
 * ```
 */
export const anyFloat32: Arbitrary<number> = fc.float({ noNaN: true, noDefaultInfinity: true });

/**
 * Doubles, uniform in min..max (fc.double is uniform in the bits, so that most values are tiny).
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { uniform } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(uniform(-2, 3), { numRuns: 1, seed: 1 });
 * assertEquals(drawn! >= -2 && drawn! <= 3, true);
 * ```
 */
export function uniform(min: number, max: number): Arbitrary<number> {
  return fc.maxSafeNat().map((n) => min + (max - min) * (n / Number.MAX_SAFE_INTEGER));
}

/**
 * Float32 values, uniform in min..max.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { uniformFloat32 } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(uniformFloat32(-2, 3), { numRuns: 1, seed: 1 });
 * assertEquals(Math.fround(drawn!), drawn);
 * ```
 */
export function uniformFloat32(min: number, max: number): Arbitrary<number> {
  return uniform(min, max).map(Math.fround);
}

/**
 * The float32 value `steps` units in the last place from x, away from 0 if steps > 0; 0 if it would
 * cross 0.
 */
export function nudge(x: number, steps: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, Math.abs(x));
  view.setInt32(0, Math.max(0, view.getInt32(0) + steps));
  return x < 0 ? -view.getFloat32(0) : view.getFloat32(0);
}

/**
 * All ±2^i ± {0, 1, 2} in min..max, the ends of the range, and their neighbours.
 *
 * @example
 * ```ts
 * import { edgeLadder } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * assertEquals(edgeLadder(0, 6), [0, 1, 2, 3, 4, 5, 6]);
 * assertEquals(edgeLadder(0, 100).includes(66), true);
 * assertEquals(edgeLadder(0, 100).includes(50), false);
 * ```
 */
export function edgeLadder(min: number, max: number): number[] {
  const edges = new Set([min, min + 1, max - 1, max, 0]);
  for (let i = 0; i <= 52; i++) {
    for (let k = -2; k <= 2; k++) {
      edges.add(2 ** i + k);
      edges.add(-(2 ** i) + k);
    }
  }
  return [...edges].filter((x) => x >= min && x <= max).sort((a, b) => a - b);
}

/**
 * Integers in min..max; half of them from the {@linkcode edgeLadder}.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { ladderInteger } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(ladderInteger(-128, 127), { numRuns: 1, seed: 1 });
 * assertEquals(Number.isInteger(drawn), true);
 * ```
 */
export function ladderInteger(min: number, max: number): Arbitrary<number> {
  return fc.oneof(fc.constantFrom(...edgeLadder(min, max)), fc.integer({ min, max }));
}

/**
 * Scales: powers of two and small multiples of them (these produce ties), round decimals, and
 * others.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { anyScale } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(anyScale, { numRuns: 1, seed: 1 });
 * assertEquals(drawn! > 0, true);
 * ```
 */
export const anyScale: Arbitrary<number> = fc.oneof(
  fc.integer({ min: -24, max: 8 }).map((k) => 2 ** k),
  fc.tuple(fc.integer({ min: -24, max: 4 }), fc.integer({ min: 1, max: 15 })).map(([k, m]) =>
    m * 2 ** k
  ),
  fc.constantFrom(0.1, 0.01, 1 / 255, 1 / 3, 0.02, 1e-3).map(Math.fround),
  fc.float({ min: Math.fround(2 ** -30), max: Math.fround(2 ** 20), noNaN: true }),
).map(Math.fround);

/** A dtype or a range within one, with the array type that holds it. */
export interface Range {
  readonly name: string;
  readonly make: (values: ArrayLike<number>) => Uint8Array | Int8Array | Int32Array;
  readonly quantMin: number;
  readonly quantMax: number;
}

const u8 = (v: ArrayLike<number>) => Uint8Array.from(v);
const i8 = (v: ArrayLike<number>) => Int8Array.from(v);
const i32 = (v: ArrayLike<number>) => Int32Array.from(v);

/** The three dtypes, narrower ranges of them, and both 16-bit ranges that qint32 holds. */
export const RANGES: readonly Range[] = [
  { name: "quint8", make: u8, quantMin: 0, quantMax: 255 },
  { name: "quint8 0..127", make: u8, quantMin: 0, quantMax: 127 },
  { name: "quint8 3..250", make: u8, quantMin: 3, quantMax: 250 },
  { name: "qint8", make: i8, quantMin: -128, quantMax: 127 },
  { name: "qint8 -64..63", make: i8, quantMin: -64, quantMax: 63 },
  { name: "qint32 0..65535", make: i32, quantMin: 0, quantMax: 65535 },
  { name: "qint32 -32768..32767", make: i32, quantMin: -32768, quantMax: 32767 },
  { name: "qint32", make: i32, quantMin: -2147483648, quantMax: 2147483647 },
];

/** The {@linkcode RANGES} of at most 16 bits. */
export const NARROW: readonly Range[] = RANGES.filter((r) => r.quantMax - r.quantMin <= 65535);

/**
 * Random qparams: any scale; a zero point at an end of the range, at 0, in the middle, or anywhere.
 */
export interface Drawn {
  readonly range: Range;
  readonly scale: number;
  readonly zeroPoint: number;
  readonly quantMin: number;
  readonly quantMax: number;
}

/** Random qparams with one of the given ranges. */
export function anyParameters(ranges: readonly Range[]): Arbitrary<Drawn> {
  return fc.constantFrom(...ranges).chain((range) => {
    const { quantMin, quantMax } = range;
    const middle = Math.floor((quantMin + quantMax + 1) / 2);
    const zeroPoint = fc.oneof(
      fc.constantFrom(
        ...[quantMin, quantMax, middle, 0].filter((z) => z >= quantMin && z <= quantMax),
      ),
      fc.integer({ min: quantMin, max: quantMax }),
    );
    return fc.tuple(anyScale, zeroPoint).map(([scale, zeroPoint]) => ({
      range,
      scale,
      zeroPoint,
      quantMin,
      quantMax,
    }));
  });
}

/** Integers in the range of the qparams. */
export function integersOf(
  q: { quantMin: number; quantMax: number },
  length = 8,
): Arbitrary<number[]> {
  return fc.array(ladderInteger(q.quantMin, q.quantMax), { minLength: length, maxLength: length });
}

/** The inverse of an odd number modulo 2^24. */
export function inverse24(a: number): number {
  let b = 1n;
  for (let i = 0; i < 5; i++) b = BigInt.asUintN(24, b * (2n - BigInt(a) * b));
  return Number(b);
}

/**
 * Float32 numbers a, b and c for which a b + c differs from the midpoint of two float32 values by
 * one unit of the product's last place, so that rounding to double first would produce a tie: a b =
 * k 2^24 + side, where the low bits of k are 10..0.
 */
export const nearTies: Arbitrary<[number, number, number]> = fc.record({
  start: fc.integer({ min: 2 ** 22, max: 2 ** 23 - 200000 }),
  side: fc.constantFrom(1, -1),
  bits: fc.integer({ min: 6, max: 9 }),
  mantissa: fc.integer({ min: 2 ** 23, max: 2 ** 24 - 1 }),
  signs: fc.tuple(fc.constantFrom(1, -1), fc.constantFrom(1, -1)),
  shift: fc.integer({ min: -150, max: 40 }),
}).map(({ start, side, bits, mantissa, signs, shift }) => {
  for (let a = start * 2 + 1;; a += 2) {
    const b = side > 0 ? inverse24(a) : 2 ** 24 - inverse24(a);
    const k = (a * b - side) / 2 ** 24;
    if (k % 2 ** bits !== 2 ** (bits - 1)) continue;
    const half = Math.trunc(shift / 2);
    return [
      signs[0] * a * 2 ** half,
      b * 2 ** (shift - half),
      signs[1] * mantissa * 2 ** (24 + bits + shift),
    ];
  }
});

const anySlope = fc.float({ min: 0, max: 4, noNaN: true });

/** Any activation, with random parameters if it has any. */
export const anyActivation: Arbitrary<Activation> = fc.oneof(
  fc.constantFrom(...Object.keys(FLOAT_FUNCTIONS) as (keyof typeof FLOAT_FUNCTIONS)[]),
  fc.oneof(fc.constantFrom(0.2, 1 / 6).map(Math.fround), anySlope).chain((slope) =>
    fc.constantFrom(0.5, 0, 0.25).map((offset) => ({
      name: "hardSigmoid",
      slope,
      offset,
    } as const))
  ),
  fc.oneof(fc.constantFrom(0.01, 0.25, 0.3, 0).map(Math.fround), anySlope).map((negativeSlope) => ({
    name: "leakyRelu",
    negativeSlope,
  } as const)),
);
