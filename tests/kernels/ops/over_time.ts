import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  finalHidden,
  firstStep,
  lastStep,
  maxOverTime,
  meanOverTimeFloat32,
  meanOverTimeInt8,
} from "../../../kernels/ops/over_time.ts";
import { anyFloat32, anyParameters, integersOf, RANGES } from "../../../src/testing/numbers.ts";
import { add, div, exact, toFloat32, toFloat64 } from "../../../src/testing/exact.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

/** Small sequences, with lengths of their own or all full. */
const sequences = fc.tuple(
  fc.integer({ min: 1, max: 6 }),
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: 4 }),
  fc.boolean(),
).chain(([steps, batch, features, full]) =>
  fc.array(fc.integer({ min: 1, max: steps }), { minLength: batch, maxLength: batch })
    .map((lengths) => ({ steps, batch, features, lengths: full ? null : lengths }))
);

type Drawn = { steps: number; batch: number; features: number; lengths: number[] | null };

/** The values of each batch row and feature, padding left out. */
function columns({ steps, batch, features, lengths }: Drawn, x: ArrayLike<number>): number[][] {
  const all: number[][] = [];
  for (let row = 0; row < batch; row++) {
    for (let feature = 0; feature < features; feature++) {
      const count = lengths?.[row] ?? steps;
      all.push(
        Array.from({ length: count }, (_, step) => x[(step * batch + row) * features + feature]!),
      );
    }
  }
  return all;
}

export const OVER_TIME: readonly KernelProperty[] = [
  property(
    "meanOverTimeInt8() and maxOverTime() are those of each row's own steps, in every dtype",
    2000,
    () => {
      const input = fc.tuple(sequences, anyParameters(RANGES)).chain(([s, q]) =>
        fc.tuple(fc.constant(s), fc.constant(q), integersOf(q, s.steps * s.batch * s.features))
      );
      return fc.property(input, ([s, q, ints]) => {
        const x = q.range.make(ints);
        const out = q.range.make(new Uint8Array(s.batch * s.features));
        meanOverTimeInt8(x, s, out, q);
        assertEquals([...out], columns(s, ints).map((c) => oracle.meanQuantized(c, q)));
        maxOverTime(x, s, out);
        assertEquals([...out], columns(s, ints).map((c) => Math.max(...c)));
      });
    },
  ),
  property(
    "meanOverTimeFloat32() sums in double in order and rounds once; maxOverTime() takes floats",
    1000,
    () => {
      const input = sequences.chain((s) =>
        fc.tuple(
          fc.constant(s),
          fc.array(anyFloat32, {
            minLength: s.steps * s.batch * s.features,
            maxLength: s.steps * s.batch * s.features,
          }),
        )
      );
      return fc.property(input, ([s, values]) => {
        const x = Float32Array.from(values);
        const out = new Float32Array(s.batch * s.features);
        meanOverTimeFloat32(x, s, out);
        const want = columns(s, values).map((column) => {
          let sum = exact(0);
          for (const value of column) sum = exact(toFloat64(add(sum, exact(value))));
          return toFloat32(exact(toFloat64(div(sum, exact(column.length)))));
        });
        assertEquals([...out].map((y) => y + 0), want);
        maxOverTime(x, s, out);
        assertEquals([...out], columns(s, values).map((c) => c.reduce((a, b) => b > a ? b : a)));
      });
    },
  ),
  property(
    "firstStep(), lastStep() and finalHidden() copy steps of each row's own, in integers and floats",
    100,
    () =>
      fc.property(sequences, fc.boolean(), (s, float) => {
        const length = s.steps * s.batch * s.features;
        const make = (n: number) => float ? new Float32Array(n) : new Int32Array(n);
        const x = make(length).map((_, i) => i + 1);
        const all = columns(s, x);
        const copied = (copy: (out: Int32Array | Float32Array) => void) => {
          const out = make(s.batch * s.features);
          copy(out);
          return [...out];
        };
        const last = all.map((column) => column.at(-1)!);
        assertEquals(copied((out) => firstStep(x, s, out)), all.map((column) => column[0]!));
        assertEquals(copied((out) => lastStep(x, s, out)), last);
        assertEquals(copied((out) => finalHidden(x, s, out, false)), last);
        if (s.features % 2 !== 0) return;
        const backward = (i: number) => i % s.features >= s.features / 2;
        const want = all.map((column, i) => column.at(backward(i) ? 0 : -1)!);
        assertEquals(copied((out) => finalHidden(x, s, out, true)), want);
      }),
  ),
];
