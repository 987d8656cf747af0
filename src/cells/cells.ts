/**
 * The list of recurrent cells.
 *
 * @module
 */
import type { Cell } from "./cell.ts";
import { GRU_CONVENTIONS } from "../../kernels/float/gru.ts";
import { gruCell } from "./gru_parts.ts";
import { lstmCell } from "./lstm_parts.ts";

/** A cell of each kind and dataflow, with all the parts that it can have. */
export const CELLS: readonly Cell[] = /* @__PURE__ */ [
  lstmCell(true),
  gruCell(),
  gruCell({ ...GRU_CONVENTIONS, resetAfter: false }),
];
