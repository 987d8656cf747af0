// Where WebAssembly memory cannot grow, float operators run in loops, with the same bits.
import { assert, assertEquals } from "@std/assert";
import { accumulateGrams, plainGrams } from "../../../kernels/float/gram.ts";
import { openIntegerSearch, plainSearch, VECTORS } from "../../../kernels/float/integer_search.ts";
import { plainKernels, withFloatKernels } from "../../../kernels/float/kernels.ts";
import { generator } from "../../../src/testing/random.ts";

/** Runs something while no memory can grow; gives how often that was asked. */
function withoutGrowth(work: () => void): number {
  const { grow } = WebAssembly.Memory.prototype;
  let asked = 0;
  WebAssembly.Memory.prototype.grow = () => {
    asked++;
    throw new RangeError("WebAssembly.Memory.grow(): Maximum memory size exceeded");
  };
  try {
    work();
  } finally {
    WebAssembly.Memory.prototype.grow = grow;
  }
  return asked;
}

/** Too wide for a memory that never grew, or that other tests made grow. */
const WIDE = 1500;

const random = generator(5);
const values = (length: number) => Float32Array.from({ length }, () => random(-1, 1));

Deno.test("linear operators and functions run in loops where memory cannot grow, and in SIMD again where it can", () => {
  const layer = { weight: values(WIDE * WIDE), bias: null, inFeatures: WIDE, outFeatures: WIDE };
  const rows = 4;
  const x = values(rows * WIDE);
  const apply = (kernels: typeof plainKernels) => {
    const out = new Float32Array(x.length);
    kernels.linear(layer)(x, 0, out, 0, rows);
    kernels.activation("tanh")(out, 0, out.length);
    return out;
  };
  const expected = apply(plainKernels);
  const asked = withoutGrowth(() => assertEquals(withFloatKernels(rows, apply), expected));
  assert(asked > 0);
  assertEquals(withFloatKernels(rows, apply), expected);
});

Deno.test("gram matrices and the search for integers run in loops where memory cannot grow", () => {
  const count = 8;
  // Other operators have let their shared memory grow.
  const width = 2 * WIDE;
  const inputs = values(count * width);
  const weights = new Float64Array(count).fill(1);
  const [gram, expected] = [new Float64Array(width * width), new Float64Array(width * width)];
  plainGrams(expected, inputs, width, weights);
  const size = 400;
  const own = Float64Array.from({ length: size * size }, (_, i) => i % (size + 1) === 0 ? 2 : 0.1);
  const x = Array.from({ length: VECTORS }, () => Float64Array.from(values(size)));
  const results = () => x.map(() => new Float64Array(size));
  const [products, plain] = [results(), results()];
  const grams = withoutGrowth(() => accumulateGrams(gram, inputs, width, weights));
  const searches = withoutGrowth(() => {
    const search = openIntegerSearch(size);
    search.setGram(own);
    search.multiply(x, products);
  });
  const search = plainSearch(size);
  search.setGram(own);
  search.multiply(x, plain);
  assertEquals(products, plain);
  // Element by element in a tenth of the time of assertEquals.
  assert(gram.every((value, i) => value === expected[i]));
  assert(grams > 0 && searches > 0, `${grams} and ${searches}`);
});
