// Float linear operators for many rows have the bits of the plain loops.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { linearFloat32 } from "../../../kernels/float/linear.ts";
import { LINEAR, LINEAR_RELAXED } from "../../../kernels/float/linear_wasm.ts";
import { type FloatLinear, type LinearMaker, withLinears } from "../../../kernels/float/linears.ts";
import { generator } from "../../../src/testing/random.ts";

/** Sizes around the block of 16 rows, and its pairs. */
const SIZES = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 50];

interface Case {
  readonly linear: FloatLinear;
  readonly weight: Float32Array;
  readonly bias: Float32Array | null;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly x: Float32Array;
}

function makeCase(make: LinearMaker, seed: number, inFeatures: number, outFeatures: number): Case {
  const random = generator(seed);
  const values = (length: number) => Float32Array.from({ length }, () => random(-3, 3) ** 5);
  const weight = values(outFeatures * inFeatures);
  const bias = seed % 2 === 0 ? values(outFeatures) : null;
  const x = values(9 * inFeatures + 2);
  const linear = make(weight, bias, inFeatures, outFeatures);
  return { linear, weight, bias, inFeatures, outFeatures, x };
}

/** Runs a case at offsets; what lies beside the results stays. */
function check({ linear, weight, bias, inFeatures, outFeatures, x }: Case): void {
  for (const rows of [1, 3, 4, 9]) {
    const out = new Float32Array(rows * outFeatures + 3).fill(7);
    const expected = out.slice();
    linear(x, 2, out, 1, rows);
    for (let r = 0; r < rows; r++) {
      const [from, to] = [2 + r * inFeatures, 1 + r * outFeatures];
      linearFloat32(x, from, weight, bias, inFeatures, outFeatures, expected, to);
    }
    assertEquals(out, expected);
  }
}

Deno.test("the float operator in WebAssembly is one that this engine runs", () => {
  for (const text of [LINEAR, LINEAR_RELAXED]) {
    assert(WebAssembly.validate(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));
  }
});

Deno.test("withLinears() gives linearFloat32's bits, of any size, for few rows and many, several at once", () => {
  let ran = 0;
  const sizes = fc.constantFrom(...SIZES);
  const shapes = fc.array(fc.tuple(sizes, sizes, fc.nat(999)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(shapes, fc.constantFrom(1, 3, 4, 100), (shapes, rows) => {
      withLinears(rows, (make) => {
        const cases = shapes.map(([n, outFeatures, seed]) => makeCase(make, seed, n, outFeatures));
        cases.forEach(check);
        cases.toReversed().forEach(check);
        // A model that runs within another's operators, as an observer may let it.
        withLinears(rows, (inner) => check(makeCase(inner, 1, 17, 33)));
        cases.forEach(check);
        ran++;
      });
    }),
    { numRuns: 300 },
  );
  assertEquals(ran, 300);
});

Deno.test("operators stay as they are while others make the memory grow", () => {
  withLinears(100, (make) => {
    const first = makeCase(make, 2, 5, 19);
    check(first);
    for (let i = 0; i < 12; i++) {
      check(makeCase(make, i, 300, 100));
      check(first);
    }
  });
});

Deno.test("memory is given back when what uses it throws, and zeros pad what was others'", () => {
  assertThrows(() =>
    withLinears(100, (make) => {
      makeCase(make, 1, 50, 50);
      throw new RangeError("stop");
    }), RangeError);
  withLinears(100, (make) => check(makeCase(make, 4, 3, 2)));
});

Deno.test("infinite sums are those of the plain loops", () => {
  withLinears(100, (make) => {
    const weight = Float32Array.of(3e38, 3e38, 1, -3e38, 3e38, 0);
    const linear = make(weight, null, 2, 3);
    const x = Float32Array.of(3e38, 3e38), out = new Float32Array(3), expected = out.slice();
    linear(x, 0, out, 0);
    linearFloat32(x, 0, weight, null, 2, 3, expected, 0);
    assertEquals(out, expected);
  });
});
