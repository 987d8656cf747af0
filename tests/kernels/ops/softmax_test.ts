import { assert, assertEquals } from "@std/assert";
import {
  logSoftmaxFloat32,
  softmaxEngine,
  softmaxFloat32,
  softmaxQuint8FixedPoint,
  softmaxTable,
} from "../../../kernels/ops/softmax.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { testProperties } from "../property.ts";
import { f, SOFTMAX } from "./softmax.ts";

testProperties(SOFTMAX);

Deno.test("softmaxFloat32() of one value is 1, and its logarithm 0", () => {
  const x = Float32Array.of(-3e38, 0, 1e30);
  softmaxFloat32(x, x, 1);
  assertEquals([...x], [1, 1, 1]);
  logSoftmaxFloat32(x, x, 1);
  assertEquals([...x], [0, 0, 0]);
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
