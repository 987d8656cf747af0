import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addInt8,
  addQuint8FixedPoint,
  buildFixedPointAdd,
  mulInt8,
  mulMultiplier,
} from "../../../kernels/ops/elementwise.ts";
import {
  anyFloat32,
  anyParameters,
  type Drawn,
  integersOf,
  NARROW,
  RANGES,
} from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

/** Two operands and an output, and 13 integers of each operand. */
export function operands(
  ranges: typeof RANGES,
): fc.Arbitrary<[Drawn, Drawn, Drawn, number[], number[]]> {
  return fc.tuple(anyParameters(ranges), anyParameters(ranges), anyParameters(ranges))
    .chain(([a, b, to]) =>
      fc.tuple(
        fc.constant(a),
        fc.constant(b),
        fc.constant(to),
        integersOf(a, 13),
        integersOf(b, 13),
      )
    );
}

export const quantized = (data: readonly number[], q: Drawn) => ({
  data: q.range.make(data),
  qparams: q,
});

const fits = (q: number, { zeroPoint }: Drawn) => Math.abs(q - zeroPoint) < 2 ** 31;

/** Scales whose ratios the fixed point takes, and some that it does not. */
export const ratioScales = fc.tuple(
  fc.float({ min: Math.fround(2 ** -10), max: 16, noNaN: true }),
  fc.oneof(
    fc.integer({ min: -15, max: 9 }).map((k) => 2 ** k),
    fc.float({ min: Math.fround(1e-5), max: 300, noNaN: true }),
  ),
  fc.oneof(
    fc.integer({ min: -15, max: 9 }).map((k) => 2 ** k),
    fc.float({ min: Math.fround(1e-5), max: 300, noNaN: true }),
  ),
).map(([out, a, b]) => [Math.fround(a * out), Math.fround(b * out), out] as const);

export const ELEMENTWISE: readonly KernelProperty[] = [
  property(
    "addInt8() follows the scalar rule between any dtypes, with and without relu",
    3000,
    () =>
      fc.property(operands(RANGES), fc.boolean(), ([qa, qb, to, a, b], relu) => {
        const out = to.range.make(new Uint8Array(13));
        const result = { data: out, qparams: to };
        addInt8(quantized(a, qa), quantized(b, qb), result, relu);
        for (let i = 0; i < 13; i++) {
          if (!fits(a[i]!, qa) || !fits(b[i]!, qb)) continue;
          assertEquals(
            out[i],
            oracle.addQuantized(a[i]!, qa, b[i]!, qb, relu ? oracle.withoutNegative(to) : to),
            `${a[i]} + ${b[i]}`,
          );
        }
      }),
  ),
  property(
    "addQuint8FixedPoint() is QNNPACK's integer arithmetic when parameters and integers are any",
    3000,
    (met) => {
      const u8 = fc.integer({ min: 0, max: 255 });
      const edge = fc.oneof(fc.constantFrom(0, 1, 127, 128, 254, 255), u8);
      const list = fc.array(edge, { minLength: 13, maxLength: 13 });
      return fc.property(
        ratioScales,
        edge,
        edge,
        edge,
        list,
        list,
        ([sa, sb, so], za, zb, zo, a, b) => {
          const add = buildFixedPointAdd(sa!, sb!, so!);
          if (add === null) return;
          met("ran");
          const out = new Uint8Array(13);
          const to = { scale: so, zeroPoint: zo, quantMin: 0, quantMax: 255 };
          const qa = { scale: sa, zeroPoint: za };
          const qb = { scale: sb, zeroPoint: zb };
          addQuint8FixedPoint(
            { data: Uint8Array.from(a), qparams: qa },
            { data: Uint8Array.from(b), qparams: qb },
            { data: out, qparams: to },
            add,
          );
          for (let i = 0; i < 13; i++) {
            const want = oracle.addFixedPoint(a[i]!, qa, b[i]!, qb, to);
            assertEquals(out[i], want, `${a[i]} + ${b[i]}`);
          }
        },
      );
    },
    { ran: 1000 },
  ),
  property(
    "mulMultiplier() rounds the product of scales, then multiplies by the reciprocal, or divides for qint8",
    3000,
    (met) => {
      const scale = anyFloat32.filter((x) => x > 2 ** -60 && x < 2 ** 60);
      return fc.property(scale, scale, scale, (a, b, out) => {
        const product = oracle.mul32(a, b);
        const quotient = oracle.div32(product, out);
        const times = oracle.mul32(product, oracle.inverse(out));
        const to = { scale: out, zeroPoint: 0 };
        assertEquals(mulMultiplier(a, b, { ...to, quantMin: 0, quantMax: 255 }), times);
        assertEquals(mulMultiplier(a, b, { ...to, quantMin: -128, quantMax: 127 }), quotient);
        assertEquals(mulMultiplier(a, b, { ...to, quantMin: -127, quantMax: 127 }), times);
        if (times !== quotient) met("differ");
      });
    },
    { differ: 100 },
  ),
  property(
    "mulInt8() keeps every product of 16-bit integers",
    3000,
    () =>
      fc.property(operands(NARROW), ([qa, qb, to, a, b]) => {
        const out = to.range.make(new Uint8Array(13));
        mulInt8(quantized(a, qa), quantized(b, qb), { data: out, qparams: to });
        assertEquals([...out], a.map((q, i) => oracle.mulQuantized(q, qa, b[i]!, qb, to)));
      }),
  ),
];
