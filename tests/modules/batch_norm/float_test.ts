import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BatchNorm1d, Generator, Linear, Sequential, tensor } from "@splitgate/splitgate";
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import * as oracle from "../../../src/testing/rules.ts";
import { random, seeds, sizes } from "../../../src/testing/float_lstms.ts";

/** A module whose numbers are drawn. */
export function batchNormOf(
  generator: Generator,
  numFeatures: number,
  options: { readonly eps?: number; readonly affine?: boolean } = {},
): BatchNorm1d {
  const norm = new BatchNorm1d({ numFeatures, ...options });
  for (const { data } of norm.stateDict().values()) generator.uniform(data, -2, 2);
  generator.uniform(norm.runningVar, 0, 3);
  return norm;
}

Deno.test("BatchNorm1d.forward() rounds each operation once, for any leading dimensions", () => {
  fc.assert(fc.property(
    fc.record({
      numFeatures: sizes,
      affine: fc.boolean(),
      eps: fc.constantFrom(1e-5, 1e-3, 0.1),
      leading: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
      seed: seeds,
    }),
    ({ numFeatures, affine, eps, leading, seed }) => {
      const generator = new Generator(seed);
      const norm = batchNormOf(generator, numFeatures, { affine, eps });
      const x = random(generator, [...leading, numFeatures], 100);
      const y = norm.forward(x);
      assertEquals(y.shape, x.shape);
      const { weight, bias, runningMean, runningVar } = norm;
      const expected = Array.from(x.data, (value, i) => {
        const k = i % numFeatures;
        return oracle.batchNorm32(value, {
          gamma: weight?.[k] ?? 1,
          beta: bias?.[k] ?? 0,
          mean: runningMean[k]!,
          variance: runningVar[k]!,
          eps,
        });
      });
      assertEquals([...y.data].map((value) => value + 0), expected);
    },
  ));
});

Deno.test("BatchNorm1d has torch's names and initial values, and draws nothing", () => {
  const norm = new BatchNorm1d({ numFeatures: 2 });
  assertEquals(
    [...norm.stateDict()].map(([name, { data, shape }]) => [name, [...data], shape]),
    [
      ["weight", [1, 1], [2]],
      ["bias", [0, 0], [2]],
      ["running_mean", [0, 0], [2]],
      ["running_var", [1, 1], [2]],
    ],
  );
  assertEquals(norm.eps, 1e-5);
  assertEquals([...new BatchNorm1d({ numFeatures: 1, affine: false }).stateDict().keys()], [
    "running_mean",
    "running_var",
  ]);
});

Deno.test("loadStateDict() accepts torch's num_batches_tracked, an integer scalar in its files, in models too", () => {
  const generator = new Generator(1);
  const from = new Sequential({
    linear: new Linear({ inFeatures: 3, outFeatures: 2, seed: generator }),
    norm: batchNormOf(generator, 2),
  });
  const count = { data: BigInt64Array.of(7n), shape: [] };
  const file = writeSafetensors([...from.stateDict(), ["norm.num_batches_tracked", count]]);
  const { tensors } = parseSafetensors(file);
  assertEquals(tensors.get("norm.num_batches_tracked"), { dtype: "I64", ...count });
  const to = new Sequential({
    linear: new Linear({ inFeatures: 3, outFeatures: 2 }),
    norm: new BatchNorm1d({ numFeatures: 2 }),
  });
  to.loadStateDict(tensors);
  assertEquals([...to.stateDict()], [...from.stateDict()]);
  // Of no other module, and by no other name.
  tensors.set("linear.num_batches_tracked", tensors.get("norm.num_batches_tracked")!);
  assertThrows(
    () => to.loadStateDict(tensors),
    RangeError,
    'unexpected "linear.num_batches_tracked"',
  );
});

Deno.test("loadStateDict() names a batch-norm without variance, and leaves the model as it was", () => {
  const model = new Sequential({ norm: new BatchNorm1d({ numFeatures: 2 }) });
  const hint = "a batch-norm without variance cannot be evaluated";
  const load = (data: Float32Array | null) => () => {
    const tensors = new Map(
      [...model.stateDict()].map(([name, { shape }]) => [name, tensor([5, 6], shape)]),
    );
    tensors.delete("norm.running_var");
    if (data !== null) tensors.set("norm.running_var", tensor(data, [data.length]));
    model.loadStateDict(tensors);
  };
  assertThrows(load(null), RangeError, `missing "norm.running_var" [2] (${hint}`);
  assertThrows(load(new Float32Array(0)), RangeError, hint);
  assertThrows(load(Float32Array.of(1)), RangeError, hint);
  assertThrows(
    load(Float32Array.of(1, -0.5)),
    RangeError,
    `"norm.running_var" holds -0.5 at 1, expected 0 or more (${hint}`,
  );
  assertThrows(load(Float32Array.of(1, NaN)), RangeError, "expected finite numbers");
  assertEquals(model.forward(tensor([1, 2], [1, 2])).data[0], Math.fround(1 / Math.sqrt(1 + 1e-5)));
  load(Float32Array.of(1, 0))();
  assert(model.stateDict().get("norm.weight")!.data.every((value) => value >= 5));
});

Deno.test("new BatchNorm1d() and forward() refuse what does not fit", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new BatchNorm1d(options);
  assertThrows(bad(null), TypeError, "options");
  assertThrows(bad({}), TypeError, "numFeatures");
  assertThrows(bad({ numFeatures: 0 }), RangeError, "numFeatures");
  assertThrows(bad({ numFeatures: 1, eps: -1 }), RangeError, "eps: expected a finite number, 0 or");
  assertThrows(bad({ numFeatures: 1, eps: Infinity }), RangeError, "eps");
  assertThrows(bad({ numFeatures: 1, eps: "1" }), TypeError, "eps");
  assertThrows(bad({ numFeatures: 1, affine: 1 }), TypeError, "affine");
  assertThrows(bad({ numFeatures: 1, trackRunningStats: false }), TypeError, "trackRunningStats");
  const norm = new BatchNorm1d({ numFeatures: 2, eps: 0 });
  assertThrows(() => norm.forward(tensor([1, 2, 3], [1, 3])), RangeError, "x.shape");
  assertThrows(() => norm.forward(tensor([1, NaN], [1, 2])), RangeError, "x.data[1]");
  norm.runningVar.set([1, 0]);
  const hint = "a batch-norm without variance";
  assertThrows(() => norm.forward(tensor([1, 2], [1, 2])), RangeError, hint);
  norm.runningVar.set([1, -1]);
  assertThrows(() => norm.forward(tensor([1, 2], [1, 2])), RangeError, "running_var[1]");
  norm.runningVar.set([1, 1e-6]);
  assertThrows(() => norm.forward(tensor([1, 3e38], [1, 2])), RangeError, "y[1]");
});
