import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { newQArray } from "../../../src/core/dtype.ts";
import { perTensorAffine } from "../../../src/core/qparams.ts";
import { byParts } from "../../../src/modules/recurrent/by_parts.ts";
import { fastParts } from "../../../src/modules/lstm/lower.ts";
import type { ForwardTensor } from "../../../src/modules/kind.ts";
import type { QuantizedLSTMForwardResult } from "../../../src/modules/lstm/quantized.ts";
import { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import {
  type Bits,
  type LSTMCase,
  lstmCases,
  lstmOf,
  qparamsOf,
} from "../../../src/testing/quantized_lstms.ts";
import { floatsOf, generator } from "../../../src/testing/random.ts";
import { plainCase } from "../../../src/testing/quantized_models.ts";

type Result<T> = { value: T } | { error: string };

/** qnnpack cannot add with every parameters: such a case must fail the same way everywhere. */
function attempt<T>(run: () => T): Result<T> {
  try {
    return { value: run() };
  } catch (error) {
    if (!(error instanceof RangeError) || !error.message.includes("qnnpack's addition")) {
      throw error;
    }
    return { error: "qnnpack" };
  }
}

function flat([y, [h, c]]: QuantizedLSTMForwardResult) {
  return [y, h, c].map((t) => ({ ...t, data: [...t.data], shape: [...t.shape] }));
}

/** Quantized random values, the range's ends among them. */
function quantizedOf(
  seed: number,
  shape: readonly number[],
  bits: Bits,
  range: number,
): ForwardTensor {
  const random = generator(seed);
  const q = qparamsOf(bits, range, random);
  const floats = floatsOf(seed, shape, range);
  if (q === null) return floats;
  const data = newQArray(q.dtype, floats.data.length);
  for (let i = 0; i < data.length; i++) {
    const x = random(-1.2, 1.2) * range / q.scale + q.zeroPoint;
    data[i] = Math.min(q.quantMax, Math.max(q.quantMin, Math.round(x)));
  }
  return { data, shape, qparams: q };
}

function inputOf(c: LSTMCase, steps = c.steps): ForwardTensor {
  return quantizedOf(
    c.seed + 1,
    c.batchFirst ? [c.batch, steps, c.inputSize] : [steps, c.batch, c.inputSize],
    c.input,
    2,
  );
}

function stateOf(c: LSTMCase, bits: Bits): [ForwardTensor, ForwardTensor] {
  const rows = c.numLayers * (c.bidirectional ? 2 : 1);
  return [
    quantizedOf(c.seed + 2, [rows, c.batch, c.projSize || c.hiddenSize], bits, 0.9),
    quantizedOf(c.seed + 3, [rows, c.batch, c.hiddenSize], bits, 1.8),
  ];
}

/** Fused, split, and both by parts, of the same input, give the same. */
function assertAgree(
  lstm: QuantizedLSTM,
  c: LSTMCase,
  stateBits: Bits | null,
  lengths?: number[],
): void {
  const x = inputOf(c);
  const state = stateBits === null ? undefined : stateOf(c, stateBits);
  const kernels = byParts();
  const oracle = attempt(() =>
    flat(lstm.forward(x, state, { lengths, splitGates: true, kernels }))
  );
  for (const splitGates of [false, true]) {
    assertEquals(attempt(() => flat(lstm.forward(x, state, { lengths, splitGates }))), oracle);
    assertEquals(
      attempt(() => flat(lstm.forward(x, state, { lengths, splitGates, kernels }))),
      oracle,
    );
  }
}

const eight = fc.constant<Bits>(8);
const quantized = fc.constantFrom<Bits>(7, 8, 16, 32);
const any = fc.constantFrom<Bits>(0, 7, 8, 16, 32);
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
        const lstm = lstmOf({ ...c, bits: [0, h ? 0 : c.bits[1]!, ...c.bits.slice(2)] });
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
        const lstm = lstmOf(c, { batchFirst: false });
        const random = generator(seed);
        const lengths = Array.from({ length: c.batch }, () => Math.floor(random(1, c.steps + 1)));
        const plain = { ...c, batchFirst: false };
        assertAgree(lstm, plain, bits, lengths);
        const x = inputOf(plain);
        const state = bits === null ? undefined : stateOf(c, bits);
        const whole = attempt(() => lstm.forward(x, state, { lengths }));
        lengths.forEach((length, b) => {
          const take = (t: ForwardTensor, steps: number) => {
            const [, batch, width] = t.shape;
            const data = t.data.slice(0, steps * width!);
            for (let s = 0; s < steps; s++) {
              for (let k = 0; k < width!; k++) {
                data[s * width! + k] = t.data[(s * batch! + b) * width! + k]!;
              }
            }
            return { ...t, data, shape: [steps, 1, width] } as ForwardTensor;
          };
          const own = state &&
            [take(state[0], state[0].shape[0]!), take(state[1], state[1].shape[0]!)] as const;
          const alone = attempt(() => lstm.forward(take(x, length), own));
          if ("error" in whole || "error" in alone) {
            assertEquals("error" in whole, "error" in alone);
            return;
          }
          const [y, [h, cell]] = whole.value;
          const rows = h.shape[0]!;
          assertEquals(
            [take(y, length), take(h, rows), take(cell, rows)].map((t) => [...t.data]),
            [alone.value[0], ...alone.value[1]].map((t) => [...t.data]),
          );
          const rest = [...take(y, c.steps).data.slice(length * y.shape[2]!)];
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
    fc.property(
      lstmCases(fc.constantFrom<Bits>(8, 16), fc.constantFrom<Bits>(0, 8)),
      fc.nat(),
      (given, seed) => {
        const c = { ...given, bidirectional: false, batchFirst: false, numLayers: 1, steps: 9 };
        const lstm = lstmOf(c);
        const x = inputOf(c);
        const whole = attempt(() => lstm.forward(x));
        const random = generator(seed);
        if ("error" in whole) return;
        const each = c.batch * c.inputSize;
        const out: number[] = [];
        let state: readonly [ForwardTensor, ForwardTensor] | undefined;
        let done = 0;
        while (done < c.steps) {
          const steps = Math.min(c.steps - done, Math.floor(random(1, 5)));
          const data = x.data.slice(done * each, (done + steps) * each);
          const [y, next] = lstm.forward(
            { ...x, data, shape: [steps, c.batch, c.inputSize] } as ForwardTensor,
            state,
          );
          out.push(...y.data);
          state = next;
          done += steps;
        }
        assertEquals(out, [...whole.value[0].data]);
        assertEquals(state!.map((t) => [...t.data]), whole.value[1].map((t) => [...t.data]));
        ran++;
      },
    ),
    { numRuns: 60 },
  );
  assertEquals(ran > 30, true);
});

/** An LSTM whose cell state only grows: gates wide open, weights of 0, biases that say so. */
function growing(bits: 8 | 16): QuantizedLSTM {
  const c: LSTMCase = { ...plainCase, seed: 1, inputSize: 3, hiddenSize: 3, steps: 1 };
  const cells = lstmOf(c).cells.map((layer) =>
    layer.map((cell) => {
      const cellState = bits === 8
        ? perTensorAffine({ dtype: "quint8", scale: 0.07, zeroPoint: 120 })
        : perTensorAffine({
          dtype: "qint32",
          scale: 2 ** -11,
          zeroPoint: 0,
          quantMin: -32768,
          quantMax: 32767,
        });
      const wide = perTensorAffine({ dtype: "quint8", scale: 0.1, zeroPoint: 128 });
      const gate = perTensorAffine({ dtype: "quint8", scale: 1 / 255, zeroPoint: 0 });
      const tanh = perTensorAffine({ dtype: "quint8", scale: 2 / 255, zeroPoint: 128 });
      return {
        ...cell,
        weightIh: {
          ...cell.weightIh,
          data: cell.weightIh.data.map(() => 0),
          zeroPoints: Int32Array.of(0),
        },
        weightHh: {
          ...cell.weightHh,
          data: cell.weightHh.data.map(() => 0),
          zeroPoints: Int32Array.of(0),
        },
        // Unit 0 grows up, unit 1 down, unit 2 stays.
        biasIh: Float32Array.of(12, 12, 12, 12, 12, 12, 12, -12, 0, 12, 12, 12),
        biasHh: new Float32Array(12),
        parts: {
          ...cell.parts,
          igates: [wide, wide, wide, wide],
          hgates: [wide, wide, wide, wide],
          gates: [wide, wide, wide, wide],
          input_gate: gate,
          forget_gate: gate,
          cell_gate: tanh,
          output_gate: gate,
          fgate_cx: cellState,
          igate_cgate: cellState,
          fgate_cx_igate_cgate: cellState,
        },
      };
    })
  );
  return lstmOf(c, { cells });
}

Deno.test("QuantizedLSTM saturates and never wraps when the cell grows past +-8 over 2,000 steps", () => {
  for (const bits of [8, 16] as const) {
    const lstm = growing(bits);
    const steps = 2000;
    const x = inputOf({ ...growingCase(lstm), steps });
    const saturations = new Map<string, number>();
    const parts = lstm.cells[0]![0]!.parts;
    const q = parts.fgate_cx_igate_cgate!;
    const watch = byParts((part, _value, saturated) =>
      saturations.set(part, (saturations.get(part) ?? 0) + saturated)
    );
    const slow = lstm.forward(x, undefined, { kernels: watch });
    for (const splitGates of [false, true]) {
      assertEquals(flat(lstm.forward(x, undefined, { splitGates })), flat(slow));
    }
    assertEquals([...slow[1][1].data].slice(0, 2), [q.quantMax, q.quantMin]);
    // The two units that grow are clamped at nearly every step, and nothing else is.
    const cell = saturations.get("layers.0.layer_fw.cell.fgate_cx_igate_cgate")!;
    assertEquals(cell > 2 * steps * 0.9 && cell <= 2 * steps, true, `${cell}`);
    assertEquals(saturations.get("layers.0.layer_fw.cell.igates"), 0);
    // From each step to the next the growing unit's output falls by no more than rounding: nothing
    // wraps.
    const h = slow[0].data;
    for (let t = 1; t < steps; t++) {
      assertEquals(h[3 * t]! >= h[3 * t - 3]! - 1 && h[3 * t + 1]! <= h[3 * t - 2]! + 1, true);
    }
  }
});

function growingCase({ inputSize, hiddenSize }: QuantizedLSTM): LSTMCase {
  return {
    inputSize,
    hiddenSize,
    seed: 5,
    batch: 1,
    steps: 1,
    input: 8,
    batchFirst: false,
  } as LSTMCase;
}

Deno.test("QuantizedLSTM agrees with parts over 600 steps when the state runs on", () => {
  let ran = 0;
  fc.assert(
    fc.property(lstmCases(fc.constantFrom<Bits>(8, 16), eight), (given) => {
      const c = {
        ...given,
        steps: 600,
        batch: 1,
        numLayers: 1,
        hiddenSize: Math.min(given.hiddenSize, 7),
        projSize: 0,
      };
      assertAgree(lstmOf(c), c, 8);
      ran++;
    }),
    { numRuns: 4 },
  );
  assertEquals(ran, 4);
});

Deno.test("QuantizedLSTM takes unbatched input and floats when the LSTM has parameters for them", () => {
  fc.assert(
    fc.property(lstmCases(eight, eight), (given) => {
      const c = { ...given, batch: 1, batchFirst: false };
      const lstm = lstmOf(c);
      const x = inputOf(c);
      const whole = attempt(() => lstm.forward(x));
      if ("error" in whole) return;
      const [y, [h, cell]] = lstm.forward({ ...x, shape: [c.steps, c.inputSize] } as ForwardTensor);
      const [z, [hz, cz]] = whole.value;
      assertEquals([y, h, cell].map((t) => [...t.data]), [z, hz, cz].map((t) => [...t.data]));
      assertEquals([y.shape, h.shape], [[c.steps, z.shape[2]], [h.shape[0], hz.shape[2]]]);
      // Dequantized and quantized again, the integers are what they were.
      const q = lstm.input!;
      const floats = Float32Array.from(x.data, (v) => Math.fround(q.scale * (v - q.zeroPoint)));
      assertEquals(
        flat(lstm.forward({ data: floats, shape: x.shape })),
        flat(lstm.forward({ ...x, qparams: q } as never)),
      );
    }),
    { numRuns: 30 },
  );
});

Deno.test("QuantizedLSTM.forward() names the argument when one is wrong", () => {
  const c = { ...growingCase(growing(8)), batch: 2, steps: 3 };
  const lstm = growing(8);
  const x = inputOf(c);
  const refused = (
    run: () => unknown,
    kind: typeof RangeError | typeof TypeError,
    message: string,
  ) => assertThrows(run, kind, message);
  const q8 = perTensorAffine({ dtype: "quint8", scale: 1, zeroPoint: 0 });
  const state = (rows: number, batch: number) => ({
    data: new Uint8Array(rows * batch * 3),
    shape: [rows, batch, 3],
    qparams: q8,
  });
  refused(() => lstm.forward(null as never), TypeError, "x: expected a Tensor or a QTensor");
  refused(
    () => lstm.forward({ ...x, shape: [3, 3, 2] } as never),
    RangeError,
    "x.shape: expected [steps, batch, 3]",
  );
  refused(
    () => lstm.forward({ data: new Float32Array(0), shape: [0, 2, 3] }),
    RangeError,
    "x.shape",
  );
  refused(
    () => lstm.forward({ data: Float32Array.of(0, NaN, 0), shape: [1, 3] }),
    RangeError,
    "x.data[1]",
  );
  refused(
    () => lstm.forward({ data: [1, 2, 3], shape: [1, 3] } as never),
    TypeError,
    "x.data: expected a Float32Array",
  );
  refused(
    () => lstm.forward(x, [state(2, 2), state(1, 2)]),
    RangeError,
    "h0.shape: expected [1,2,3]",
  );
  refused(
    () => lstm.forward(x, [state(1, 2), state(1, 1)]),
    RangeError,
    "c0.shape: expected [1,2,3]",
  );
  refused(
    () => lstm.forward(x, undefined, { lengths: [1] }),
    RangeError,
    "lengths: expected 2 elements, got 1",
  );
  refused(
    () => lstm.forward(x, undefined, { lengths: [1, 4] }),
    RangeError,
    "lengths[1]: expected an integer in 1..3",
  );
  refused(() => lstm.forward(x, undefined, { lengths: [0, 1] }), RangeError, "lengths[0]");
  refused(() => lstm.forward(x, undefined, { splitGates: 1 as never }), TypeError, "splitGates");
  refused(
    () => lstm.forward(x, undefined, { splitGate: true } as never),
    TypeError,
    "options: expected no options but",
  );
  refused(
    () => lstm.forward(x, { splitGates: true } as never),
    TypeError,
    "state: expected an array of the hidden",
  );
  refused(() => byParts(1 as never), TypeError, "observe: expected a function or null, got 1");
});

Deno.test("QuantizedLSTM refuses cells when they do not fit its sizes", () => {
  const lstm = growing(8);
  const cell = lstm.cells[0]![0]!;
  const { weightIh } = cell;
  const made = (options: object) => () => new QuantizedLSTM({ ...lstm, ...options });
  assertThrows(made({ numLayers: 2 }), RangeError, "cells: expected 2 layers");
  assertThrows(made({ bidirectional: true }), RangeError, "cells[0]: expected 2 directions");
  assertThrows(made({ inputSize: 4 }), RangeError, "cells[0][0].weightIh: expected [12, 4]");
  assertThrows(made({ hiddenSize: 4 }), RangeError, "weightIh: expected [16, 3]");
  assertThrows(made({ projSize: 2 }), RangeError, "weightHh: expected [12, 2]");
  assertThrows(
    made({ cells: [[{ ...cell, weightHr: weightIh }]] }),
    RangeError,
    "weightHr: expected null",
  );
});
