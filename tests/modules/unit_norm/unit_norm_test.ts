import { assert, assertEquals, assertThrows } from "@std/assert";
import { tensor, UnitNorm } from "@splitgate/splitgate";
import { holdActivation } from "../activations.ts";

holdActivation({
  kind: "UnitNorm",
  make: (random) => new UnitNorm({ eps: 10 ** random(-12, 1) }),
  float: (module) => (row) => {
    const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    return Float32Array.from(row, (x) => x / Math.max(length, (module as UnitNorm).eps));
  },
});

Deno.test("UnitNorm divides by eps what is shorter, and gives zeros for zeros", () => {
  const norm = new UnitNorm({ eps: 0.5 });
  assertEquals([...norm.forward(tensor([0, 0, 0.25, 0, 3, 4], [3, 2])).data], [
    0,
    0,
    0.5,
    0,
    Math.fround(0.6),
    Math.fround(0.8),
  ]);
});

Deno.test("UnitNorm of values whose squares float32 cannot hold is finite", () => {
  const { data } = new UnitNorm().forward(tensor([3e38, -3e38], [1, 2]));
  assert(data.every((x) => Math.abs(Math.abs(x) - Math.SQRT1_2) < 1e-7));
});

Deno.test("new UnitNorm() refuses an eps that is not above 0", () => {
  assertThrows(
    () => new UnitNorm({ eps: 0 }),
    RangeError,
    "eps: expected a finite number, above 0",
  );
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new UnitNorm({ eps: "1" } as any), TypeError, "eps");
});
