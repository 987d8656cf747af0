import { assert, assertEquals, assertThrows } from "@std/assert";
import { Generator, Linear } from "@splitgate/splitgate";

Deno.test("Generator.next() gives MT19937's published first outputs when seeded with 5489", () => {
  const generator = new Generator(5489);
  assertEquals([generator.next(), generator.next(), generator.next()], [
    3499211612,
    581869302,
    3890346734,
  ]);
  for (let i = 3; i < 9999; i++) generator.next();
  assertEquals(generator.next(), 4123659995, "the 10000th, as the C++ standard requires");
});

Deno.test("Generator.uniform() stays in [low, high] and reaches both halves", () => {
  const out = new Float32Array(10000);
  new Generator(1).uniform(out, -3, 5);
  assert(out.every((value) => value >= -3 && value <= 5));
  assert(out.some((value) => value < -2.9) && out.some((value) => value > 4.9));
});

Deno.test("Generator.uniform() and normal() refuse a bad range or output", () => {
  const generator = new Generator(0);
  const out = new Float32Array(1);
  for (
    const [low, high] of [[1, 0], [NaN, 0], [0, NaN], [-Infinity, 0], [0, Infinity], [-3e38, 3e38]]
  ) {
    assertThrows(() => generator.uniform(out, low!, high!), RangeError, "high");
  }
  const wrong = new Float64Array(1) as unknown as Float32Array;
  assertThrows(() => generator.uniform(wrong, 0, 1), TypeError, "out");
  assertThrows(() => generator.normal(wrong), TypeError, "out");
  assertEquals(generator.next(), new Generator(0).next());
});

Deno.test("Generator goes on where it stopped when modules share it", () => {
  const shared = new Generator(4);
  const options = { inFeatures: 2, outFeatures: 2 };
  const first = new Linear({ ...options, seed: shared }),
    second = new Linear({ ...options, seed: shared });
  assertEquals(first.weight, new Linear({ ...options, seed: 4 }).weight);
  assert(first.weight.some((value, i) => value !== second.weight[i]));
});

Deno.test("new Generator() refuses what is no 32-bit seed", () => {
  for (const seed of [-1, 2 ** 32, 0.5, NaN]) {
    assertThrows(() => new Generator(seed), RangeError, "seed");
  }
  for (const seed of [undefined, "1", 1n]) {
    assertThrows(() => new Generator(seed as unknown as number), TypeError, "seed");
  }
});
