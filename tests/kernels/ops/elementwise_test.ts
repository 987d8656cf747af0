import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addInt8,
  buildFixedPointAdd,
  fixedPointSum,
  mulInt8,
} from "../../../kernels/ops/elementwise.ts";
import { ladderInteger, nudge, RANGES } from "../../../src/testing/numbers.ts";
import * as oracle from "../../../src/testing/rules.ts";
import { testProperties } from "../property.ts";
import { ELEMENTWISE, operands, quantized, ratioScales } from "./elementwise.ts";

const RUNS = { numRuns: 3000 };

testProperties(ELEMENTWISE);

Deno.test("addInt8() rounds ties to even before it adds the zero point when every pair of quint8 values is added", () => {
  // Steps of 1/2: half of all sums are ties. An odd zero point distinguishes rounding before and
  // after adding it.
  const qa = { scale: 0.25, zeroPoint: 7 };
  const qb = { scale: 0.25, zeroPoint: 200 };
  const to = { scale: 0.5, zeroPoint: 101, quantMin: 0, quantMax: 255 };
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  const out = new Uint8Array(256);
  for (let b = 0; b < 256; b++) {
    const other = { data: new Uint8Array(256).fill(b), qparams: qb };
    addInt8({ data: all, qparams: qa }, other, { data: out, qparams: to });
    for (let a = 0; a < 256; a++) {
      const twice = a - 7 + b - 200;
      const half = Math.floor(twice / 2);
      const up = twice % 2 !== 0 && half % 2 !== 0;
      assertEquals(out[a], Math.min(Math.max(half + (up ? 1 : 0) + 101, 0), 255));
    }
  }
});

Deno.test("buildFixedPointAdd() refuses scale ratios outside 2^-14..2^8 and gives 22-bit multipliers within", () => {
  let refused = 0;
  fc.assert(
    fc.property(ratioScales, ([a, b, out]) => {
      const add = buildFixedPointAdd(a, b, out);
      const ratios = [oracle.div32(a, out), oracle.div32(b, out)];
      assertEquals(add === null, ratios.some((r) => r < 2 ** -14 || r >= 256));
      if (add === null) return void refused++;
      const { am, bm, shift } = oracle.fixedPointConstants(ratios[0]!, ratios[1]!);
      assertEquals(add, { multiplierA: Number(am), multiplierB: Number(bm), step: 2 ** shift });
      assert(Math.max(add.multiplierA, add.multiplierB) <= 2 ** 22 && shift >= 14 && shift <= 35);
    }),
    RUNS,
  );
  assert(refused > 100);
  for (
    const [edge, ok] of [[2 ** -14, true], [nudge(2 ** -14, -1), false], [256, false], [
      nudge(256, -1),
      true,
    ]]
  ) {
    assertEquals(buildFixedPointAdd(edge as number, 1, 1) !== null, ok);
    assertEquals(buildFixedPointAdd(1, edge as number, 1) !== null, ok);
  }
});

Deno.test("fixedPointSum() rounds half away from zero over its whole domain", () => {
  const nine = ladderInteger(-255, 255);
  const multiplier = ladderInteger(0, 2 ** 22);
  let ties = 0;
  const check = (a: number, b: number, ma: number, mb: number, shift: number) => {
    const sum = BigInt(a) * BigInt(ma) + BigInt(b) * BigInt(mb);
    const half = 1n << BigInt(shift - 1);
    if ((sum < 0n ? -sum : sum) % (2n * half) === half) ties++;
    const rounded = ((sum < 0n ? -sum : sum) + half) >> BigInt(shift);
    assertEquals(fixedPointSum(a, b, ma, mb, 2 ** shift), Number(sum < 0n ? -rounded : rounded));
  };
  fc.assert(
    fc.property(nine, nine, multiplier, multiplier, fc.integer({ min: 14, max: 35 }), check),
    RUNS,
  );
  // Ties: a odd multiple of half the divisor.
  fc.assert(
    fc.property(ladderInteger(-127, 127), fc.integer({ min: 14, max: 22 }), (n, shift) => {
      check(2 * n + 1, 0, 2 ** (shift - 1), 0, shift);
      check(2 * n, 1, 2 ** (shift - 1), 2 ** (shift - 1), shift);
    }),
    RUNS,
  );
  check(255, 255, 2 ** 22, 2 ** 22, 14);
  check(-255, -255, 2 ** 22, 2 ** 22, 14);
  assert(ties > 1000);
});

Deno.test("mulInt8() follows the rule between any dtypes when the integer product is below 2^53", () => {
  let largest = 0;
  fc.assert(
    fc.property(operands(RANGES), ([qa, qb, to, a, b]) => {
      const out = to.range.make(new Uint8Array(13));
      mulInt8(quantized(a, qa), quantized(b, qb), { data: out, qparams: to });
      for (let i = 0; i < 13; i++) {
        const product = Math.abs((a[i]! - qa.zeroPoint) * (b[i]! - qb.zeroPoint));
        if (product >= 2 ** 53) continue;
        largest = Math.max(largest, product);
        assertEquals(out[i], oracle.mulQuantized(a[i]!, qa, b[i]!, qb, to), `${a[i]} * ${b[i]}`);
      }
    }),
    RUNS,
  );
  assert(largest > 2 ** 31);
});

Deno.test("mulInt8() saturates at the end of the product's sign when the product is beyond 2^53", () => {
  const q = { scale: 1, zeroPoint: 0, quantMin: -(2 ** 31), quantMax: 2 ** 31 - 1 };
  const a = Int32Array.of(2 ** 31 - 1, -(2 ** 31), -(2 ** 31));
  const b = Int32Array.of(2 ** 31 - 1, 2 ** 31 - 1, -(2 ** 31));
  const out = new Int32Array(3);
  mulInt8({ data: a, qparams: q }, { data: b, qparams: q }, { data: out, qparams: q });
  assertEquals([...out], [q.quantMax, q.quantMin, q.quantMax]);
});

Deno.test("mulInt8() rounds ties to even before it adds the zero point when every pair of quint8 values is multiplied", () => {
  const qa = { scale: 0.5, zeroPoint: 131 };
  const qb = { scale: 0.25, zeroPoint: 77 };
  const to = { scale: 2, zeroPoint: 101, quantMin: 0, quantMax: 255 };
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  const out = new Uint8Array(256);
  let ties = 0;
  for (let b = 0; b < 256; b++) {
    const other = { data: new Uint8Array(256).fill(b), qparams: qb };
    mulInt8({ data: all, qparams: qa }, other, { data: out, qparams: to });
    for (let a = 0; a < 256; a++) {
      // product / 16, by integers alone
      const product = (a - 131) * (b - 77);
      const low = Math.floor(product / 16);
      const rest = product - 16 * low;
      const up = rest > 8 || (rest === 8 && low % 2 !== 0);
      if (rest === 8) ties++;
      assertEquals(out[a], Math.min(Math.max(low + (up ? 1 : 0) + 101, 0), 255));
    }
  }
  assert(ties > 2000);
});
