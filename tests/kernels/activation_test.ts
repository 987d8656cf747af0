import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type Activation,
  activationKey,
  activationTable,
  expFloat32,
  lookup,
  quantizedActivation,
  sigmoidFloat32,
  tanhFloat32,
} from "../../kernels/numeric/activation.ts";
import {
  anyFloat32,
  anyParameters,
  anyScale,
  edgeLadder,
  ladderInteger,
  NARROW,
  RANGES,
  uniformFloat32,
} from "../oracle/arbitraries.ts";
import * as oracle from "../oracle/rules.ts";

const ACTIVATIONS: Activation[] = ["sigmoid", "tanh"];
const f = Math.fround;
const SIGMOID = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
const TANH = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 };
/** Of all float32 values those whose e^x and tanh x lie nearest to half-way between two float32 values. */
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

Deno.test("quantizedActivation() is exact on all 256 inputs of quint8 and qint8, as fbgemm and as qnnpack round", () => {
  for (const scale of [0.001, 0.0125, 1 / 32, 0.05, 0.1, 0.25, 1, 20].map(f)) {
    for (const activation of ACTIVATIONS) {
      const to = activation === "sigmoid" ? SIGMOID : TANH;
      const kernel = quantizedActivation(activation, scale, to);
      const signed = { ...to, zeroPoint: to.zeroPoint - 128, quantMin: -128, quantMax: 127 };
      const signedKernel = quantizedActivation(activation, scale, signed);
      for (let input = -255; input <= 255; input++) {
        const x = oracle.dequantize(input, { scale, zeroPoint: 0 });
        assertEquals(kernel(input) + to.zeroPoint, oracle.activation(activation, x, to));
        assertEquals(kernel(input) + to.zeroPoint, oracle.activationQnnpack(activation, x));
        assertEquals(
          signedKernel(input) + 0,
          oracle.activation(activation, x, signed) - signed.zeroPoint,
        );
      }
    }
  }
});

Deno.test("quantizedActivation() follows the plain rule when input and output parameters are any", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ACTIVATIONS),
      anyScale,
      ladderInteger(-(2 ** 31), 2 ** 31 - 1),
      anyParameters(NARROW),
      (activation, scale, input, to) => {
        const x = oracle.dequantize(input, { scale, zeroPoint: 0 });
        const want = oracle.activation(activation, x, to) - to.zeroPoint;
        assertEquals(quantizedActivation(activation, scale, to)(input) + 0, want + 0);
      },
    ),
    { numRuns: 1000 },
  );
});

const WIDE_SIGMOID = { scale: 2 ** -16, zeroPoint: 0, quantMin: 0, quantMax: 65535 };
const WIDE_TANH = { scale: 2 ** -15, zeroPoint: 32768, quantMin: 0, quantMax: 65535 };

Deno.test("activationTable() and lookup() give quantizedActivation's value for all 65,536 inputs, and keep it", () => {
  const from = { scale: 2 ** -11, zeroPoint: 32768, quantMin: 0, quantMax: 65535 };
  for (const activation of ACTIVATIONS) {
    const to = activation === "sigmoid" ? WIDE_SIGMOID : WIDE_TANH;
    const table = activationTable(activation, from, to);
    assertEquals([table.data.length, table.size, table.first], [0, 65536, -32768]);
    const kernel = quantizedActivation(activation, from.scale, to);
    // Asked a few times, it computes and keeps nothing; then all that it is asked.
    for (let n = table.patience; n > 0; n--) assertEquals(lookup(table, n), kernel(n));
    assertEquals(table.data.length, 0);
    const first = Array.from({ length: 65536 }, (_, i) => lookup(table, i - 32768));
    let previous = -Infinity;
    first.forEach((y, i) => {
      assert(y >= previous, "sigmoid and tanh do not fall");
      previous = y;
      if (y !== kernel(i - 32768)) assertEquals(i, -1);
      if (table.data[i] !== y || lookup(table, i - 32768) !== y) assertEquals(i, -1);
    });
    for (
      const input of [
        ...edgeLadder(-32768, 32767),
        ...Array.from({ length: 1500 }, (_, i) => i * 43 - 32768),
      ]
    ) {
      const x = oracle.dequantize(input, { scale: from.scale, zeroPoint: 0 });
      assertEquals(first[input + 32768], oracle.activation(activation, x, to) - to.zeroPoint);
    }
  }
});

Deno.test("lookup() computes on where there is no memory for a table, and asks for it again", () => {
  const from = { scale: 2 ** -11, zeroPoint: 0, quantMin: -32768, quantMax: 32767 };
  const table = activationTable("sigmoid", from, WIDE_SIGMOID);
  const { Float32Array: original } = globalThis;
  const { patience } = table;
  const compute = quantizedActivation("sigmoid", from.scale, WIDE_SIGMOID);
  table.patience = 0;
  globalThis.Float32Array = class {
    constructor() {
      throw new RangeError("Array buffer allocation failed");
    }
  } as never;
  try {
    assertEquals([lookup(table, 1234), table.data.length, table.patience], [
      compute(1234),
      0,
      patience,
    ]);
  } finally {
    globalThis.Float32Array = original;
  }
  table.patience = 0;
  assertEquals([lookup(table, 1234), table.data.length], [compute(1234), 65536]);
});

Deno.test("lookup() computes each output anew when the input range is beyond 16 bits", () => {
  const from = { scale: 2 ** -20, zeroPoint: 5, quantMin: -(2 ** 31), quantMax: 2 ** 31 - 1 };
  for (const activation of ACTIVATIONS) {
    const to = activation === "sigmoid" ? WIDE_SIGMOID : WIDE_TANH;
    for (const range of [from, { ...from, quantMin: 0, quantMax: 65536 }]) {
      const table = activationTable(activation, range, to);
      assertEquals(table.data.length, 0);
      for (const q of edgeLadder(range.quantMin, range.quantMax)) {
        const input = q - range.zeroPoint;
        const x = oracle.dequantize(q, range);
        assertEquals(lookup(table, input) + 0, oracle.activation(activation, x, to) - to.zeroPoint);
      }
    }
  }
});

Deno.test("lookup() gives the same output the second time when outputs less their zero point exceed an int32", () => {
  const from = { scale: 0.1, zeroPoint: 0, quantMin: -128, quantMax: 127 };
  const range = RANGES[RANGES.length - 1]!;
  for (const zeroPoint of [range.quantMin, -1, 0, 2 ** 30, range.quantMax]) {
    for (const scale of [2 ** -32, 2 ** -31, 2 ** -30]) {
      const to = { scale, zeroPoint, quantMin: range.quantMin, quantMax: range.quantMax };
      const table = activationTable("tanh", from, to);
      for (const input of [-128, -1, 0, 1, 127]) {
        const once = lookup(table, input);
        assertEquals(once, quantizedActivation("tanh", from.scale, to)(input));
        assertEquals(lookup(table, input), once);
      }
    }
  }
});

Deno.test("activationKey() is the same exactly when everything that a table depends on is the same", () => {
  const from = { scale: 0.1, zeroPoint: 3, quantMin: 0, quantMax: 255 };
  const to = TANH;
  const keys = new Set([activationKey("tanh", from, to)]);
  const next = Math.fround(0.1) * (1 + 2 ** -23);
  const differing = [
    ...[{ scale: next }, { zeroPoint: 4 }, { quantMin: 1 }, { quantMax: 254 }].flatMap((change) => [
      activationKey("tanh", { ...from, ...change }, to),
      activationKey("tanh", from, { ...to, ...change }),
    ]),
    activationKey("sigmoid", from, to),
  ];
  for (const other of differing) keys.add(other);
  assertEquals(keys.size, 1 + differing.length);
  assert(keys.has(activationKey("tanh", { ...from }, { ...to })));
});

Deno.test("activationTable() takes outputs that are known, and computes none of them", () => {
  const from = { scale: 0.1, zeroPoint: 3, quantMin: 0, quantMax: 255 };
  const outputs = new Float32Array(256).fill(7);
  assertEquals(lookup(activationTable("tanh", from, TANH, outputs), 5), 7);
});
