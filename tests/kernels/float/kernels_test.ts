// Float linear operators for many rows have the bits of the plain loops.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { linearFloat32 } from "../../../kernels/float/linear.ts";
import type { FloatLayer } from "../../../kernels/float/linear.ts";
import { VECTOR, VECTOR_RELAXED } from "../../../kernels/float/vector_wasm.ts";
import {
  type FloatKernels,
  type FloatLinear,
  plainKernels,
  withFloatKernels,
} from "../../../kernels/float/kernels.ts";
import { generator } from "../../../src/testing/random.ts";

/** Sizes around the block of 16 rows, its fours and its pairs. */
const SIZES = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 50];

/** Numbers of rows around the four that are taken together, and the chunk that is copied at once. */
const ROWS = [1, 3, 4, 9, 31, 32, 33, 70];

interface Case {
  readonly linear: FloatLinear;
  readonly layer: FloatLayer;
  readonly x: Float32Array;
}

function makeCase(
  { linear }: FloatKernels,
  seed: number,
  inFeatures: number,
  outFeatures: number,
): Case {
  const random = generator(seed);
  const values = (length: number) => Float32Array.from({ length }, () => random(-3, 3) ** 5);
  const weight = values(outFeatures * inFeatures);
  const bias = seed % 2 === 0 ? values(outFeatures) : null;
  const x = values(ROWS.at(-1)! * inFeatures + 2);
  const layer = { weight, bias, inFeatures, outFeatures };
  return { linear: linear(layer), layer, x };
}

/** Runs a case at offsets; what lies beside the results stays. */
function check({ linear, layer, x }: Case): void {
  const { inFeatures, outFeatures } = layer;
  for (const rows of ROWS) {
    const out = new Float32Array(rows * outFeatures + 3).fill(7);
    const expected = out.slice();
    linear(x, 2, out, 1, rows);
    for (let r = 0; r < rows; r++) {
      linearFloat32(layer, x, 2 + r * inFeatures, expected, 1 + r * outFeatures);
    }
    assertEquals(out, expected);
  }
}

Deno.test("the float operator in WebAssembly is one that this engine runs", () => {
  for (const text of [VECTOR, VECTOR_RELAXED]) {
    assert(WebAssembly.validate(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));
  }
});

Deno.test("withFloatKernels() gives linearFloat32's bits, of any size, for few rows and many, several at once", () => {
  let ran = 0;
  const sizes = fc.constantFrom(...SIZES);
  const shapes = fc.array(fc.tuple(sizes, sizes, fc.nat(999)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(shapes, fc.constantFrom(1, 3, 4, 100), (shapes, rows) => {
      withFloatKernels(rows, (kernels) => {
        const cases = shapes.map(([n, outFeatures, seed]) =>
          makeCase(kernels, seed, n, outFeatures)
        );
        cases.forEach(check);
        cases.toReversed().forEach(check);
        // A model that runs within another's operators, as an observer may let it.
        withFloatKernels(rows, (inner) => check(makeCase(inner, 1, 17, 33)));
        cases.forEach(check);
        ran++;
      });
    }),
    { numRuns: 100 },
  );
  assertEquals(ran, 100);
});

Deno.test("operators stay as they are while others make the memory grow", () => {
  withFloatKernels(100, (kernels) => {
    const first = makeCase(kernels, 2, 5, 19);
    check(first);
    for (let i = 0; i < 12; i++) {
      check(makeCase(kernels, i, 300, 100));
      check(first);
    }
  });
});

Deno.test("memory is given back when what uses it throws, and zeros pad what was others'", () => {
  assertThrows(() =>
    withFloatKernels(100, (kernels) => {
      makeCase(kernels, 1, 50, 50);
      throw new RangeError("stop");
    }), RangeError);
  withFloatKernels(100, (kernels) => check(makeCase(kernels, 4, 3, 2)));
});

Deno.test("infinite sums are those of the plain loops", () => {
  withFloatKernels(100, (kernels) => {
    const weight = Float32Array.of(3e38, 3e38, 1, -3e38, 3e38, 0);
    const layer = { weight, bias: null, inFeatures: 2, outFeatures: 3 };
    const linear = kernels.linear(layer);
    const x = Float32Array.of(3e38, 3e38);
    const out = new Float32Array(3);
    const expected = out.slice();
    linear(x, 0, out, 0);
    linearFloat32(layer, x, 0, expected, 0);
    assertEquals(out, expected);
  });
});

/** Float32 values of every exponent, both signs, and where functions of them change. */
function floats(seed: number): Float32Array {
  const random = generator(seed);
  const bits = Uint32Array.from({ length: 3000 }, () => random(0, 2 ** 32));
  const near = Float32Array.from({ length: 3000 }, () => random(-20, 20));
  const far = Float32Array.from(
    { length: 300 },
    () => random(80, 110) * (random(0, 1) < 0.5 ? -1 : 1),
  );
  const corners = [0, -0, 1, -1, 2 ** -149, -(2 ** -149), 88.72284, -88.72284, 9.010913, 103.97208];
  const edges = [-103.97208, 87.33655, Infinity, -Infinity, NaN, 3.4e38, -3.4e38, 1e-30, -1e-30];
  return Float32Array.of(...new Float32Array(bits.buffer), ...near, ...far, ...corners, ...edges);
}

Deno.test("functions of many values have the bits of one by one, of any range, and touch nothing beside", () => {
  let ran = 0;
  for (const name of ["sigmoid", "tanh", "relu", "hardSigmoid", "linear"] as const) {
    withFloatKernels(100, (kernels) => {
      const [vector, plain] = [kernels, plainKernels].map(({ activation }) => activation(name));
      for (let seed = 0; seed < 10; seed++) {
        const values = floats(seed);
        const expected = values.slice();
        for (const [from, to] of [[0, 7], [7, 15], [16, 33], [40, 41], [50, values.length - 1]]) {
          vector!(values, from!, to!);
          plain!(expected, from!, to!);
          ran++;
        }
        assertEquals(new Uint32Array(values.buffer), new Uint32Array(expected.buffer));
      }
    });
  }
  assertEquals(ran, 5 * 10 * 5);
});

Deno.test("no float32 value that a scan in steps meets has another sigmoid or tanh in vectors", () => {
  const STEP = 8191;
  const COUNT = Math.ceil(2 ** 32 / STEP);
  const bits = Uint32Array.from({ length: COUNT }, (_, i) => i * STEP);
  withFloatKernels(100, (kernels) => {
    for (const name of ["sigmoid", "tanh"] as const) {
      const values = new Float32Array(bits.slice().buffer);
      const expected = values.slice();
      kernels.activation(name)(values, 0, COUNT);
      plainKernels.activation(name)(expected, 0, COUNT);
      const differs = values.findIndex((value, i) => !Object.is(value, expected[i]));
      assertEquals(differs, -1);
    }
  });
});
