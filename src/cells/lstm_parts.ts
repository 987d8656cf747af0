/**
 * The dataflow of an LSTM cell, as data.
 *
 * @module
 */
import { type CellFunctions, LSTM_FUNCTIONS } from "../../kernels/float/lstm.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { type Cell, functionPart, type NamedPart, type PartInputs } from "./cell.ts";
import type { LSTMPartName, PartSlot } from "./names.ts";

/**
 * The gates in PyTorch's order.
 *
 * @example
 * ```ts
 * import { LSTM_GATES } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(LSTM_GATES.indexOf("cell"), 2); // rows 2 * hiddenSize and on of a weight
 * ```
 */
export const LSTM_GATES = ["input", "forget", "cell", "output"] as const;

/** Slots of a gate's function: bounded as tanh is, or unbounded. */
const OF_GATE: { readonly tanh: PartSlot; readonly unbounded: PartSlot } = {
  tanh: "tanh",
  unbounded: "cellState",
};

/** The parts of a cell without a projection. */
function makeParts(
  { gateActivation, activation, cellActivation }: CellFunctions,
): readonly NamedPart<LSTMPartName>[] {
  return [
    {
      name: "igates",
      op: "linear",
      weight: "ih",
      inputs: ["x"],
      slot: "inputProjection",
      gated: true,
    },
    {
      name: "hgates",
      op: "linear",
      weight: "hh",
      inputs: ["h"],
      slot: "hiddenProjection",
      gated: true,
    },
    { name: "gates", op: "add", inputs: ["igates", "hgates"], slot: "linearOutput", gated: true },
    functionPart("input_gate", gateActivation, "gates.input", OF_GATE),
    functionPart("forget_gate", gateActivation, "gates.forget", OF_GATE),
    functionPart("cell_gate", activation, "gates.cell", OF_GATE),
    functionPart("output_gate", gateActivation, "gates.output", OF_GATE),
    { name: "fgate_cx", op: "mul", inputs: ["forget_gate", "c"], slot: "cellState", gated: false },
    {
      name: "igate_cgate",
      op: "mul",
      inputs: ["input_gate", "cell_gate"],
      slot: "cellState",
      gated: false,
    },
    {
      name: "fgate_cx_igate_cgate",
      op: "add",
      inputs: ["fgate_cx", "igate_cgate"],
      slot: "cellState",
      gated: false,
    },
    functionPart("tanh_cy", cellActivation, "fgate_cx_igate_cgate", {
      ...OF_GATE,
      tanh: "cellTanh",
    }),
    {
      name: "ogate_cy",
      op: "mul",
      inputs: ["output_gate", "tanh_cy"],
      slot: "hiddenState",
      gated: false,
    },
  ];
}

const PROJECTION: NamedPart<LSTMPartName> = {
  name: "proj",
  op: "linear",
  weight: "hr",
  inputs: ["ogate_cy"],
  slot: "projection",
  gated: false,
};

/**
 * The twelve parts of a cell in the order of execution; the last one is the new hidden state.
 *
 * @example
 * ```ts
 * import { LSTM_PARTS } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const cellState = LSTM_PARTS.filter(({ slot }) => slot === "cellState").map(({ name, op }) =>
 *   `${name}: ${op}`
 * );
 * assertEquals(cellState, ["fgate_cx: mul", "igate_cgate: mul", "fgate_cx_igate_cgate: add"]);
 * ```
 */
export const LSTM_PARTS: readonly NamedPart<LSTMPartName>[] = /* @__PURE__ */ makeParts(
  LSTM_FUNCTIONS,
);

/**
 * The part that is the new cell state.
 *
 * @example
 * ```ts
 * import { LSTM_PARTS } from "@splitgate/splitgate/modules";
 * import { CELL_STATE } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(LSTM_PARTS.find(({ inputs }) => inputs[0] === CELL_STATE)!.name, "tanh_cy");
 * ```
 */
export const CELL_STATE = "fgate_cx_igate_cgate" as const;

/**
 * An LSTM's cell, with or without a projected hidden state.
 *
 * @param functions torch.nn.LSTM's by default.
 *
 * @example
 * ```ts
 * import { lstmCell } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * const { parts, states } = lstmCell(true);
 * assertEquals([parts.length, states[0]!.part], [13, "proj"]);
 * const relu = {
 *   gateActivation: "hardSigmoid",
 *   activation: "relu",
 *   cellActivation: "tanh",
 * } as const;
 * const cellGate = lstmCell(false, relu).parts.find(({ name }) => name === "cell_gate")!;
 * assertEquals(cellGate.op, "relu");
 * ```
 */
export function lstmCell(projected: boolean, functions: CellFunctions = LSTM_FUNCTIONS): Cell {
  const parts = makeParts(functions);
  return {
    gates: LSTM_GATES,
    parts: projected ? [...parts, PROJECTION] : parts,
    states: [{ name: "h", part: projected ? "proj" : "ogate_cy" }, { name: "c", part: CELL_STATE }],
  };
}

/** One T for each part of an LSTM's cell; `proj` is undefined where the cell does not project. */
export type OfLSTMParts<T> =
  & {
    readonly [P in Exclude<LSTMPartName, "proj">]: P extends "igates" | "hgates" | "gates"
      ? readonly T[]
      : T;
  }
  & { readonly proj?: T };

/** Parameters of every part of an LSTM's cell; null: not quantized. */
export type LSTMQParams = OfLSTMParts<PerTensorQParams | null> & {
  readonly inputs?: PartInputs<PerTensorQParams>;
};
