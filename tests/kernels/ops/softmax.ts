import { assertEquals } from "@std/assert";
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
import { type KernelProperty, property } from "../property.ts";

export const f = Math.fround;
/** Rows of one width: 1, 2 and up to 9. */
function rowsOf<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[][]> {
  return fc.integer({ min: 1, max: 9 }).chain((width) =>
    fc.array(fc.array(value, { minLength: width, maxLength: width }), {
      minLength: 1,
      maxLength: 3,
    })
  );
}

export const SOFTMAX: readonly KernelProperty[] = [
  property("softmaxFloat32() and logSoftmaxFloat32() round as they say, in place too", 1000, () => {
    const value = fc.oneof(
      uniformFloat32(-8, 8),
      fc.integer({ min: -4, max: 4 }),
      anyFloat32.filter((x) => Math.abs(x) < 2 ** 120),
    );
    return fc.property(rowsOf(value), (rows) => {
      const width = rows[0]!.length;
      const x = Float32Array.from(rows.flat());
      const soft = new Float32Array(x.length);
      softmaxFloat32(x, soft, width);
      assertEquals([...soft], rows.flatMap((row) => oracle.softmax32(row).softmax));
      const inPlace = x.slice();
      logSoftmaxFloat32(inPlace, inPlace, width);
      const want = rows.flatMap((row) => oracle.softmax32(row).logSoftmax);
      assertEquals([...inPlace].map((y) => y + 0), want.map((y) => y + 0));
    });
  }),
  property("softmaxInt8() dequantizes, takes softmax, quantizes, between any dtypes", 1000, () => {
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
    return fc.property(input, anyParameters(NARROW), ([from, width, a, b], to) => {
      const out = to.range.make(new Uint8Array(2 * width));
      const x = { data: from.range.make([...a, ...b]), qparams: from };
      softmaxInt8(x, { data: out, qparams: to }, width);
      const want = [a, b].flatMap((row) =>
        oracle.softmax32(row.map((q) => oracle.dequantize(q, from))).softmax
          .map((y) => oracle.quantize(y, to, false))
      );
      assertEquals([...out], want);
    });
  }),
  property(
    "softmaxQuint8FixedPoint() is QNNPACK's integer arithmetic for any scale and width, in place too",
    1000,
    () => {
      const scale = fc.oneof(
        anyScale,
        fc.float({ min: f(0.005), max: f(0.5), noNaN: true }),
        fc.float({ min: f(0.005), max: f(0.5), noNaN: true }),
      );
      const value = fc.oneof(fc.constantFrom(0, 254, 255), fc.integer({ min: 0, max: 255 }));
      return fc.property(scale, rowsOf(value), (scale, rows) => {
        const width = rows[0]!.length;
        const x = Uint8Array.from(rows.flat());
        softmaxQuint8FixedPoint(softmaxTable(scale, width), x, x, width);
        assertEquals([...x], rows.flatMap((row) => oracle.softmaxFixedPoint(row, scale)));
      });
    },
  ),
  property(
    "softmaxTable() is correctly rounded, of smaller entries where rows are wider than 512",
    100,
    () =>
      fc.property(anyScale, fc.constantFrom(1, 512, 513, 3000), (scale, width) => {
        assertEquals([...softmaxTable(scale, width)], oracle.softmaxEntries(scale, width));
      }),
  ),
  property(
    "softmaxEngine() is qnnpack's between quint8 alone, and to its own parameters",
    500,
    (met) => {
      const own = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
      const whole = anyParameters(NARROW).map((q) => ({ ...q, quantMin: 0, quantMax: 255 }));
      const any = fc.oneof(whole, anyParameters(NARROW), fc.constant(own));
      return fc.property(any, any, (from, to) => {
        const bytes = [from, to].every((q) => q.quantMin === 0 && q.quantMax === 255);
        const want = bytes && to.scale === 1 / 256 && to.zeroPoint === 0 ? "qnnpack" : "fbgemm";
        assertEquals(softmaxEngine("qnnpack", from, to), want);
        assertEquals(softmaxEngine("fbgemm", from, to), "fbgemm");
        met(want);
      });
    },
    { qnnpack: 20, fbgemm: 20 },
  ),
];
