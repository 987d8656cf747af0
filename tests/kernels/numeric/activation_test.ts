import { assert, assertEquals } from "@std/assert";
import {
  activationKey,
  activationTable,
  lookup,
  quantizedActivation,
} from "../../../kernels/numeric/activation.ts";
import { edgeLadder, RANGES } from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { testProperties } from "../property.ts";
import { ACTIVATION } from "./activation.ts";

const WIDE_TANH = { scale: 2 ** -15, zeroPoint: 32768, quantMin: 0, quantMax: 65535 };
const WIDE_SIGMOID = { scale: 2 ** -16, zeroPoint: 0, quantMin: 0, quantMax: 65535 };
const TANH = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 };
const SIGMOID = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
const f = Math.fround;
const ACTIVATIONS = ["sigmoid", "tanh"] as const;

testProperties(ACTIVATION);

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
    activationKey({ name: "hardSigmoid", slope: 0.2, offset: 0.5 }, from, to),
    activationKey({ name: "hardSigmoid", slope: 0.5, offset: 0.2 }, from, to),
    activationKey({ name: "leakyRelu", negativeSlope: 0.2 }, from, to),
    activationKey({ name: "leakyRelu", negativeSlope: 0.5 }, from, to),
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
