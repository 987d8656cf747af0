/**
 * The portable kernels and one cell, fused against split, and what share of the scalar multiply-add
 * peak they reach in the same run. `deno task bench`; `bun bench/kernels.ts` works too.
 *
 * @module
 */
import { do_not_optimize } from "mitata";
import { addInt8, linearInt8, mulInt8, quantizePerTensor } from "../kernels/mod.ts";
import {
  bindState,
  buildCell,
  buildTables,
  dotRows,
  lowerCell,
  lstmScratch,
  lstmStep,
  packedInput,
  quantizedActivation,
  sumsLength,
} from "../backend.ts";
import { fastParts } from "../src/modules/lstm/lower.ts";
import type { QuantizedLSTM } from "../src/modules/lstm/quantized.ts";
import { lstmModel, realsOf } from "./models.ts";
import { type Row, runRows } from "./suite.ts";

const SIZES = [32, 64, 128, 256];
const quint8 = { scale: 0.02, zeroPoint: 127, quantMin: 0, quantMax: 255 };

/** An LSTM's first cell, made ready. */
function cellOf(size: number) {
  const lstm = [...lstmModel(size).modules.values()][0] as QuantizedLSTM;
  const source = lstm.cells[0]![0]!;
  const parts = fastParts(source)!;
  const lstmCell = { engine: "fbgemm", weights: source, parts } as const;
  const lowered = lowerCell(lstmCell, lstm.input, 255);
  const cell = buildCell(lowered.cell, buildTables(lowered.tables));
  const binding = bindState(lstmCell, parts.ogate_cy, parts.fgate_cx_igate_cgate);
  const x = packedInput(size);
  for (let i = 0; i < size; i++) x[i] = i * 37 % 255 - 127;
  return { source, cell, binding, x };
}

function plainRows(): Row[] {
  const n = 4096;
  const x = realsOf(1, n);
  const a = new Uint8Array(n);
  const b = a.map((_, i) => i * 5);
  const out = new Uint8Array(n);
  const first = { data: a, qparams: quint8 };
  const second = { data: b, qparams: quint8 };
  const result = { data: out, qparams: quint8 };
  const tanh = quantizedActivation("tanh", 0.02, quint8);
  const row = (name: string, run: () => void): Row => ({
    group: "plain kernels, 4,096 values",
    name,
    run,
  });
  return [
    row("quantizePerTensor", () => quantizePerTensor(x, a, quint8)),
    row("addInt8", () => addInt8(first, second, result)),
    row("mulInt8", () => mulInt8(first, second, result)),
    row("quantizedActivation (tanh)", () => {
      for (let i = 0; i < n; i++) out[i] = tanh(b[i]! - 127);
    }),
  ];
}

const rows = plainRows();
for (const size of SIZES) {
  const { source, cell, binding, x } = cellOf(size);
  const sums = new Float64Array(sumsLength(4 * size));
  const input = { data: new Uint8Array(size), qparams: quint8 };
  const linear = { weight: source.weightIh, bias: null };
  const result = { data: new Uint8Array(4 * size), qparams: quint8 };
  const h = new Float64Array(size);
  const c = new Float64Array(size);
  rows.push(
    {
      group: "kernels: 4 * size dot products of a size",
      name: `dotRows ${size}`,
      macs: 4 * size * size,
      run: () => do_not_optimize(dotRows(cell.inputRows!, 0, 4 * size, x, sums)),
    },
    {
      group: "kernels: 4 * size dot products of a size",
      name: `linearInt8 ${size} (plain)`,
      macs: 4 * size * size,
      run: () => linearInt8("fbgemm", input, linear, result),
    },
  );
  for (const splitGates of [false, true]) {
    const scratch = lstmScratch(size, 0, splitGates);
    rows.push({
      group: "cell: one step",
      name: `${size}, ${splitGates ? "split" : "fused"}`,
      macs: 8 * size * size,
      run: () => lstmStep(cell, binding, x, null, 0, { h, c }, 0, scratch),
    });
  }
}
await runRows(rows);
