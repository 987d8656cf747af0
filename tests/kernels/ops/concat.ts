import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { concatFloat32, concatInt8 } from "../../../kernels/ops/concat.ts";
import { requantize } from "../../../kernels/numeric/quantize.ts";
import { anyParameters, integersOf, NARROW, RANGES } from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

/** A tensor [rows, width] of any dtype. */
function tensorOf(rows: number) {
  return fc.tuple(anyParameters(NARROW), fc.integer({ min: 1, max: 5 })).chain(([q, width]) =>
    fc.record({ q: fc.constant(q), width: fc.constant(width), ints: integersOf(q, rows * width) })
  );
}

const tensors = fc.integer({ min: 1, max: 3 }).chain((rows) =>
  fc.tuple(fc.constant(rows), fc.array(tensorOf(rows), { minLength: 1, maxLength: 4 }))
);

export const CONCAT: readonly KernelProperty[] = [
  property(
    "concatInt8() requantizes each tensor into its columns, between any dtypes, with and without relu",
    2000,
    () =>
      fc.property(tensors, anyParameters(RANGES), fc.boolean(), ([rows, inputs], to, relu) => {
        const width = inputs.reduce((sum, input) => sum + input.width, 0);
        const out = to.range.make(new Uint8Array(rows * width));
        concatInt8(
          inputs.map(({ q, width, ints }) => ({ ...q, data: q.range.make(ints), width })),
          rows,
          out,
          to,
          relu,
        );
        const quantMin = relu ? Math.max(to.quantMin, to.zeroPoint) : to.quantMin;
        const want = Array.from(
          { length: rows },
          (_, row) =>
            inputs.flatMap(({ q, width, ints }) =>
              ints.slice(row * width, (row + 1) * width).map((i) =>
                oracle.requantize(i, q, { ...to, quantMin }, out instanceof Int32Array)
              )
            ),
        ).flat();
        assertEquals([...out], want);
        if (inputs.length > 1 || relu) return;
        const alone = to.range.make(new Uint8Array(rows * width));
        requantize(inputs[0]!.q.range.make(inputs[0]!.ints), inputs[0]!.q, alone, to);
        assertEquals(out, alone);
      }),
  ),
  property(
    "concatInt8() keeps integers of up to 16 bits whose parameters are the output's",
    100,
    () =>
      fc.property(tensorOf(2), ({ q, width, ints }) => {
        const data = q.range.make(ints);
        const out = q.range.make(new Uint8Array(ints.length));
        concatInt8([{ ...q, data, width }], 2, out, q, false);
        assertEquals(out, data);
      }),
  ),
  property("concatFloat32() puts rows side by side", 100, () =>
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
      (rows, widths) => {
        const cell = (input: number, row: number, k: number) => 100 * input + 10 * row + k;
        const inputs = widths.map((width, input) =>
          Float32Array.from(
            { length: rows * width },
            (_, i) => cell(input, Math.floor(i / width), i % width),
          )
        );
        const total = widths.reduce((a, b) => a + b);
        const out = new Float32Array(rows * total);
        concatFloat32(inputs, rows, out);
        const want: number[] = [];
        for (let row = 0; row < rows; row++) {
          widths.forEach((width, input) => {
            for (let k = 0; k < width; k++) want.push(cell(input, row, k));
          });
        }
        assertEquals([...out], want);
      },
    )),
];
