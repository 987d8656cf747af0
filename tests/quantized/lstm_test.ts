import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { newQArray } from "../../src/dtype.ts";
import { byParts } from "../../src/quantized/by_parts.ts";
import { fastParts } from "../../src/quantized/cell.ts";
import type { ForwardTensor, LstmForwardResult } from "../../src/quantized/forward.ts";
import type { QuantizedLSTM } from "../../src/quantized/lstm.ts";
import { type Bits, floatsOf, generator, type LstmCase, lstmCases, lstmOf, qparamsOf } from "./arbitrary.ts";

type Result<T> = { value: T } | { error: string };

/** qnnpack cannot add with every parameters: such a case must fail the same way everywhere. */
function attempt<T>(run: () => T): Result<T> {
  try {
    return { value: run() };
  } catch (error) {
    if (!(error instanceof RangeError) || !error.message.includes("qnnpack's addition")) throw error;
    return { error: "qnnpack" };
  }
}

function flat([y, [h, c]]: LstmForwardResult) {
  return [y, h, c].map((t) => ({ ...t, data: [...t.data], shape: [...t.shape] }));
}

/** Quantized random values, the range's ends among them. */
function quantizedOf(seed: number, shape: readonly number[], bits: Bits, range: number): ForwardTensor {
  const random = generator(seed), q = qparamsOf(bits, range, random), floats = floatsOf(seed, shape, range);
  if (q === null) return floats;
  const data = newQArray(q.dtype, floats.data.length);
  for (let i = 0; i < data.length; i++) {
    const x = random(-1.2, 1.2) * range / q.scale + q.zeroPoint;
    data[i] = Math.min(q.quantMax, Math.max(q.quantMin, Math.round(x)));
  }
  return { data, shape, qparams: q };
}

function inputOf(c: LstmCase, steps = c.steps): ForwardTensor {
  return quantizedOf(
    c.seed + 1,
    c.batchFirst ? [c.batch, steps, c.inputSize] : [steps, c.batch, c.inputSize],
    c.input,
    2,
  );
}

function stateOf(c: LstmCase, bits: Bits): [ForwardTensor, ForwardTensor] {
  const rows = c.numLayers * (c.bidirectional ? 2 : 1);
  return [
    quantizedOf(c.seed + 2, [rows, c.batch, c.projSize || c.hiddenSize], bits, 0.9),
    quantizedOf(c.seed + 3, [rows, c.batch, c.hiddenSize], bits, 1.8),
  ];
}

/** Fused, split, and both by parts, of the same input, give the same. */
function assertAgree(lstm: QuantizedLSTM, c: LstmCase, stateBits: Bits | null, lengths?: number[]): void {
  const x = inputOf(c), state = stateBits === null ? undefined : stateOf(c, stateBits), kernels = byParts();
  const oracle = attempt(() => flat(lstm.forward(x, state, { lengths, splitGates: true, kernels })));
  for (const splitGates of [false, true]) {
    assertEquals(attempt(() => flat(lstm.forward(x, state, { lengths, splitGates }))), oracle);
    assertEquals(attempt(() => flat(lstm.forward(x, state, { lengths, splitGates, kernels }))), oracle);
  }
}

const eight = fc.constant<Bits>(8),
  quantized = fc.constantFrom<Bits>(7, 8, 16, 32),
  any = fc.constantFrom<Bits>(0, 7, 8, 16, 32);
const stateBits = fc.constantFrom<Bits | null>(null, 0, 8, 16);

function fast(lstm: QuantizedLSTM): boolean {
  return lstm.cells.flat().every((cell) => fastParts(cell) !== null);
}

Deno.test("QuantizedLSTM gives the same fused, split and by parts when every part has 8 bits", () => {
  let ran = 0;
  fc.assert(
    fc.property(lstmCases(eight, eight), stateBits, (c, bits) => {
      const lstm = lstmOf(c);
      assertEquals(fast(lstm), true);
      assertAgree(lstm, c, bits);
      ran++;
    }),
    { numRuns: 150 },
  );
  assertEquals(ran, 150);
});

Deno.test("QuantizedLSTM gives the same fused, split and by parts when parts have 7, 8, 16 and 32 bits", () => {
  const ran = { fast: 0, slow: 0 };
  fc.assert(
    fc.property(lstmCases(quantized, fc.constantFrom<Bits>(0, 7, 8, 16)), stateBits, (c, bits) => {
      const lstm = lstmOf(c);
      assertAgree(lstm, c, bits);
      ran[fast(lstm) ? "fast" : "slow"]++;
    }),
    { numRuns: 150, examples: [] },
  );
  assertEquals(ran.fast > 20 && ran.slow > 5, true, JSON.stringify(ran));
});

Deno.test("QuantizedLSTM gives the same fused, split and by parts when projections are not quantized", () => {
  let ran = 0;
  fc.assert(
    fc.property(
      lstmCases(fc.constantFrom<Bits>(8, 16), fc.constantFrom<Bits>(0, 8)),
      stateBits,
      fc.boolean(),
      (c, bits, h) => {
        const lstm = lstmOf({ ...c, bits: [0, h ? 0 : c.bits[1], ...c.bits.slice(2)] });
        if (fast(lstm)) ran++;
        assertAgree(lstm, c, bits);
      },
    ),
    { numRuns: 100 },
  );
  assertEquals(ran > 50, true);
});

Deno.test("QuantizedLSTM runs by parts when any part is not quantized", () => {
  fc.assert(
    fc.property(lstmCases(any, any), stateBits, (c, bits) => assertAgree(lstmOf(c), c, bits)),
    { numRuns: 60 },
  );
});

Deno.test("QuantizedLSTM gives each row what it gives it alone when lengths differ", () => {
  fc.assert(
    fc.property(
      lstmCases(fc.constantFrom<Bits>(8, 16), fc.constantFrom<Bits>(0, 8)),
      stateBits,
      fc.nat(),
      (c, bits, seed) => {
        const lstm = lstmOf(c, { batchFirst: false }), random = generator(seed);
        const lengths = Array.from({ length: c.batch }, () => Math.floor(random(1, c.steps + 1)));
        const plain = { ...c, batchFirst: false };
        assertAgree(lstm, plain, bits, lengths);
        const x = inputOf(plain), state = bits === null ? undefined : stateOf(c, bits);
        const whole = attempt(() => lstm.forward(x, state, { lengths }));
        lengths.forEach((length, b) => {
          const take = (t: ForwardTensor, steps: number) => {
            const [, batch, width] = t.shape, data = t.data.slice(0, steps * width);
            for (let s = 0; s < steps; s++) {
              for (let k = 0; k < width; k++) data[s * width + k] = t.data[(s * batch + b) * width + k];
            }
            return { ...t, data, shape: [steps, 1, width] } as ForwardTensor;
          };
          const own = state && [take(state[0], state[0].shape[0]), take(state[1], state[1].shape[0])] as const;
          const alone = attempt(() => lstm.forward(take(x, length), own));
          if ("error" in whole || "error" in alone) {
            assertEquals("error" in whole, "error" in alone);
            return;
          }
          const [y, [h, cell]] = whole.value, rows = h.shape[0];
          assertEquals(
            [take(y, length), take(h, rows), take(cell, rows)].map((t) => [...t.data]),
            [alone.value[0], ...alone.value[1]].map((t) => [...t.data]),
          );
          const rest = [...take(y, c.steps).data.slice(length * y.shape[2])];
          assertEquals(rest.every((q) => q === ("qparams" in y ? y.qparams.zeroPoint : 0)), true);
        });
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("QuantizedLSTM gives the same in parts as whole when the state is handed on", () => {
  let ran = 0;
  fc.assert(
    fc.property(lstmCases(fc.constantFrom<Bits>(8, 16), fc.constantFrom<Bits>(0, 8)), fc.nat(), (given, seed) => {
      const c = { ...given, bidirectional: false, batchFirst: false, numLayers: 1, steps: 9 }, lstm = lstmOf(c);
      const x = inputOf(c), whole = attempt(() => lstm.forward(x)), random = generator(seed);
      if ("error" in whole) return;
      const each = c.batch * c.inputSize, out: number[] = [];
      let state: readonly [ForwardTensor, ForwardTensor] | undefined, done = 0;
      while (done < c.steps) {
        const steps = Math.min(c.steps - done, Math.floor(random(1, 5)));
        const data = x.data.slice(done * each, (done + steps) * each);
        const [y, next] = lstm.forward({ ...x, data, shape: [steps, c.batch, c.inputSize] } as ForwardTensor, state);
        out.push(...y.data);
        state = next;
        done += steps;
      }
      assertEquals(out, [...whole.value[0].data]);
      assertEquals(state!.map((t) => [...t.data]), whole.value[1].map((t) => [...t.data]));
      ran++;
    }),
    { numRuns: 60 },
  );
  assertEquals(ran > 30, true);
});
