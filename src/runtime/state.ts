/**
 * The state of a session, row by row, and its serialization.
 *
 * @module
 */
import { failRange } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { ModuleState, Slot } from "./kind.ts";
import type { ProgramNode } from "./data.ts";

/** The values of one slot, group and batch row. */
export interface StateRow {
  /** Index of the module. */
  readonly node: number;
  /** The module's name, a dot, and the slot's. */
  readonly name: string;
  readonly slot: Slot;
  /** Parameters of the group; null: float32. */
  readonly q: PerTensorQParams | null;
  /** The batch row. */
  readonly row: number;
  /** The array that holds them, and their first and end index in it. */
  readonly array: ModuleState[string];
  readonly from: number;
  readonly to: number;
}

/** The rows of a state in the order of its bytes: by module, group, batch row and slot. */
export function stateRows(
  nodes: readonly ProgramNode[],
  states: readonly ModuleState[],
  batch: number,
): StateRow[] {
  const rows: StateRow[] = [];
  nodes.forEach(({ name, program: { slots = [] } }, node) => {
    const groups = slots[0]?.groups.length ?? 0;
    for (let at = 0; at < groups * batch; at++) {
      const row = at % batch;
      for (const slot of slots) {
        rows.push({
          node,
          name: `${name}.${slot.name}`,
          slot,
          q: slot.groups[(at - row) / batch]!,
          row,
          array: states[node]![slot.name]!,
          from: at * slot.size,
          to: (at + 1) * slot.size,
        });
      }
    }
  });
  return rows;
}

/**
 * Storage of a row's values: array type, `min` that is subtracted, largest magnitude, and whether
 * they are real numbers.
 */
function storage({ slot, q }: StateRow) {
  const range = slot.mark ? 1 : q === null ? Number.MAX_VALUE : q.quantMax - q.quantMin;
  const bytes = slot.wide ? 8 : range > 65535 ? 4 : range > 255 ? 2 : 1;
  const real = q === null && !slot.mark;
  return {
    range,
    bytes,
    real,
    as: `${real || slot.wide ? "Float" : "Uint"}${bytes * 8}` as
      | "Float32"
      | "Float64"
      | "Uint8"
      | "Uint16"
      | "Uint32",
    min: q === null ? 0 : q.quantMin - q.zeroPoint,
  };
}

/** Size of stored rows in bytes. */
export function stateBytes(rows: readonly StateRow[]): number {
  return rows.reduce((sum, row) => sum + (row.to - row.from) * storage(row).bytes, 0);
}

/** Writes rows from byte `at` on. */
export function writeState(rows: readonly StateRow[], view: DataView, at: number): void {
  for (const row of rows) {
    const { bytes, as, min } = storage(row);
    for (let i = row.from; i < row.to; i++, at += bytes) {
      view[`set${as}`](at, row.array[i]! - min, true);
    }
  }
}

/**
 * Reads rows that {@linkcode writeState} wrote.
 *
 * @throws {RangeError} If there is an impossible value. Nothing has changed then.
 */
export function readState(rows: readonly StateRow[], view: DataView, start: number): void {
  // By module and batch row: 1 if it has made no step. A row's mark precedes its values.
  const marks: number[][] = [];
  for (const apply of [false, true]) {
    let at = start;
    for (const each of rows) {
      const { node, slot, row, array, from, to } = each;
      const { initial = 0, mark } = slot;
      const { range, bytes, real, as, min } = storage(each);
      const own = marks[node] ??= [];
      for (let i = from; i < to; i++, at += bytes) {
        const value = view[`get${as}`](at, true);
        let expected = "";
        if (!(Math.abs(value) <= range)) expected = `at most ${range}`;
        else if (!real && (value < 0 || value % 1)) expected = "a count from 0 on";
        else if (mark) {
          own[row] ??= value;
          if (value !== own[row]) expected = `${own[row]}, as the row's first mark`;
        } else if (own[row] === 1 && !Object.is(value, initial - min)) {
          expected = `${initial - min}, since the row has made no step`;
        }
        if (expected) failRange(`state[${at}]`, expected, value);
        // Not value + 0, which would turn -0 to 0.
        if (apply) array[i] = min === 0 ? value : value + min;
      }
    }
  }
}
