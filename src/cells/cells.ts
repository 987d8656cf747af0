/**
 * The list of recurrent cells.
 *
 * @module
 */
import type { Cell } from "./cell.ts";
import { lstmCell } from "./lstm_parts.ts";

/** A cell of each kind, with all the parts that it can have. */
export const CELLS: readonly Cell[] = /* @__PURE__ */ [lstmCell(true)];
