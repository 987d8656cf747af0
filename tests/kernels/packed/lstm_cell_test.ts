import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Affine, linearInt8, linearInt8Float32 } from "@splitgate/splitgate/kernels";
import {
  bindState,
  gateOrder,
  integerBound,
  lowerCell,
  lowerProjection,
  orderRows,
  rowOrder,
} from "../../../kernels/packed/lower.ts";
import { perTensorAffine } from "../../../src/core/qparams.ts";
import { linearEngine } from "../../../kernels/ops/linear.ts";
import {
  lstmScratch,
  lstmStep,
  projectRows,
  SUMS_TOGETHER,
} from "../../../kernels/packed/lstm_cell.ts";
import { packedInput, packRows } from "../../../kernels/packed/pack.ts";
import { buildCell, buildTables } from "../../../kernels/packed/program.ts";
import fc from "fast-check";
import { fastParts } from "../../../src/modules/lstm/lower.ts";
import { stateQParams } from "../../../src/modules/recurrent/cell.ts";
import { type Bits, lstmCases, lstmOf, qparamsOf } from "../../../src/testing/quantized_lstms.ts";
import { generator } from "../../../src/testing/random.ts";

Deno.test("gateOrder() puts units one after the other, and rowOrder() fills up to groups of four rows", () => {
  assertEquals([...gateOrder(3)], [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
  assertEquals([...rowOrder(3)], [0, 1, 2, -1]);
});

Deno.test("projectRows() is the plain linear kernel when weights, biases and parameters are any", () => {
  const seen = { plain: 0, slow: 0 };
  fc.assert(
    fc.property(
      fc.nat(),
      fc.constantFrom("fbgemm" as const, "qnnpack" as const),
      fc.constantFrom(1, 3, 7, 13, 33, 700),
      fc.constantFrom(1, 3, 7, 13),
      fc.constantFrom("tensor", "block", "channel"),
      fc.constantFrom(1e-3, 1, 1e3, 1e8),
      fc.constantFrom<Bits>(8, 16),
      fc.constantFrom<Bits>(0, 7, 8, 16),
      fc.boolean(),
      (seed, engine, inFeatures, outFeatures, granularity, biasSize, inBits, outBits, ties) => {
        const random = generator(seed);
        const count = granularity === "tensor" || outFeatures % 4 ? 1 : 4;
        const channels = granularity === "channel" ? outFeatures : count;
        const power = (s: number) => ties ? 2 ** Math.round(Math.log2(s)) : s;
        const weight = {
          data: Int8Array.from({ length: inFeatures * outFeatures }, () => random(-128, 128)),
          inFeatures,
          outFeatures,
          perChannel: granularity === "channel",
          scales: Float32Array.from({ length: channels }, () => power(random(0.001, 0.01))),
          zeroPoints: Int32Array.from({ length: channels }, () => Math.round(random(-4, 4))),
        };
        const round = (q: ReturnType<typeof qparamsOf>) =>
          q === null ? null : { ...q, scale: Math.fround(power(q.scale)) };
        const from = round(qparamsOf(inBits, 2, random))!;
        const to = round(qparamsOf(outBits, 2 * Math.sqrt(inFeatures), random));
        const bias = random(0, 1) < 0.2
          ? null
          : Float32Array.from({ length: outFeatures }, () => random(-1, 1) * biasSize);
        const order = rowOrder(outFeatures);
        const rows = packRows(orderRows(weight, order, integerBound(from)));
        const projection = lowerProjection({ engine, weight, bias, order }, from, [to, to, to, to]);
        const x = Int32Array.from(
          { length: inFeatures },
          () => Math.floor(random(from.quantMin, from.quantMax + 1)),
        );
        const centered = packedInput(inFeatures);
        const out = new Float64Array(outFeatures);
        for (let k = 0; k < inFeatures; k++) centered[k] = x[k]! - from.zeroPoint;
        projectRows(
          rows,
          projection,
          centered,
          new Float64Array(SUMS_TOGETHER),
          out,
          0,
          outFeatures,
        );
        seen[projection.exact ? "slow" : "plain"]++;
        if (to === null) {
          const want = new Float32Array(outFeatures);
          linearInt8Float32("fbgemm", { data: x, qparams: from }, { weight, bias }, want);
          assertEquals([...out], [...want]);
        } else {
          const want = new Int32Array(outFeatures);
          linearInt8(
            linearEngine(engine, from, [to]),
            { data: x, qparams: from },
            { weight, bias },
            { data: want, qparams: to },
          );
          assertEquals([...out], [...want].map((q) => q - to.zeroPoint));
        }
      },
    ),
    { numRuns: 400 },
  );
  assert(seen.plain > 100 && seen.slow > 50, JSON.stringify(seen));
});

Deno.test("lstmStep() gives the same with split and with fused gates", () => {
  let ran = 0;
  fc.assert(
    fc.property(
      lstmCases(fc.constantFrom<Bits>(8, 16), fc.constant<Bits>(8)),
      fc.constantFrom(1, 2, 3, 4, 5, 6, 8, 10, 11, 33, 64, 65, 128, 129, 130, 193),
      (given, hiddenSize) => {
        const c = {
          ...given,
          hiddenSize,
          numLayers: 1,
          bidirectional: false,
          projSize: hiddenSize > 2 ? given.projSize : 0,
        };
        const lstm = lstmOf(c);
        const source = lstm.cells[0]![0]!;
        const parts = fastParts(source)!;
        const hidden = stateQParams(lstm.cell, source)!;
        const random = generator(c.seed + 1);
        const size = c.projSize || hiddenSize;
        const results: number[][] = [];
        const integers = (count: number, q: Affine) =>
          Float64Array.from(
            { length: count },
            () => Math.floor(random(q.quantMin, q.quantMax + 1)) - q.zeroPoint,
          );
        const lstmCell = { engine: c.engine, weights: source, parts };
        let cell;
        try {
          const lowered = lowerCell(lstmCell, lstm.input, integerBound(hidden));
          cell = buildCell(lowered.cell, buildTables(lowered.tables));
        } catch (error) {
          assert(c.engine === "qnnpack" && error instanceof RangeError);
          return;
        }
        const binding = bindState(lstmCell, hidden, parts.fgate_cx_igate_cgate);
        const x = packedInput(c.inputSize);
        integers(c.inputSize, lstm.input!).forEach((value, k) => x[k] = value);
        // The second of three rows.
        const h0 = integers(size * 3, hidden);
        const c0 = integers(hiddenSize * 3, parts.fgate_cx_igate_cgate);
        for (const splitGates of [false, true]) {
          const h = h0.slice();
          const cell0 = c0.slice();
          const scratch = lstmScratch(hiddenSize, c.projSize, splitGates);
          for (let t = 0; t < 3; t++) {
            lstmStep(cell, binding, x, null, 0, { h, c: cell0 }, 1, scratch);
          }
          // The other rows are not touched.
          const others = (all: Float64Array, each: number) => [
            ...all.subarray(0, each),
            ...all.subarray(2 * each),
          ];
          assertEquals(others(h, size), others(h0, size));
          assertEquals(others(cell0, hiddenSize), others(c0, hiddenSize));
          results.push([...h, ...cell0]);
        }
        assertEquals(results[0], results[1]);
        ran++;
      },
    ),
    { numRuns: 60 },
  );
  assert(ran > 40, `${ran}`);
});

Deno.test("lstmStep() rounds halves of qnnpack's sums away from zero, negative ones too", () => {
  const hiddenSize = 101;
  const quint8 = (scale: number, zeroPoint: number) =>
    perTensorAffine({ dtype: "quint8", scale, zeroPoint });
  const gate = quint8(1 / 256, 0);
  const product = quint8(1 / 128, 128);
  const state = quint8(1 / 64, 128);
  const four = [product, product, product, product];
  const parts = {
    ...{ igates: four, hgates: four, gates: four },
    ...{ input_gate: gate, forget_gate: gate, cell_gate: product, output_gate: gate },
    ...{ fgate_cx: product, igate_cgate: product, fgate_cx_igate_cgate: state },
    ...{ tanh_cy: product, ogate_cy: product },
  };
  const zeros = (inFeatures: number) => ({
    data: new Int8Array(4 * hiddenSize * inFeatures),
    outFeatures: 4 * hiddenSize,
    inFeatures,
    perChannel: false,
    scales: Float32Array.of(1),
    zeroPoints: Int32Array.of(0),
  });
  const biases = { biasIh: null, biasHh: null };
  const weights = { weightIh: zeros(1), weightHh: zeros(hiddenSize), weightHr: null, ...biases };
  const source = { engine: "qnnpack", weights, parts } as const;
  const lowered = lowerCell(source, product, 128);
  const cell = buildCell(lowered.cell, buildTables(lowered.tables));
  const binding = bindState(source, product, state);
  // Gates of zero forget one half: in units of `product`, as many as the state had of its own.
  const before = Float64Array.from({ length: hiddenSize }, (_, unit) => unit - 50);
  const wanted = [...before].map((c) => Math.sign(c) * Math.floor(Math.abs(c) / 2 + 0.5) + 0);
  for (const splitGates of [false, true]) {
    const c = before.slice();
    const scratch = lstmScratch(hiddenSize, 0, splitGates);
    const states = { h: new Float64Array(hiddenSize), c };
    lstmStep(cell, binding, packedInput(1), null, 0, states, 0, scratch);
    assertEquals([...c].map((value) => value + 0), wanted);
  }
});

Deno.test("lstmScratch() of split gates keeps no more than five units, or about half of all, of any part", () => {
  for (const size of [1, 4, 5, 6, 9, 10, 11, 63, 64, 65, 127, 128, 129, 256, 1000]) {
    const { igates, hgates, gates } = lstmScratch(size, 0, true);
    const units = Math.max(5, Math.min(65, Math.ceil(size / 10) * 5));
    for (const part of [igates, hgates, gates]) {
      assert(part.length <= 4 * units, `${size}: ${part.length}`);
    }
  }
});

Deno.test("lowerCell() refuses scales that qnnpack's addition cannot take and names the part", () => {
  const bits = Array<Bits>(13).fill(8);
  fc.assert(
    fc.property(lstmCases(fc.constant<Bits>(8), fc.constant<Bits>(8)), (given) => {
      const lstm = lstmOf({ ...given, bits, engine: "qnnpack" });
      const source = lstm.cells[0]![0]!;
      const parts = fastParts(source)!;
      const tiny = { ...parts.fgate_cx, scale: 2 ** -40 };
      const q = lstm.input;
      const prepare = (changed: object) => () =>
        lowerCell(
          { engine: "qnnpack", weights: source, parts: { ...parts, ...changed } },
          q,
          255,
        );
      assertThrows(
        prepare({ fgate_cx: tiny }),
        RangeError,
        "fgate_cx_igate_cgate: expected scales within 2^-14..2^8",
      );
      assertThrows(
        prepare({ igates: [tiny, tiny, tiny, tiny] }),
        RangeError,
        "gates: expected scales within 2^-14..2^8",
      );
    }),
    { numRuns: 5 },
  );
});
