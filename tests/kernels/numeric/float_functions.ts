import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  expFloat32,
  expFloat64,
  floatFunction,
  logFloat32,
  sigmoidFloat32,
  tanhFloat32,
} from "../../../kernels/numeric/float_functions.ts";
import { anyActivation, anyFloat32, uniformFloat32 } from "../../../src/testing/numbers.ts";
import { abs, add, compare, exact, exp, mul, neg } from "../../../src/testing/exact.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { type KernelProperty, property } from "../property.ts";

export const f = Math.fround;

/** Of all float32 values those whose e^x and tanh x lie nearest to halves of float32. */
export const HARDEST_EXP = [
  ...[
    0.000015199068911897484,
    0.00010996452328981832,
    0.0003790732880588621,
    0.000044404474465409294,
  ],
  ...[
    0.037635140120983124,
    2.0265066623687744,
    2.771191358566284,
    0.0000075697612373915035,
    0.0004381769394967705,
  ],
  ...[-14.567090034484863, -0.007352583575993776, -2.9802322387695312e-8, -0.0017157304100692272],
  ...[
    -0.01039269007742405,
    -3.876293897628784,
    -0.005586493760347366,
    -11.837449073791504,
    -0.0225773137062788,
  ],
];

export const HARDEST_TANH = [
  ...[
    0.0014914835337549448,
    0.4648849368095398,
    0.025892050936818123,
    5.397071838378906,
    0.06156953051686287,
  ],
  ...[
    6.184666633605957,
    0.01839360222220421,
    5.216736793518066,
    0.6277846693992615,
    1.9432523250579834,
  ],
];

/** Of all float32 values those whose logarithm lies nearest to halves of float32. */
export const HARDEST_LOG = [
  1.2371124481387189e-30,
  1.2348128727387928e-28,
  3.079322001896428e-20,
  2.901052445145047e-12,
  0.00010525848483666778,
  0.00758158415555954,
  0.011794382706284523,
  9.472636222839355,
  14698.412109375,
  58037908,
  235203552,
  8380115887583134000,
  1.2783783694984994e+23,
  3.98526917732935e+23,
  5.498306075456329e+28,
  1.5052644756711816e+35,
];

/** Float32 values from `min` to `max`: half spread evenly, half by exponent. */
function spread(min: number, max: number): fc.Arbitrary<number> {
  return fc.oneof(
    uniformFloat32(min, max),
    fc.tuple(
      fc.double({ min: 1, max: 2, noNaN: true }),
      fc.integer({ min: -40, max: 7 }),
      fc.constantFrom(1, -1),
    )
      .map(([m, k, sign]) => f(sign * m * 2 ** k)).filter((x) => x >= min && x <= max),
  );
}

export const checkLog = (x: number) => assertEquals(logFloat32(x) + 0, oracle.log32(x), String(x));

export const FLOAT_FUNCTION_RULES: readonly KernelProperty[] = [
  property("expFloat32() is correctly rounded over the whole of float32", 5000, () =>
    fc.property(
      fc.oneof(spread(-110, 95), fc.constantFrom(...HARDEST_EXP)),
      (x) => assertEquals(expFloat32(x), oracle.exp32(x)),
    )),
  property("tanhFloat32() is correctly rounded over the whole of float32", 5000, () =>
    fc.property(
      fc.oneof(
        spread(-12, 12),
        fc.constantFrom(...HARDEST_TANH, ...HARDEST_TANH.map((x) => -x)),
      ),
      (x) => assertEquals(tanhFloat32(x) + 0, oracle.tanh32(x)),
    )),
  property(
    "sigmoidFloat32() rounds e^-x, the sum and the quotient, each once",
    5000,
    () =>
      fc.property(fc.oneof(spread(-110, 110), anyFloat32), (x) => {
        // From the kernel's own e^-x, which another property checks.
        const e = expFloat32(-x);
        const sum = e === Infinity ? Infinity : oracle.add32(1, e);
        assertEquals(sigmoidFloat32(x), sum === Infinity ? 0 : oracle.div32(1, sum));
      }),
  ),
  property("logFloat32() is correctly rounded over the whole of float32", 5000, () => {
    const positive = fc.oneof(
      fc.constantFrom(...HARDEST_LOG),
      anyFloat32.map(Math.abs),
      uniformFloat32(0.5, 2),
      fc.tuple(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: 1, max: 23 }))
        .map(([n, bits]) => f(1 + n * 2 ** -(bits + 1))),
    ).filter((x) => x > 0);
    return fc.property(positive, checkLog);
  }),
  property(
    "expFloat64() is e^x within 2^-50 of it, by no function of the engine",
    100,
    () =>
      fc.property(fc.double({ min: -256, max: 256, noNaN: true }), (x) => {
        const original = Math.exp;
        Math.exp = () => NaN;
        try {
          const want = exp(exact(x));
          const error = abs(add(exact(expFloat64(x)), neg(want)));
          assert(compare(error, mul(want, exact(2 ** -50))) <= 0, String(x));
        } finally {
          Math.exp = original;
        }
      }),
  ),
  property(
    "floatFunction() rounds each operation of every activation once, and keeps NaN",
    5000,
    () => {
      const small = fc.oneof(
        uniformFloat32(-10, 10),
        anyFloat32.filter((x) => Math.abs(x) < 2 ** 100),
      );
      return fc.property(anyActivation, small, (activation, x) => {
        assertEquals(floatFunction(activation)(x) + 0, oracle.function32(activation, x) + 0);
        assertEquals(floatFunction(activation)(NaN), NaN);
      });
    },
  ),
];
