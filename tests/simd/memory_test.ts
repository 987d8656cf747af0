import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { orderRows } from "../../kernels/packed/lower.ts";
import { FORM } from "../../kernels/simd/layout.ts";
import { Arena, loadOperand, storeOperand, writeOperand } from "../../src/simd/memory.ts";
import { generator } from "../../src/testing/random.ts";

const SIZES = [1, 3, 7, 13, 33];

Deno.test("storeOperand() and loadOperand() keep every integer of an operand's span, in all forms", () => {
  const seen = new Map<number, number>();
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom(...SIZES),
      fc.constantFrom(0, 0.25, 0.5, 1),
      fc.constantFrom(1, 127, 128, 255, 256, 300, 16383, 16384, 65535),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (seed, size, below, range, relaxed, oneStep, reduced) => {
        const random = generator(seed);
        const arena = new Arena(new WebAssembly.Memory({ initial: 1 }), oneStep);
        const weight = orderRows(
          {
            data: Int8Array.from({ length: 4 * size * size }, () => random(-128, 128)),
            outFeatures: 4 * size,
            inFeatures: size,
            perChannel: false,
            scales: Float32Array.of(1),
            zeroPoints: Int32Array.of(0),
          },
          Int32Array.from({ length: 4 * size }, (_, i) => i),
          65535,
        );
        // 0 is among them: it is the zero point.
        const least = 0 - Math.ceil(range * below);
        const most = least + range;
        const operand = writeOperand(arena, weight, { min: least, max: most }, relaxed, reduced)!;
        seen.set(operand.form, (seen.get(operand.form) ?? 0) + 1);
        const at = arena.take(operand.bytes);
        const behind = arena.take(16);
        arena.i32[behind / 4] = 12345;
        // Twice: what stood there before does not matter.
        for (let round = 0; round < 2; round++) {
          const x = Float64Array.from(
            { length: size + 2 },
            () => Math.floor(random(least, most + 1)),
          );
          storeOperand(arena, operand, at, x, 1, size);
          const out = new Float64Array(size + 2).fill(0.5);
          loadOperand(arena, operand, at, out, 1, size);
          assertEquals(out, x.map((value, i) => i === 0 || i > size ? 0.5 : value));
        }
        assertEquals(arena.i32[behind / 4], 12345);
      },
    ),
    { numRuns: 500 },
  );
  for (const form of Object.values(FORM)) {
    assert((seen.get(form) ?? 0) > 20, `${form}: ${seen.get(form)}`);
  }
});

Deno.test("writeOperand() stores nothing where a sum could leave int32 or an operand its bits", () => {
  const rows = {
    data: new Int16Array(8).fill(255),
    sums: Int32Array.of(510, 510, 510, 510),
    largest: 1020,
    count: 2,
    length: 4,
    columns: 0,
  } as const;
  const arena = new Arena(new WebAssembly.Memory({ initial: 1 }), false);
  const before = arena.take(0);
  const spans = [[-32768, 32768], [0, 2 ** 22], [-(2 ** 22), -(2 ** 22) + 9], [
    2 ** 22 - 9,
    2 ** 22 - 1,
  ]];
  for (const [least, most] of spans) {
    assertEquals(
      writeOperand(arena, rows, { min: least!, max: most! }, true, false),
      null,
      `${least}`,
    );
  }
  assertEquals(arena.take(0), before);
});
