import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Generator, LayerNorm, tensor } from "@splitgate/splitgate";
import * as oracle from "../../../src/testing/rules.ts";
import { random, seeds, sizes } from "../../../src/testing/float_lstms.ts";

Deno.test("LayerNorm.forward() works in double and rounds once, for any leading dimensions", () => {
  fc.assert(fc.property(
    fc.record({
      normalizedShape: sizes,
      elementwiseAffine: fc.boolean(),
      bias: fc.boolean(),
      eps: fc.constantFrom(1e-5, 1e-3, 0.1),
      leading: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
      seed: seeds,
    }),
    ({ leading, seed, ...options }) => {
      const generator = new Generator(seed);
      const norm = new LayerNorm(options);
      for (const { data } of norm.stateDict().values()) generator.uniform(data, -2, 2);
      const { normalizedShape: width, weight, bias, eps } = norm;
      const x = random(generator, [...leading, width], 100);
      const y = norm.forward(x);
      assertEquals(y.shape, x.shape);
      const ones = new Array<number>(width).fill(1);
      const zeros = new Array<number>(width).fill(0);
      const expected: number[] = [];
      for (let at = 0; at < x.data.length; at += width) {
        const row = [...x.data.subarray(at, at + width)];
        expected.push(...oracle.layerNorm32(row, [...weight ?? ones], [...bias ?? zeros], eps));
      }
      assertEquals([...y.data].map((value) => value + 0), expected);
    },
  ));
});

Deno.test("LayerNorm has torch's names and initial values, and no bias without a weight", () => {
  const names = (options: object) =>
    [
      ...new LayerNorm({ normalizedShape: 2, ...options }).stateDict(),
    ].map(([name, { data, shape }]) => [name, [...data], shape]);
  assertEquals(names({}), [["weight", [1, 1], [2]], ["bias", [0, 0], [2]]]);
  assertEquals(names({ bias: false }), [["weight", [1, 1], [2]]]);
  assertEquals(names({ elementwiseAffine: false }), []);
});

Deno.test("new LayerNorm() and forward() refuse what does not fit", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new LayerNorm(options);
  assertThrows(bad(null), TypeError, "options");
  assertThrows(bad({}), TypeError, "normalizedShape");
  assertThrows(bad({ normalizedShape: 0 }), RangeError, "normalizedShape");
  assertThrows(bad({ normalizedShape: [2] }), TypeError, "normalizedShape");
  assertThrows(bad({ normalizedShape: 1, eps: 0 }), RangeError, "eps");
  assertThrows(bad({ normalizedShape: 1, eps: null }), TypeError, "eps");
  assertThrows(bad({ normalizedShape: 1, bias: 1 }), TypeError, "bias");
  assertThrows(bad({ normalizedShape: 1, elementwiseAffine: 1 }), TypeError, "elementwiseAffine");
  const norm = new LayerNorm({ normalizedShape: 2 });
  assertThrows(() => norm.forward(tensor([1, 2, 3], [1, 3])), RangeError, "x.shape");
  assertThrows(() => norm.forward(tensor([1, Infinity], [1, 2])), RangeError, "x.data[1]");
  norm.weight!.fill(3e38);
  norm.bias!.fill(3e38);
  assertThrows(() => norm.forward(tensor([1, 5], [1, 2])), RangeError, "y[1]");
});
