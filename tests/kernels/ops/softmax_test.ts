import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  logSoftmaxFloat32,
  softmaxEngine,
  softmaxFloat32,
  softmaxInt8,
  softmaxQuint8FixedPoint,
  softmaxTable,
} from "../../../kernels/ops/softmax.ts";
import {
  anyFloat32,
  anyParameters,
  anyScale,
  integersOf,
  NARROW,
  uniformFloat32,
} from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";

const f = Math.fround;
/** Rows of one width: 1, 2 and up to 9. */
function rowsOf<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[][]> {
  return fc.integer({ min: 1, max: 9 }).chain((width) =>
    fc.array(fc.array(value, { minLength: width, maxLength: width }), {
      minLength: 1,
      maxLength: 3,
    })
  );
}

Deno.test("softmaxFloat32() and logSoftmaxFloat32() round as they say, in place too", () => {
  const value = fc.oneof(
    uniformFloat32(-8, 8),
    fc.integer({ min: -4, max: 4 }),
    anyFloat32.filter((x) => Math.abs(x) < 2 ** 120),
  );
  fc.assert(
    fc.property(rowsOf(value), (rows) => {
      const width = rows[0]!.length;
      const x = Float32Array.from(rows.flat());
      const soft = new Float32Array(x.length);
      softmaxFloat32(x, soft, width);
      assertEquals([...soft], rows.flatMap((row) => oracle.softmax32(row).softmax));
      const inPlace = x.slice();
      logSoftmaxFloat32(inPlace, inPlace, width);
      const want = rows.flatMap((row) => oracle.softmax32(row).logSoftmax);
      assertEquals([...inPlace].map((y) => y + 0), want.map((y) => y + 0));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("softmaxFloat32() of one value is 1, and its logarithm 0", () => {
  const x = Float32Array.of(-3e38, 0, 1e30);
  softmaxFloat32(x, x, 1);
  assertEquals([...x], [1, 1, 1]);
  logSoftmaxFloat32(x, x, 1);
  assertEquals([...x], [0, 0, 0]);
});

Deno.test("softmaxInt8() dequantizes, takes softmax, quantizes, between any dtypes", () => {
  const input = anyParameters(NARROW).chain((from) =>
    fc.tuple(fc.constant(from), fc.integer({ min: 1, max: 7 }))
      .chain(([from, width]) =>
        fc.tuple(
          fc.constant(from),
          fc.constant(width),
          integersOf(from, width),
          integersOf(from, width),
        )
      )
  );
  fc.assert(
    fc.property(input, anyParameters(NARROW), ([from, width, a, b], to) => {
      const out = to.range.make(new Uint8Array(2 * width));
      const x = { data: from.range.make([...a, ...b]), qparams: from };
      softmaxInt8(x, { data: out, qparams: to }, width);
      const want = [a, b].flatMap((row) =>
        oracle.softmax32(row.map((q) => oracle.dequantize(q, from))).softmax
          .map((y) => oracle.quantize(y, to, false))
      );
      assertEquals([...out], want);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("softmaxQuint8FixedPoint() is QNNPACK's integer arithmetic for any scale and width, in place too", () => {
  const scale = fc.oneof(
    anyScale,
    fc.float({ min: f(0.005), max: f(0.5), noNaN: true }),
    fc.float({ min: f(0.005), max: f(0.5), noNaN: true }),
  );
  const value = fc.oneof(fc.constantFrom(0, 254, 255), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(scale, rowsOf(value), (scale, rows) => {
      const width = rows[0]!.length;
      const x = Uint8Array.from(rows.flat());
      softmaxQuint8FixedPoint(softmaxTable(scale, width), x, x, width);
      assertEquals([...x], rows.flatMap((row) => oracle.softmaxFixedPoint(row, scale)));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("softmaxTable() is correctly rounded, of smaller entries where rows are wider than 512", () => {
  fc.assert(
    fc.property(anyScale, fc.constantFrom(1, 512, 513, 3000), (scale, width) => {
      assertEquals([...softmaxTable(scale, width)], oracle.softmaxEntries(scale, width));
    }),
  );
});

Deno.test("softmaxQuint8FixedPoint() is exact where rows are so wide that entries of its table get smaller", () => {
  // From 513 values; so a row's sum fits 32 bits, but where entries are rounded up.
  let beyond = 0;
  for (const width of [511, 512, 513, 2000]) {
    for (const scale of [2 ** -10, 0.02, 1]) {
      for (const factor of [37, 0]) {
        const row = Array.from({ length: width }, (_, i) => (i * factor + 11) % 256);
        const table = softmaxTable(scale, width);
        const sum = row.reduce((sum, q) => sum + table[q + 255 - Math.max(...row)]!, 0);
        if (sum >= 2 ** 32) beyond++;
        const out = new Uint8Array(width);
        softmaxQuint8FixedPoint(table, Uint8Array.from(row), out, width);
        assertEquals([...out], oracle.softmaxFixedPoint(row, f(scale)));
        if (factor === 0) assertEquals(new Set(out), new Set([Math.round(256 / width)]));
      }
    }
  }
  assert(beyond > 0);
});

Deno.test("softmaxEngine() is qnnpack only from quint8 to quint8 of scale 1/256 and zero point 0", () => {
  const q = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
  const qint8 = { ...q, quantMin: -128, quantMax: 127 };
  assertEquals(softmaxEngine("qnnpack", { ...q, scale: 3, zeroPoint: 9 }, q), "qnnpack");
  for (
    const [from, to] of [
      [q, { ...q, scale: 1 / 128 }],
      [q, { ...q, zeroPoint: 1 }],
      [qint8, q],
      [q, qint8],
      [{ ...q, quantMax: 127 }, q],
    ]
  ) {
    assertEquals(softmaxEngine("qnnpack", from!, to!), "fbgemm");
  }
  assertEquals(softmaxEngine("fbgemm", q, q), "fbgemm");
});
