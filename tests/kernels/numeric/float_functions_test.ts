import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  expFloat32,
  expFloat64,
  floatFunction,
  hardSigmoidFloat32,
  logFloat32,
  sigmoidFloat32,
  tanhFloat32,
} from "../../../kernels/numeric/float_functions.ts";
import { anyActivation, anyFloat32, uniformFloat32 } from "../../../src/testing/numbers.ts";
import { abs, add, compare, exact, exp, mul, neg } from "../../../src/testing/exact.ts";
import * as oracle from "../../../src/testing/rules.ts";

const f = Math.fround;

/** Of all float32 values those whose e^x and tanh x lie nearest to halves of float32. */
const HARDEST_EXP = [
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
const HARDEST_TANH = [
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

Deno.test("expFloat32() is correctly rounded over the whole of float32", () => {
  fc.assert(fc.property(spread(-110, 95), (x) => assertEquals(expFloat32(x), oracle.exp32(x))), {
    numRuns: 5000,
  });
  for (const x of HARDEST_EXP) assertEquals(expFloat32(x), oracle.exp32(x));
  fc.assert(
    fc.property(
      anyFloat32.filter((x) => x < -104 || x > 89),
      (x) => assertEquals(expFloat32(x), x < 0 ? 0 : Infinity),
    ),
  );
  // Where results become subnormal, zero and infinite, and where the argument is halved into two.
  for (
    const edge of [
      -103.97208,
      -103.97207,
      -104,
      -103.27893,
      -87.33655,
      88.72283,
      88.72284,
      0.34657359,
      -0.34657359,
    ]
  ) {
    for (let k = -3; k <= 3; k++) {
      const x = f(f(edge) * (1 + k * 2 ** -23));
      assertEquals(expFloat32(x), oracle.exp32(x));
    }
  }
  assertEquals([0, -0, Infinity, -Infinity, NaN].map(expFloat32), [1, 1, Infinity, 0, NaN]);
});

Deno.test("tanhFloat32() is correctly rounded over the whole of float32", () => {
  fc.assert(
    fc.property(spread(-12, 12), (x) => assertEquals(tanhFloat32(x) + 0, oracle.tanh32(x))),
    { numRuns: 5000 },
  );
  for (const x of HARDEST_TANH) {
    assertEquals([tanhFloat32(x), -tanhFloat32(-x)], [oracle.tanh32(x), oracle.tanh32(x)]);
  }
  fc.assert(
    fc.property(
      anyFloat32.filter((x) => Math.abs(x) > 9.011),
      (x) => assertEquals(tanhFloat32(x), Math.sign(x)),
    ),
  );
  for (
    const x of [9.010913, 9.01, 10, 0.17328679, 0.5493061, 2 ** -12, 2 ** -126, 2 ** -149].map(f)
  ) {
    assertEquals(tanhFloat32(x), oracle.tanh32(x));
    assertEquals(tanhFloat32(-x), -oracle.tanh32(x));
  }
  assertEquals([0, Infinity, -Infinity, NaN].map(tanhFloat32), [0, 1, -1, NaN]);
});

Deno.test("sigmoidFloat32() rounds e^-x, the sum and the quotient, each once", () => {
  const check = (x: number) => {
    // From the kernel's own e^-x, which the test above checks.
    const e = expFloat32(-x);
    const sum = e === Infinity ? Infinity : oracle.add32(1, e);
    assertEquals(sigmoidFloat32(x), sum === Infinity ? 0 : oracle.div32(1, sum));
  };
  fc.assert(fc.property(fc.oneof(spread(-110, 110), anyFloat32), check), { numRuns: 5000 });
  // And from the oracle's at fixed places.
  for (let i = -1100; i <= 1100; i++) {
    assertEquals(sigmoidFloat32(f(i / 10)), oracle.sigmoid32(f(i / 10)));
  }
  assertEquals([Infinity, -Infinity, NaN].map(sigmoidFloat32), [1, 0, NaN]);
});

/** Calls `run` in an engine whose function `name` is off by `factor`. */
function withEngine(name: "exp" | "tanh" | "log", factor: number, run: () => void): void {
  const { [name]: original } = Math;
  Math[name] = (x) => original(x) * factor;
  try {
    run();
  } finally {
    Math[name] = original;
  }
}

/** Of all float32 values those whose logarithm lies nearest to halves of float32. */
const HARDEST_LOG = [
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

Deno.test("logFloat32() is correctly rounded over the whole of float32", () => {
  const check = (x: number) => assertEquals(logFloat32(x) + 0, oracle.log32(x), String(x));
  const positive = fc.oneof(
    anyFloat32.map(Math.abs),
    uniformFloat32(0.5, 2),
    fc.tuple(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: 1, max: 23 }))
      .map(([n, bits]) => f(1 + n * 2 ** -(bits + 1))),
  ).filter((x) => x > 0);
  fc.assert(fc.property(positive, check), { numRuns: 5000 });
  for (const x of HARDEST_LOG) check(x);
  for (const x of [2 ** -149, 2 ** -126, f(3.4028234663852886e38), 0.5, 2, Math.SQRT2].map(f)) {
    check(x);
  }
  assertEquals([1, 0, -0, Infinity].map(logFloat32), [0, -Infinity, -Infinity, Infinity]);
  assertEquals([-1, -Infinity, NaN].map(logFloat32), [NaN, NaN, NaN]);
});

Deno.test("exp, tanh and log give the same bits where an engine's own functions are 100 ulp off", () => {
  let differ = 0;
  for (const factor of [1 + 100 * 2 ** -52, 1 - 100 * 2 ** -52]) {
    withEngine("log", factor, () => {
      for (const x of HARDEST_LOG) {
        assertEquals(logFloat32(x), oracle.log32(x));
        if (f(Math.log(x)) !== logFloat32(x)) differ++;
      }
    });
    withEngine("exp", factor, () => {
      for (const x of HARDEST_EXP) {
        assertEquals(expFloat32(x), oracle.exp32(x));
        if (f(Math.exp(x)) !== expFloat32(x)) differ++;
      }
    });
    withEngine("tanh", factor, () => {
      for (const x of HARDEST_TANH) {
        assertEquals(tanhFloat32(x), oracle.tanh32(x));
        if (f(Math.tanh(x)) !== tanhFloat32(x)) differ++;
      }
    });
  }
  assert(differ > 10);
});

Deno.test("expFloat64() is e^x within 2^-50 of it, by no function of the engine", () => {
  const original = Math.exp;
  Math.exp = () => NaN;
  try {
    fc.assert(fc.property(fc.double({ min: -256, max: 256, noNaN: true }), (x) => {
      const want = exp(exact(x));
      const error = abs(add(exact(expFloat64(x)), neg(want)));
      assert(compare(error, mul(want, exact(2 ** -50))) <= 0, String(x));
    }));
  } finally {
    Math.exp = original;
  }
  assertEquals([expFloat64(0), expFloat64(-0)], [1, 1]);
});

Deno.test("floatFunction() rounds each operation of every activation once, and keeps NaN", () => {
  const small = fc.oneof(uniformFloat32(-10, 10), anyFloat32.filter((x) => Math.abs(x) < 2 ** 100));
  fc.assert(
    fc.property(anyActivation, small, (activation, x) => {
      assertEquals(floatFunction(activation)(x) + 0, oracle.function32(activation, x) + 0);
      assertEquals(floatFunction(activation)(NaN), NaN);
    }),
    { numRuns: 5000 },
  );
});

Deno.test("the hard sigmoid of PyTorch and that of slope 1/6 differ in last bits only, and do", () => {
  const other = floatFunction({ name: "hardSigmoid", slope: 1 / 6, offset: 0.5 });
  let differ = 0;
  for (let i = -4000; i <= 4000; i++) {
    const x = f(i / 1000);
    const difference = Math.abs(hardSigmoidFloat32(x) - other(x));
    assert(difference <= 2 ** -23);
    if (difference > 0) differ++;
  }
  assert(differ > 500);
});
