/**
 * The dataflow of a GRU cell, as data.
 *
 * @module
 */
import { GRU_CONVENTIONS, type GRUConventions } from "../../kernels/float/gru.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { type Cell, functionPart, type Part, type PartInputs } from "./cell.ts";
import type { PartSlot } from "./names.ts";

/**
 * The gates in PyTorch's order.
 *
 * @example
 * ```ts
 * import { GRU_GATES } from "./gru_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(GRU_GATES.indexOf("new"), 2); // rows 2 * hiddenSize and on of a weight
 * ```
 */
export const GRU_GATES = ["reset", "update", "new"] as const;

/** Names of the gates, as parts refer to them. */
const RESET = [0, 1] as const;
const UPDATE = [1, 2] as const;
const NEW = [2, 3] as const;

/** Slots of a gate's function: an unbounded one shares the state's slot. */
const SLOTS: { readonly tanh: PartSlot; readonly unbounded: PartSlot } = {
  tanh: "tanh",
  unbounded: "hiddenState",
};

/** The new gate's hidden term, if the reset gate multiplies the product. */
const RESET_PRODUCT: readonly Part[] = [
  {
    name: "rgate_hgates",
    op: "mul",
    inputs: ["reset_gate", "hgates.new"],
    slot: "resetState",
    gated: false,
  },
];

/** The new gate's hidden term, if the reset gate multiplies the hidden state itself. */
const RESET_HIDDEN: readonly Part[] = [
  {
    name: "rgate_hx",
    op: "mul",
    inputs: ["reset_gate", "h"],
    slot: "resetState",
    gated: false,
  },
  {
    name: "rgate_hgates",
    op: "linear",
    weight: "hh",
    inputs: ["rgate_hx"],
    slot: "hiddenProjection",
    gated: false,
    span: NEW,
  },
];

/** The parts of a cell. */
function makeParts(conventions: GRUConventions): readonly Part[] {
  const { gateActivation, activation, resetAfter, complementedUpdate } = conventions;
  const hgates: Part = {
    name: "hgates",
    op: "linear",
    weight: "hh",
    inputs: ["h"],
    slot: "hiddenProjection",
    gated: true,
  };
  const sum = (
    name: "rgates" | "zgates" | "ngates",
    inputs: string[],
    span: Part["span"],
  ): Part => ({
    name,
    op: "add",
    inputs,
    slot: "linearOutput",
    gated: false,
    ...span && { span },
  });
  // The value for an update gate of 0, and the value for an update gate of 1.
  const [from, to] = complementedUpdate ? ["h", "new_gate"] : ["new_gate", "h"];
  return [
    {
      name: "igates",
      op: "linear",
      weight: "ih",
      inputs: ["x"],
      slot: "inputProjection",
      gated: true,
    },
    resetAfter ? hgates : { ...hgates, span: [0, 2] },
    sum("rgates", ["igates.reset", "hgates.reset"], RESET),
    sum("zgates", ["igates.update", "hgates.update"], UPDATE),
    functionPart("reset_gate", gateActivation, "rgates", SLOTS),
    functionPart("update_gate", gateActivation, "zgates", SLOTS),
    ...resetAfter ? RESET_PRODUCT : RESET_HIDDEN,
    sum("ngates", ["igates.new", "rgate_hgates"], NEW),
    functionPart("new_gate", activation, "ngates", SLOTS),
    { name: "hx_ngate", op: "sub", inputs: [to!, from!], slot: "stateChange", gated: false },
    {
      name: "zgate_hx_ngate",
      op: "mul",
      inputs: ["update_gate", "hx_ngate"],
      slot: "stateChange",
      gated: false,
    },
    { name: "hy", op: "add", inputs: ["zgate_hx_ngate", from!], slot: "hiddenState", gated: false },
  ];
}

/**
 * The parts of a cell of torch.nn.GRU in the order of execution; the last one is the new hidden
 * state.
 *
 * @example
 * ```ts
 * import { GRU_PARTS } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const change = GRU_PARTS.filter(({ slot }) => slot === "stateChange");
 * assertEquals(change.map(({ name, op }) => `${name}: ${op}`), [
 *   "hx_ngate: sub",
 *   "zgate_hx_ngate: mul",
 * ]);
 * ```
 */
export const GRU_PARTS: readonly Part[] = /* @__PURE__ */ makeParts(GRU_CONVENTIONS);

/**
 * A GRU's cell.
 *
 * @param conventions torch.nn.GRU's by default.
 *
 * @example
 * ```ts
 * import { GRU_CONVENTIONS } from "../../kernels/float/gru.ts";
 * import { gruCell } from "./gru_parts.ts";
 * import { assertEquals } from "@std/assert";
 * const { gates, states } = gruCell();
 * assertEquals([gates.length, states], [3, [{ name: "h", part: "hy" }]]);
 * const before = gruCell({ ...GRU_CONVENTIONS, resetAfter: false });
 * assertEquals(before.parts.find(({ name }) => name === "rgate_hgates")!.inputs, ["rgate_hx"]);
 * ```
 */
export function gruCell(conventions: GRUConventions = GRU_CONVENTIONS): Cell {
  return {
    gates: GRU_GATES,
    parts: makeParts(conventions),
    states: [{ name: "h", part: "hy" }],
  };
}

type Own = PerTensorQParams | null;

/** Parameters of every part of a GRU's cell; null: not quantized. */
export interface GRUQParams {
  /** W_ih x + b_ih: by gate. */
  readonly igates: readonly Own[];
  /** W_hh h + b_hh: by gate, without the new one where the reset gate multiplies h. */
  readonly hgates: readonly Own[];
  /** What the reset gate's function reads. */
  readonly rgates: Own;
  /** What the update gate's function reads. */
  readonly zgates: Own;
  readonly reset_gate: Own;
  readonly update_gate: Own;
  /** The reset gate times h, where it multiplies that; undefined elsewhere. */
  readonly rgate_hx?: Own;
  /** What the new gate reads of the hidden state. */
  readonly rgate_hgates: Own;
  /** What the new gate's function reads. */
  readonly ngates: Own;
  readonly new_gate: Own;
  /** The hidden state less the new gate, or the reverse where the update gate is complemented. */
  readonly hx_ngate: Own;
  /** The update gate times `hx_ngate`. */
  readonly zgate_hx_ngate: Own;
  /** The new hidden state. */
  readonly hy: Own;
  /** Where parts requantize what they read. */
  readonly inputs?: PartInputs<PerTensorQParams>;
}
