/**
 * The portable kernels and one cell, fused against split, and what share of the scalar multiply-add peak the dot products
 * reach in the same run. `deno task bench`; `bun bench/kernels.ts` works too.
 *
 * @module
 */
import { bench, do_not_optimize, group, run } from "mitata";
import {
  addInt8,
  bindState,
  dotRows,
  linearInt8,
  lstmScratch,
  lstmStep,
  mulInt8,
  prepareCell,
  quantizedActivation,
  quantizePerTensor,
  sumsLength,
} from "../kernels/mod.ts";
import { fastParts } from "../src/quantized/cell.ts";
import type { QuantizedLSTM } from "../src/quantized/lstm.ts";
import { PEAK_OPERATIONS, peakTask } from "./machine.ts";
import { lstmModel, realsOf } from "./models.ts";

const SIZES = [32, 64, 128, 256];
const quint8 = { scale: 0.02, zeroPoint: 127, quantMin: 0, quantMax: 255 };

/** An LSTM's first cell, made ready. */
function cellOf(size: number) {
  const lstm = [...lstmModel(size).modules.values()][0] as QuantizedLSTM, source = lstm.cells[0]![0]!;
  const parts = fastParts(source)!, cell = prepareCell("fbgemm", source, parts, lstm.input, 255);
  const binding = bindState("fbgemm", source, parts, parts.ogate_cy, parts.fgate_cx_igate_cgate);
  const x = Float64Array.from({ length: size }, (_, i) => i * 37 % 255 - 127);
  return { source, cell, binding, x };
}

const cells = new Map(SIZES.map((size) => [size, cellOf(size)]));

group("plain kernels, 4,096 values", () => {
  const n = 4096, x = realsOf(1, n), a = new Uint8Array(n), b = a.map((_, i) => i * 5), out = new Uint8Array(n);
  bench("quantizePerTensor", () => quantizePerTensor(x, a, quint8));
  bench("addInt8", () => addInt8(a, quint8, b, quint8, out, quint8, false));
  bench("mulInt8", () => mulInt8(a, quint8, b, quint8, out, quint8));
  const tanh = quantizedActivation("tanh", 0.02, quint8);
  bench("quantizedActivation (tanh)", () => {
    for (let i = 0; i < n; i++) out[i] = tanh(b[i]! - 127);
  });
});

group("4 * size dot products of a size", () => {
  bench("scalar multiply-adds", peakTask());
  for (const size of SIZES) {
    const { cell, x } = cells.get(size)!, out = new Float64Array(sumsLength(4 * size));
    bench(`dotRows ${size}`, () => do_not_optimize(dotRows(cell.inputRows!, 0, size * 4, x, out)));
  }
  const { source } = cells.get(64)!, q = new Uint8Array(64), out = new Uint8Array(256);
  bench("linearInt8 64 (plain)", () => linearInt8("fbgemm", q, quint8, source.weightIh, null, out, quint8, false));
});

for (const size of SIZES) {
  group(`a cell's step, ${size}`, () => {
    const { cell, binding, x } = cells.get(size)!, h = new Float64Array(size), c = new Float64Array(size);
    for (const splitGates of [false, true]) {
      const scratch = lstmScratch(size, 0, splitGates);
      bench(splitGates ? "split" : "fused", () => lstmStep(cell, binding, x, null, 0, h, 0, c, 0, scratch));
    }
  });
}

const { benchmarks } = await run();
const nanos = (name: string): number => {
  const runs = benchmarks.flatMap((each) => each.runs);
  return runs.find((each) => each.name === name)?.stats?.min ?? NaN;
};
const peak = PEAK_OPERATIONS / nanos("scalar multiply-adds");
console.log(`\nscalar peak: ${peak.toFixed(2)} multiply-adds a nanosecond`);
for (const size of SIZES) {
  const each = 4 * size * size / nanos(`dotRows ${size}`);
  console.log(`dotRows ${size}: ${each.toFixed(2)} int8 multiply-adds, ${(100 * each / peak).toFixed(0)}% of it`);
}
