import { gruScratch } from "../../../kernels/packed/gru_cell.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { PartName } from "@splitgate/splitgate/qconfig";
import { byParts } from "@splitgate/splitgate/reference";
import { newQArray } from "../../../src/core/dtype.ts";
import type { ForwardTensor } from "../../../src/modules/kind.ts";
import {
  QuantizedGRU,
  type QuantizedGRUForwardResult,
} from "../../../src/modules/gru/quantized.ts";
import {
  type Bits,
  gruCases,
  gruOf,
  type LSTMCase,
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

function flat(result: QuantizedGRUForwardResult) {
  return result.map((t) => ({ ...t, data: [...t.data], shape: [...t.shape] }));
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
  const outer = c.batchFirst ? [c.batch, steps] : [steps, c.batch];
  return quantizedOf(c.seed + 1, [...outer, c.inputSize], c.input, 2);
}

function stateOf(c: LSTMCase, bits: Bits): ForwardTensor {
  const rows = c.numLayers * (c.bidirectional ? 2 : 1);
  return quantizedOf(c.seed + 2, [rows, c.batch, c.hiddenSize], bits, 0.9);
}

/** Fused, split, and both by parts, of the same input, give the same. */
function assertAgree(
  gru: QuantizedGRU,
  c: LSTMCase,
  stateBits: Bits | null,
  lengths?: number[],
): void {
  const x = inputOf(c);
  const state = stateBits === null ? undefined : stateOf(c, stateBits);
  const kernels = byParts();
  const oracle = attempt(() =>
    flat(gru.forward(x, state, { ...lengths && { lengths }, splitGates: true, kernels }))
  );
  for (const splitGates of [false, true]) {
    const options = { ...lengths && { lengths }, splitGates };
    assertEquals(attempt(() => flat(gru.forward(x, state, options))), oracle);
    assertEquals(attempt(() => flat(gru.forward(x, state, { ...options, kernels }))), oracle);
  }
}

const quantized = fc.constantFrom<Bits>(7, 8, 16, 32);
const stateBits = fc.constantFrom<Bits | null>(null, 0, 8, 16);

Deno.test("QuantizedGRU gives the same fused, split and by parts when parts have 7, 8, 16 and 32 bits", () => {
  let ran = 0;
  fc.assert(
    fc.property(gruCases(quantized, fc.constantFrom<Bits>(0, 7, 8, 16)), stateBits, (c, bits) => {
      assertAgree(gruOf(c), c, bits);
      ran++;
    }),
    { numRuns: 200 },
  );
  assertEquals(ran, 200);
});

Deno.test("QuantizedGRU gives the same fused, split and by parts when projections, or any parts, are not quantized", () => {
  const some = fc.constantFrom<Bits>(8, 16);
  const any = fc.constantFrom<Bits>(0, 7, 8, 16, 32);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.tuple(gruCases(some, fc.constantFrom<Bits>(0, 8)), fc.boolean())
          .map(([c, h]) => ({
            ...c,
            bits: [0 as Bits, h ? 0 as Bits : c.bits[1]!, ...c.bits.slice(2)],
          })),
        gruCases(any, any),
      ),
      stateBits,
      (c, bits) => assertAgree(gruOf(c), c, bits),
    ),
    { numRuns: 200 },
  );
});

Deno.test("QuantizedGRU gives the same for rows of different lengths, and in chunks when the state is handed on", () => {
  const some = fc.constantFrom<Bits>(8, 16);
  let chunked = 0;
  fc.assert(
    fc.property(
      gruCases(some, fc.constantFrom<Bits>(0, 8)),
      stateBits,
      fc.nat(),
      (given, bits, seed) => {
        const c = { ...given, batchFirst: false, steps: 5 };
        const random = generator(seed);
        const lengths = Array.from({ length: c.batch }, () => Math.floor(random(1, c.steps + 1)));
        const gru = gruOf(c);
        assertAgree(gru, c, bits, lengths);
        if (c.bidirectional || c.numLayers > 1) return;
        const x = inputOf(c);
        const whole = attempt(() => gru.forward(x));
        if ("error" in whole) return;
        const each = c.batch * c.inputSize;
        const part = (from: number, to: number) =>
          ({
            ...x,
            data: x.data.slice(from * each, to * each),
            shape: [to - from, c.batch, c.inputSize],
          }) as ForwardTensor;
        const [first, between] = gru.forward(part(0, 2));
        const [second, last] = gru.forward(part(2, 5), between);
        assertEquals([...first.data, ...second.data], [...whole.value[0].data]);
        assertEquals([...last.data], [...whole.value[1].data]);
        chunked++;
      },
    ),
    { numRuns: 100 },
  );
  assert(chunked > 10, `${chunked}`);
});

Deno.test("QuantizedGRU gives the same fused, split and by parts at every size around blocks of units", () => {
  const sizes = [9, 10, 11, 19, 20, 21, 39, 41, 127, 128, 129, 130, 150, 199, 257];
  sizes.forEach((hiddenSize, seed) => {
    for (const resetAfter of [true, false]) {
      const gru = { resetAfter, complementedUpdate: seed % 2 === 0 };
      const c = { ...plainCase, seed, hiddenSize, gru, steps: 3, batch: 2 };
      assertAgree(gruOf(c), c, seed % 3 === 0 ? 8 : null, [3, 1]);
    }
  });
});

Deno.test("gruScratch() of split gates takes no more than about half of what all units need", () => {
  const length = (size: number, split: boolean, first: boolean): number => {
    const { igates, hgates, deferred } = gruScratch(size, split, first);
    return igates.length + hgates.length + deferred.length;
  };
  for (let size = 21; size <= 600; size++) {
    assert(length(size, true, false) <= length(size, false, false) / 2 + 60, `${size}`);
    // Where the state is reset first some of it is deferred until all are.
    assert(length(size, true, true) <= length(size, false, true) + 6, `${size}`);
    // Then too no array holds the gates of all units, but of a few.
    const { igates, hgates, deferred } = gruScratch(size, true, true);
    for (const part of [igates, hgates, deferred]) {
      assert(part.length <= Math.max(2 * size, 90), `${size}: ${part.length}`);
    }
  }
  assert(length(256, true, true) < 0.8 * length(256, false, true));
});

Deno.test("QuantizedGRU agrees with parts over 600 steps when the state runs on", () => {
  fc.assert(
    fc.property(gruCases(fc.constantFrom<Bits>(8, 16), fc.constant<Bits>(8)), (given) => {
      const hiddenSize = Math.min(given.hiddenSize, 7);
      const c = { ...given, steps: 600, batch: 1, numLayers: 1, hiddenSize };
      assertAgree(gruOf(c), c, 8);
    }),
    { numRuns: 4 },
  );
});

Deno.test("a watcher of parts sees every part of a GRU, by gate where gates are split", () => {
  const gru = gruOf({ ...plainCase, gru: { resetAfter: false, complementedUpdate: false } });
  const seen = (splitGates: boolean) => {
    const names = new Set<string>();
    const kernels = byParts((place) => names.add(place.replace("layers.0.layer_fw.cell.", "")));
    gru.forward(floatsOf(1, [1, 4], 1), undefined, { splitGates, kernels });
    return names;
  };
  const rest: PartName[] = ["rgates", "zgates", "reset_gate", "update_gate", "rgate_hx"];
  const last: PartName[] = [
    "rgate_hgates",
    "ngates",
    "new_gate",
    "hx_ngate",
    "zgate_hx_ngate",
    "hy",
  ];
  assertEquals([...seen(false)], ["igates", "hgates", ...rest, ...last]);
  assertEquals([...seen(true)].slice(0, 5), [
    "igates.reset",
    "hgates.reset",
    "igates.update",
    "hgates.update",
    "igates.new",
  ]);
});

Deno.test("QuantizedGRU refuses cells that do not fit, and states of the wrong shape, by name", () => {
  const gru = gruOf(plainCase);
  const cell = gru.cells[0]![0]!;
  const made = (options: object) => () => new QuantizedGRU({ ...gru, ...options });
  assertThrows(made({ numLayers: 2 }), RangeError, "cells: expected 2 layers");
  assertThrows(made({ hiddenSize: 4 }), RangeError, "weightIh: expected [12, 4]");
  assertThrows(
    made({ cells: [[{ ...cell, weightHr: cell.weightIh }]] }),
    RangeError,
    "weightHr: expected null",
  );
  assertThrows(made({ resetAfter: false }), RangeError, "parts.hgates: expected 2 qparams, got 3");
  const { zgates: _, ...parts } = cell.parts;
  assertThrows(
    made({ cells: [[{ ...cell, parts }]] }),
    RangeError,
    "cells[0][0].parts.zgates: expected 1 qparams, got 0",
  );
  assertThrows(made({ complementedUpdate: 1 }), TypeError, "complementedUpdate");
  const x = floatsOf(1, [3, 2, 4], 1);
  assertThrows(
    () => gru.forward(x, floatsOf(1, [1, 2, 4], 1)),
    RangeError,
    "h0.shape: expected [1,2,5]",
  );
  assertThrows(
    () => gru.forward(x, [floatsOf(1, [1, 2, 5], 1)] as never),
    TypeError,
    "h0: expected a Tensor or a QTensor",
  );
  assertThrows(() => gru.forward(x, undefined, { lengths: [1] }), RangeError, "lengths");
});
