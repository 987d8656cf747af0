/**
 * A lowered LSTM cell: plain data with all numbers that are known without running, here or in a
 * file. Preparing it to run means packing its rows.
 *
 * @module
 */
import { type ActivationTable, activationTable } from "../numeric/activation.ts";
import type { Activation } from "../numeric/float_functions.ts";
import type { LSTMCell, Projection } from "./lstm_cell.ts";
import { packRows, type WeightRows } from "./pack.ts";
import type { Affine } from "../numeric/quantize.ts";

/** A table of an activation over quantized inputs. */
export interface ActivationProgram {
  /** The activation. */
  readonly activation: Activation;
  /** Qparams of the inputs. */
  readonly from: Affine;
  /** Qparams of the outputs. */
  readonly to: Affine;
  /** Its entries, or null if they are computed at their first use. */
  readonly outputs: Float32Array | null;
}

/**
 * Prepares tables to run.
 *
 * @example
 * ```ts
 * import { lookup } from "../numeric/activation.ts";
 * import { buildTables } from "./program.ts";
 * import { assertEquals } from "@std/assert";
 * const from = { scale: 0.1, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const [table] = buildTables([{ activation: "sigmoid", from, to, outputs: null }]);
 * assertEquals(lookup(table!, 0), 128);
 * ```
 */
export function buildTables(programs: readonly ActivationProgram[]): ActivationTable[] {
  return programs.map(({ activation, from, to, outputs }) =>
    activationTable(activation, from, to, outputs)
  );
}

/** The numbers of a cell; {@linkcode buildCell} prepares it to run. */
export interface CellProgram
  extends Omit<LSTMCell, "inputRows" | "hiddenRows" | "hiddenOutput" | "tables"> {
  /** W_ih, unit after unit, or null if projected inputs are given. */
  readonly inputRows: WeightRows | null;
  /** W_hh, unit after unit. */
  readonly hiddenRows: WeightRows;
  /**
   * W_hr, and the conversion of its sums to the hidden state; null if the state is not projected.
   */
  readonly hiddenOutput: { readonly rows: WeightRows; readonly projection: Projection } | null;
  /** Indices of the tables of the four gates and the cell state in a list that cells share. */
  readonly activations: readonly number[];
}

/**
 * Prepares a cell to run.
 *
 * @param tables The tables that {@linkcode CellProgram.activations} refers to.
 *
 * @example
 * ```ts
 * import { lowerCell } from "./lower.ts";
 * import { buildCell, buildTables } from "./program.ts";
 * import { assertEquals } from "@std/assert";
 * const q = {
 *   dtype: "quint8",
 *   scale: 1 / 128,
 *   zeroPoint: 128,
 *   quantMin: 0,
 *   quantMax: 255,
 * } as const;
 * const four = [q, q, q, q];
 * const products = {
 *   fgate_cx: q,
 *   igate_cgate: q,
 *   fgate_cx_igate_cgate: q,
 *   tanh_cy: q,
 *   ogate_cy: q,
 * };
 * const gates = { input_gate: q, forget_gate: q, cell_gate: q, output_gate: q };
 * const parts = { igates: four, hgates: four, gates: four, ...gates, ...products };
 * const weight = {
 *   data: new Int8Array(4 * 3 * 3),
 *   outFeatures: 12,
 *   inFeatures: 3,
 *   perChannel: false,
 *   scales: Float32Array.of(0.01),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const weights = {
 *   weightIh: weight,
 *   weightHh: weight,
 *   weightHr: null,
 *   biasIh: null,
 *   biasHh: null,
 * };
 * const { cell, tables } = lowerCell({ engine: "fbgemm", weights, parts }, q, 128);
 * assertEquals(buildCell(cell, buildTables(tables)).tables.length, 5);
 * ```
 */
export function buildCell(cell: CellProgram, tables: readonly ActivationTable[]): LSTMCell {
  const { inputRows, hiddenOutput: output, activations } = cell;
  return {
    ...cell,
    inputRows: inputRows && packRows(inputRows),
    hiddenRows: packRows(cell.hiddenRows),
    hiddenOutput: output && { ...output, rows: packRows(output.rows), size: output.rows.count },
    tables: activations.map((i) => tables[i]!),
  };
}
