import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Generator, Linear, tensor } from "@splitgate/splitgate";
import { random, seeds, sizes } from "../../../src/testing/float_lstms.ts";

Deno.test("Linear.forward() equals a plain loop, summed in double and rounded once, for any leading dimensions", () => {
  fc.assert(fc.property(
    fc.record({
      inFeatures: sizes,
      outFeatures: sizes,
      bias: fc.boolean(),
      leading: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
      seed: seeds,
    }),
    ({ inFeatures, outFeatures, bias, leading, seed }) => {
      const linear = new Linear({ inFeatures, outFeatures, bias, seed });
      const x = random(new Generator(seed), [...leading, inFeatures], 100);
      const y = linear.forward(x);
      assertEquals(y.shape, [...leading, outFeatures]);
      const expected: number[] = [];
      for (let r = 0; r < x.data.length / inFeatures; r++) {
        for (let o = 0; o < outFeatures; o++) {
          let sum = 0;
          for (let k = 0; k < inFeatures; k++) {
            sum += x.data[r * inFeatures + k]! * linear.weight[o * inFeatures + k]!;
          }
          expected.push(Math.fround(sum + (linear.bias === null ? 0 : linear.bias[o]!)));
        }
      }
      assertEquals([...y.data], expected);
    },
  ));
});

Deno.test("new Linear() refuses bad options", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new Linear(options);
  assertThrows(bad(null), TypeError, "options");
  assertThrows(bad({ inFeatures: 1 }), TypeError, "outFeatures");
  assertThrows(bad({ inFeatures: 0, outFeatures: 1 }), RangeError, "inFeatures");
  assertThrows(
    bad({ inFeatures: 2 ** 20, outFeatures: 2 ** 20 }),
    RangeError,
    "weight: expected at most",
  );
  assertThrows(bad({ inFeatures: 1, outFeatures: 1, bias: "no" }), TypeError, "bias");
  assertThrows(bad({ inFeatures: 1, outFeatures: 1, relu: true }), TypeError, 'got "relu"');
});

Deno.test("Linear.forward() refuses what does not fit, and a result that is not finite", () => {
  const linear = new Linear({ inFeatures: 2, outFeatures: 1, bias: false });
  assertThrows(
    () => linear.forward(tensor([1, 2, 3], [1, 3])),
    RangeError,
    "x.shape: expected [..., 2], got [1, 3]",
  );
  assertThrows(() => linear.forward(tensor([1], [])), RangeError, "x.shape");
  assertThrows(() => linear.forward(tensor([], [0, 2])), RangeError, "x.shape");
  assertThrows(() => linear.forward(tensor([1, -Infinity], [2])), RangeError, "x.data[1]");
  assertThrows(
    // deno-lint-ignore no-explicit-any -- bad on purpose
    () => linear.forward({ data: Int32Array.of(1, 2), shape: [2] } as any),
    TypeError,
    "x.data",
  );
  linear.weight.fill(3e38);
  assertThrows(
    () => linear.forward(tensor([1, 1], [2])),
    RangeError,
    "y[0]: expected a finite number, got Infinity",
  );
});
