/**
 * Names of the parts of recurrent cells, and of the slots that configure them.
 *
 * @module
 */

/**
 * A slot: parts that are configured together. A function's slot implies its range: `sigmoid` is
 * within 0..1 (sigmoid and hardSigmoid), `tanh` and `cellTanh` (of an LSTM's cell state) within
 * -1..1. Functions without bounds, relu and linear, share the slot of the state that they enter: an
 * LSTM's `cellState`, a GRU's `hiddenState`. `resetState` is the output of a GRU's reset gate;
 * `stateChange` is the distance of the new gate from the hidden state, and that distance times the
 * update gate.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare } from "@splitgate/splitgate";
 * import { FixedQParamsObserver, type PartSlot } from "@splitgate/splitgate/qconfig";
 * const slot: PartSlot = "sigmoid"; // three gates of an LSTM, two of a GRU
 * const parts = { [slot]: FixedQParamsObserver.withArgs({ scale: 1 / 256, zeroPoint: 0 }) };
 * prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), { ...getPreset("fbgemm"), parts });
 * ```
 */
export type PartSlot =
  | "inputProjection"
  | "hiddenProjection"
  | "linearOutput"
  | "sigmoid"
  | "resetState"
  | "tanh"
  | "cellState"
  | "cellTanh"
  | "stateChange"
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
  "resetState",
  "tanh",
  "cellState",
  "cellTanh",
  "stateChange",
  "hiddenState",
  "projection",
];

/**
 * The names of an LSTM's parts in the order of execution, PyTorch's own (and `proj`, which its
 * quantizable LSTM lacks).
 *
 * @example
 * ```ts
 * import { LSTM_PART_NAMES } from "@splitgate/splitgate/qconfig";
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

/**
 * One of the names of an LSTM's parts.
 *
 * @example
 * ```ts
 * import { LSTM_PART_NAMES, type LSTMPartName } from "@splitgate/splitgate/qconfig";
 * import { assert } from "@std/assert";
 * const cell: LSTMPartName = "fgate_cx_igate_cgate"; // torch's name of the new cell state
 * assert(LSTM_PART_NAMES.includes(cell));
 * ```
 */
export type LSTMPartName = typeof LSTM_PART_NAMES[number];

/**
 * The names of a GRU's parts in the order of execution. `rgate_hx` is there where the reset gate
 * multiplies the hidden state itself.
 *
 * @example
 * ```ts
 * import { GRU_PARTS } from "@splitgate/splitgate/modules";
 * import { GRU_PART_NAMES } from "@splitgate/splitgate/qconfig";
 * import { assertEquals } from "@std/assert";
 * const names = GRU_PART_NAMES.filter((name) => name !== "rgate_hx");
 * assertEquals(GRU_PARTS.map(({ name }) => name), names);
 * ```
 */
export const GRU_PART_NAMES = [
  "igates",
  "hgates",
  "rgates",
  "zgates",
  "reset_gate",
  "update_gate",
  "rgate_hx",
  "rgate_hgates",
  "ngates",
  "new_gate",
  "hx_ngate",
  "zgate_hx_ngate",
  "hy",
] as const;

/**
 * One of the names of a GRU's parts.
 *
 * @example
 * ```ts
 * import { GRU_PART_NAMES, type GRUPartName } from "@splitgate/splitgate/qconfig";
 * import { assert } from "@std/assert";
 * const gate: GRUPartName = "reset_gate";
 * assert(GRU_PART_NAMES.includes(gate));
 * ```
 */
export type GRUPartName = typeof GRU_PART_NAMES[number];

/**
 * One of the names of a cell's parts.
 *
 * @example
 * ```ts
 * import { GRU_PART_NAMES, LSTM_PART_NAMES, type PartName } from "@splitgate/splitgate/qconfig";
 * import { assert } from "@std/assert";
 * const names: PartName[] = [...LSTM_PART_NAMES, ...GRU_PART_NAMES]; // in the order of computing
 * assert(names.indexOf("input_gate") < names.indexOf("ogate_cy"));
 * ```
 */
export type PartName = LSTMPartName | GRUPartName;

/** The names of all cells' parts. */
export const PART_NAMES: readonly PartName[] = [
  ...new Set([...LSTM_PART_NAMES, ...GRU_PART_NAMES]),
];
