/**
 * A lowered GRU cell: plain data with all numbers that are known without running.
 *
 * @module
 */
import type { ActivationTable } from "../numeric/activation.ts";
import type { GRUCell } from "./gru_cell.ts";
import type { Projection } from "./lstm_cell.ts";
import { packRows, type WeightRows } from "./pack.ts";

/** The numbers of a cell; {@linkcode buildGRUCell} prepares it to run. */
export interface GRUCellProgram
  extends Omit<GRUCell, "inputRows" | "hiddenRows" | "newOutput" | "tables"> {
  /** W_ih, unit after unit, or null if projected inputs are given. */
  readonly inputRows: WeightRows | null;
  /** W_hh, unit after unit; without the new gate if the state is reset before its product. */
  readonly hiddenRows: WeightRows;
  /**
   * W_hn, and the conversion of its sums to the new gate's input, if the state is reset before its
   * product.
   */
  readonly newOutput: { readonly rows: WeightRows; readonly projection: Projection } | null;
  /** Index of each gate's table in a list that cells share. */
  readonly activations: readonly number[];
}

/**
 * Prepares a cell to run.
 *
 * @param tables The tables that {@linkcode GRUCellProgram.activations} refers to.
 *
 * @example
 * ```ts
 * import { buildGRUCell } from "./gru_program.ts";
 * import { assertEquals } from "@std/assert";
 * const rows = {
 *   data: new Int8Array(12),
 *   columns: 4,
 *   sums: new Int32Array(6),
 *   largest: 0,
 *   count: 3,
 *   length: 1,
 *   each: 1,
 * } as const;
 * const cell = buildGRUCell({
 *   hiddenSize: 1,
 *   inputRows: null,
 *   inputProjection: null,
 *   hiddenRows: rows,
 *   newOutput: null,
 *   complementedUpdate: false,
 *   activations: [],
 * }, []);
 * assertEquals(cell.hiddenRows.length, 4);
 * ```
 */
export function buildGRUCell(
  cell: GRUCellProgram,
  tables: readonly ActivationTable[],
): GRUCell {
  const { inputRows, newOutput, activations } = cell;
  return {
    ...cell,
    inputRows: inputRows && packRows(inputRows),
    hiddenRows: packRows(cell.hiddenRows),
    newOutput: newOutput && { ...newOutput, rows: packRows(newOutput.rows) },
    tables: activations.map((i) => tables[i]!),
  };
}
