/**
 * What the parts of recurrent cells, and what configures them, are called.
 *
 * @module
 */

/**
 * What configures a part. A function's slot says its range: `sigmoid` is within 0..1 (sigmoid and
 * hardSigmoid), `tanh` and `cellTanh` (of the cell state) within -1..1; relu and linear have no
 * bounds, and share `cellState`.
 */
export type PartSlot =
  | "inputProjection"
  | "hiddenProjection"
  | "linearOutput"
  | "sigmoid"
  | "tanh"
  | "cellState"
  | "cellTanh"
  | "hiddenState"
  | "projection";

/**
 * The slots of all cells, in the order of execution.
 *
 * @example
 * ```ts
 * import { lstmCell } from "./lstm_parts.ts";
 * import { PART_SLOTS } from "./names.ts";
 * import { assert } from "@std/assert";
 * assert(lstmCell(true).parts.every(({ slot }) => PART_SLOTS.includes(slot)));
 * ```
 */
export const PART_SLOTS: readonly PartSlot[] = [
  "inputProjection",
  "hiddenProjection",
  "linearOutput",
  "sigmoid",
  "tanh",
  "cellState",
  "cellTanh",
  "hiddenState",
  "projection",
];

/**
 * The names of an LSTM's parts in the order of execution, PyTorch's own (and `proj`, which its
 * quantizable LSTM lacks).
 *
 * @example
 * ```ts
 * import { LSTM_PART_NAMES } from "@splitgate/splitgate";
 * import { lstmCell } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(lstmCell(true).parts.map(({ name }) => name), [...LSTM_PART_NAMES]);
 * ```
 */
export const LSTM_PART_NAMES = [
  "igates",
  "hgates",
  "gates",
  "input_gate",
  "forget_gate",
  "cell_gate",
  "output_gate",
  "fgate_cx",
  "igate_cgate",
  "fgate_cx_igate_cgate",
  "tanh_cy",
  "ogate_cy",
  "proj",
] as const;

/** One of the names of an LSTM's parts. */
export type LSTMPartName = typeof LSTM_PART_NAMES[number];

/** One of the names of a cell's parts. */
export type PartName = LSTMPartName;

/** The names of all cells' parts. */
export const PART_NAMES: readonly PartName[] = LSTM_PART_NAMES;
