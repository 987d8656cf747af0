import { assert, assertEquals } from "@std/assert";
import {
  columnsTogether,
  dotRows,
  packedInput,
  packRows,
  sumsLength,
} from "../../../kernels/packed/pack.ts";
import { orderRows, rowOrder } from "../../../kernels/packed/lower.ts";
import fc from "fast-check";
import { generator } from "../../../src/testing/random.ts";

function weightOf(
  outFeatures: number,
  inFeatures: number,
  value: (row: number, k: number) => number,
  zeroPoint = 0,
) {
  const data = Int8Array.from(
    { length: outFeatures * inFeatures },
    (_, i) => value(Math.floor(i / inFeatures), i % inFeatures),
  );
  const scales = Float32Array.of(1);
  const zeroPoints = Int32Array.of(zeroPoint);
  return { data, outFeatures, inFeatures, perChannel: false, scales, zeroPoints };
}

Deno.test("dotRows() is the plain dot product when shapes, weights and bounds are any", () => {
  let single = 0;
  let apart = 0;
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom(1, 2, 3, 7, 13, 33, 64, 200, 301),
      fc.constantFrom(1, 3, 8, 13, 33),
      fc.constantFrom(1, 127, 255, 2048, 4096, 8192, 32768, 65535, 2 ** 24),
      fc.constantFrom(-128, -3, 0, 127),
      (seed, length, count, bound, zeroPoint) => {
        const random = generator(seed);
        const extreme = random(0, 1) < 0.5;
        const weight = weightOf(
          count,
          length,
          () => extreme ? random(0, 1) < 0.5 ? -128 : 127 : random(-128, 128),
          zeroPoint,
        );
        const order = Array.from(
          { length: count + count % 2 },
          (_, i) => i < count ? count - 1 - i : -1,
        );
        const rows = packRows(orderRows(weight, order, bound));
        const x = packedInput(length);
        for (let k = 0; k < length; k++) {
          x[k] = extreme
            ? (random(0, 1) < 0.5 ? -bound : bound)
            : Math.round(random(-bound, bound));
        }
        if (rows.each === 1) single++;
        else if (rows.columns < rows.length) apart++;
        const out = new Float64Array(sumsLength(order.length));
        // In one go, and from and to any even row.
        dotRows(rows, 0, order.length, x, out);
        const from = Math.floor(random(0, order.length / 2));
        const to = Math.floor(random(from, order.length / 2)) + 1;
        const part = new Float64Array(sumsLength((to - from) * 2));
        dotRows(rows, from * 2, to * 2, x, part);
        assertEquals(part.subarray(0, (to - from) * 2), out.subarray(from * 2, to * 2));
        order.forEach((row, index) => {
          if (row < 0) return;
          let sum = 0;
          for (let k = 0; k < length; k++) {
            sum += (weight.data[row * length + k]! - zeroPoint) * x[k]!;
          }
          assertEquals(out[index]! + 0, sum + 0);
        });
      },
    ),
    { numRuns: 300 },
  );
  assert(single > 30, `${single}`);
  assert(apart > 10, `${apart}`);
});

Deno.test("orderRows() fills rows up with zeros, and tells what each one's columns add up to and the largest sum", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom(1, 2, 3, 7, 13, 33),
      fc.constantFrom(1, 3, 8, 33),
      fc.constantFrom(-128, -3, 0, 127),
      (seed, length, count, zeroPoint) => {
        const random = generator(seed);
        const weight = weightOf(count, length, () => random(-128, 128), zeroPoint);
        const order = Array.from({ length: count }, (_, i) => count - 1 - i);
        const filled = Math.ceil(length / 4) * 4;
        const rows = order.map((
          row,
        ) => [...weight.data.subarray(row * length, (row + 1) * length)]);
        const centered = rows.map((row) => row.map((w) => w - zeroPoint));
        const add = (values: number[]) => values.reduce((sum, value) => sum + value, 0);
        const { data, sums, largest } = orderRows(weight, order, 255);
        assertEquals(
          [...data],
          centered.flatMap((row) => [...row, ...Array(filled - length).fill(0)]),
        );
        assertEquals(
          [...sums],
          centered.flatMap((row) => [0, 1].map((odd) => add(row.filter((_, k) => k % 2 === odd)))),
        );
        assertEquals(largest, Math.max(...centered.map((row) => add(row.map(Math.abs)))));
      },
    ),
  );
});

Deno.test("dotRows() is exact when 8-bit rows are long and all of one sign", () => {
  for (const length of [2055, 2056, 2057, 2058, 5001]) {
    for (const [w, v] of [[127, 255], [-128, 255], [-128, -255], [127, -255]]) {
      // The lower row at its largest pushes the hardest on the upper one.
      const weight = weightOf(2, length, (row) => row === 0 ? 1 : w!);
      const out = new Float64Array(sumsLength(2));
      const x = packedInput(length).fill(v!);
      dotRows(packRows(orderRows(weight, [0, 1], 255)), 0, 2, x, out);
      assertEquals([out[0], out[1]], [length * v!, length * w! * v!]);
    }
  }
});

Deno.test("dotRows() is exact when so many columns are multiplied together as can be, all of one sign", () => {
  for (const length of [64, 65, 200, 513]) {
    for (const bound of [255, 4096, 8192, 16384, 32768]) {
      for (const [upper, lower] of [[127, 127], [-128, 127], [127, -128], [-128, -128]]) {
        const weight = weightOf(2, length, (row) => row === 0 ? upper! : lower!);
        const rows = packRows(orderRows(weight, [0, 1], bound));
        for (const v of [bound, -bound]) {
          const out = new Float64Array(sumsLength(2));
          dotRows(rows, 0, 2, packedInput(length).fill(v), out);
          assertEquals([out[0], out[1]], [length * upper! * v, length * lower! * v]);
        }
      }
    }
  }
});

Deno.test("columnsTogether() gives the fewest equal shares of columns whose sums stay exact, or 0", () => {
  const seen = { all: 0, first: 0, later: 0, none: 0 };
  const exactBelow = 2 ** 26;
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom(64, 128, 200, 512),
      fc.constantFrom(255, 4096, 16384, 65535, 2 ** 18),
      fc.constantFrom(0.02, 0.1, 0.5, 1),
      (seed, length, bound, share) => {
        // Large weights are adjacent, so that equal shares of columns have unequal sums.
        const random = generator(seed);
        const from = random(0, 1 - share) * length;
        const data = Int8Array.from(
          { length },
          (_, k) => k >= from && k < from + share * length ? random(-128, 128) : random(-2, 2),
        );
        const sumOf = (start: number, columns: number) =>
          data.subarray(start, start + columns).reduce((sum, w) => sum + Math.abs(w), 0);
        const isExact = (columns: number) => {
          for (let start = 0; start < length; start += columns) {
            if (sumOf(start, columns) * bound >= exactBelow) return false;
          }
          return true;
        };
        const largest = sumOf(0, length);
        const fewest = Math.ceil(largest * bound / exactBelow);
        let wanted: number = length;
        let parts = fewest;
        if (largest * bound >= exactBelow) {
          const columnsOf = (parts: number) => Math.ceil(length / parts / 4) * 4;
          while (columnsOf(parts) >= 16 && !isExact(columnsOf(parts))) parts++;
          wanted = columnsOf(parts) >= 16 ? columnsOf(parts) : 0;
        }
        assertEquals(columnsTogether(data, length, largest, bound), wanted);
        const kind = wanted === length
          ? "all"
          : wanted === 0
          ? "none"
          : parts === fewest
          ? "first"
          : "later";
        seen[kind]++;
      },
    ),
    { numRuns: 500 },
  );
  assert(Math.min(...Object.values(seen)) > 8, JSON.stringify(seen));
});

Deno.test("packRows() makes an array for each row, or for two, and none for what fills up a group", () => {
  let rows = 0;
  for (const count of [1, 2, 3, 4, 5, 19, 20, 21]) {
    for (const [bound, each] of [[255, 2], [2 ** 24, 1]] as const) {
      const weight = weightOf(count, 8, () => 127, 0);
      const packed = packRows(orderRows(weight, rowOrder(count), bound));
      assertEquals(packed.each, each);
      assertEquals(new Set(packed.arrays).size, Math.ceil(count / each));
      rows += count;
    }
  }
  assertEquals(rows, 150);
});

Deno.test("packRows() with scales makes an array of float32 products for each row", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom(1, 3, 4, 5, 8, 13, 40),
      fc.constantFrom(1, 2, 3, 4, 5, 8, 9, 21),
      fc.constantFrom(0, 127),
      (seed, length, count, zeroPoint) => {
        const random = generator(seed);
        const weight = weightOf(count, length, () => random(-128, 128), zeroPoint);
        const scales = Float32Array.from({ length: count }, () => random(0, 1));
        const { arrays, each, columns } = packRows(orderRows(weight, rowOrder(count), 0), scales);
        const size = Math.ceil(length / 4) * 4;
        assertEquals([each, columns], [1, size]);
        for (let row = 0; row < count; row++) {
          const expected = Array.from(
            { length: size },
            (_, k) =>
              k < length
                ? Math.fround(scales[row]! * (weight.data[row * length + k]! - zeroPoint))
                : 0,
          );
          assertEquals(arrays[row]!.map((value) => value + 0), expected.map((value) => value + 0));
        }
      },
    ),
    { numRuns: 200 },
  );
});
