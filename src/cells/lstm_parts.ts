/**
 * The dataflow of an LSTM cell, once, as data. Observers, the reference graph, integer execution by
 * parts, the names in errors and the model file all read it from here.
 *
 * @module
 */
import {
  type CellActivation,
  type CellFunctions,
  type GateActivation,
  LSTM_FUNCTIONS,
} from "../../kernels/float/lstm.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { type FunctionOp, functionOp, hasLSTMFunctions } from "./functions.ts";

export type { FunctionOp };

/**
 * The gates in PyTorch's order.
 *
 * @example
 * ```ts
 * import { GATES } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(GATES.indexOf("cell"), 2); // rows 2 * hiddenSize and on of a weight
 * ```
 */
export const GATES = ["input", "forget", "cell", "output"] as const;

/** One of the four gates. */
export type Gate = typeof GATES[number];

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
 * The slots, in the order of execution.
 *
 * @example
 * ```ts
 * import { lstmParts, PART_SLOTS } from "./lstm_parts.ts";
 * import { assert } from "@std/assert";
 * assert(lstmParts(true).every(({ slot }) => PART_SLOTS.includes(slot)));
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
 * The parts' names in the order of execution, PyTorch's own (and `proj`, which its quantizable LSTM
 * lacks).
 *
 * @example
 * ```ts
 * import { PART_NAMES } from "@splitgate/splitgate";
 * import { lstmParts } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(lstmParts(true).map(({ name }) => name), [...PART_NAMES]);
 * ```
 */
export const PART_NAMES = [
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
 * How many of the parts, the first, span the four gates.
 *
 * @example
 * ```ts
 * import { PART_NAMES } from "@splitgate/splitgate";
 * import { GATED_PARTS } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(PART_NAMES.slice(0, GATED_PARTS), ["igates", "hgates", "gates"]);
 * ```
 */
export const GATED_PARTS = 3;

/** One of the parts' names. */
export type PartName = typeof PART_NAMES[number];

/** One part: an operation, what it reads, and the slot that configures its output. */
export interface Part {
  /** Unique in a cell. */
  readonly name: PartName;
  /** What it computes of its inputs; proj is a linear without bias. */
  readonly op: "linear" | "add" | "mul" | FunctionOp;
  /** The function that `op` names, with its parameters; absent where the part is none. */
  readonly activation?: GateActivation | CellActivation;
  /** Parts, or `x`, `h`, `c`; `gates.input` and so on name one gate's slice. */
  readonly inputs: readonly string[];
  /** What configures its output; several parts may share one. */
  readonly slot: PartSlot;
  /**
   * Whether the part spans the four gates: one tensor of width 4 * hiddenSize fused, four of
   * hiddenSize split.
   */
  readonly gated: boolean;
}

/**
 * Slots of functions without bounds and with those of a sigmoid; those of a tanh keep their own.
 */
function functionSlot(op: FunctionOp, tanhSlot: PartSlot): PartSlot {
  if (op === "tanh") return tanhSlot;
  return op === "sigmoid" || op === "hardsigmoid" ? "sigmoid" : "cellState";
}

/** A part that is a function of one value. */
function functionPart(
  name: PartName,
  activation: GateActivation | CellActivation,
  input: string,
  tanhSlot: PartSlot,
): Part {
  const op = functionOp(activation);
  const slot = functionSlot(op, tanhSlot);
  return { name, op, activation, inputs: [input], slot, gated: false };
}

/** The parts of a cell without a projection. */
function makeParts({ gateActivation, activation, cellActivation }: CellFunctions): readonly Part[] {
  return [
    { name: "igates", op: "linear", inputs: ["x"], slot: "inputProjection", gated: true },
    { name: "hgates", op: "linear", inputs: ["h"], slot: "hiddenProjection", gated: true },
    { name: "gates", op: "add", inputs: ["igates", "hgates"], slot: "linearOutput", gated: true },
    functionPart("input_gate", gateActivation, "gates.input", "tanh"),
    functionPart("forget_gate", gateActivation, "gates.forget", "tanh"),
    functionPart("cell_gate", activation, "gates.cell", "tanh"),
    functionPart("output_gate", gateActivation, "gates.output", "tanh"),
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
    functionPart("tanh_cy", cellActivation, "fgate_cx_igate_cgate", "cellTanh"),
    {
      name: "ogate_cy",
      op: "mul",
      inputs: ["output_gate", "tanh_cy"],
      slot: "hiddenState",
      gated: false,
    },
  ];
}

const PROJECTION: Part = {
  name: "proj",
  op: "linear",
  inputs: ["ogate_cy"],
  slot: "projection",
  gated: false,
};

/**
 * The twelve parts of a cell in the order of execution; the last one is the new hidden state.
 *
 * @example
 * ```ts
 * import { LSTM_PARTS } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const cellState = LSTM_PARTS.filter(({ slot }) => slot === "cellState").map(({ name, op }) =>
 *   `${name}: ${op}`
 * );
 * assertEquals(cellState, ["fgate_cx: mul", "igate_cgate: mul", "fgate_cx_igate_cgate: add"]);
 * ```
 */
export const LSTM_PARTS: readonly Part[] = /* @__PURE__ */ makeParts(LSTM_FUNCTIONS);

/**
 * The parts of a cell whose hidden state is projected (projSize): one more, whose output is the new
 * hidden state.
 *
 * @example
 * ```ts
 * import { LSTM_PARTS_PROJECTED } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(LSTM_PARTS_PROJECTED.at(-1)!.inputs, ["ogate_cy"]);
 * ```
 */
export const LSTM_PARTS_PROJECTED: readonly Part[] = /* @__PURE__ */ LSTM_PARTS.concat(
  PROJECTION,
);

/**
 * The part that is the new cell state.
 *
 * @example
 * ```ts
 * import { LSTM_PARTS } from "@splitgate/splitgate";
 * import { CELL_STATE } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(LSTM_PARTS.find(({ inputs }) => inputs[0] === CELL_STATE)!.name, "tanh_cy");
 * ```
 */
export const CELL_STATE = "fgate_cx_igate_cgate" as const;

/**
 * The parts of a cell with or without a projected hidden state.
 *
 * @param functions torch.nn.LSTM's by default.
 *
 * @example
 * ```ts
 * import { lstmParts } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([lstmParts(false).length, lstmParts(true).at(-1)!.name], [12, "proj"]);
 * const relu = {
 *   gateActivation: "hardSigmoid",
 *   activation: "relu",
 *   cellActivation: "tanh",
 * } as const;
 * assertEquals(lstmParts(false, relu).find(({ name }) => name === "cell_gate")!.op, "relu");
 * ```
 */
export function lstmParts(
  projected: boolean,
  functions: CellFunctions = LSTM_FUNCTIONS,
): readonly Part[] {
  if (hasLSTMFunctions(functions)) return projected ? LSTM_PARTS_PROJECTED : LSTM_PARTS;
  const parts = makeParts(functions);
  return projected ? [...parts, PROJECTION] : parts;
}

/**
 * Something for each part of a cell: of a gated part four, one a gate (all the same where gates are
 * fused), of `proj` undefined where the hidden state is not projected.
 */
export type OfParts<T> =
  & {
    readonly [P in Exclude<PartName, "proj">]: P extends "igates" | "hgates" | "gates"
      ? readonly T[]
      : T;
  }
  & { readonly proj?: T };

/**
 * Something for what parts read, by part and one an input in the part's order, where that is not
 * simply what the producer gives; null where it is.
 */
export type PartInputs<T> = { readonly [P in PartName]?: readonly (T | null)[] };

/**
 * Parameters of every part of a cell; null: not quantized. `inputs`: where a part reads a value in
 * other parameters than its producer gives it in, so that it is requantized between them.
 */
export type CellQParams = OfParts<PerTensorQParams | null> & {
  readonly inputs?: PartInputs<PerTensorQParams>;
};

/** What gives the cell's operations their meaning: floats, integers, nodes of a graph. */
export interface CellExecutor<V> {
  /**
   * One part's output.
   *
   * @param gate Which of the four gates of a split, gated part; -1 for a whole one.
   */
  apply(part: Part, gate: number, inputs: readonly V[]): V;
  /** One gate's slice of a fused, gated value. */
  chunk(value: V, gate: number): V;
  /**
   * Input `index` of a part as the part reads it, where that can differ from what the producer
   * gives.
   */
  read?(part: Part, gate: number, index: number, value: V): V;
}

/** The new hidden and cell state of one step. */
export interface CellResult<V> {
  /** The last part's output: ogate_cy, or proj where there is one. */
  readonly h: V;
  /** The output of {@linkcode CELL_STATE}. */
  readonly c: V;
}

/**
 * Runs one step of the cell through an executor: calls it for each part in order, with the outputs
 * that the part reads.
 *
 * @param split Whether gated parts run once a gate, or once for all four and are cut up afterwards.
 *
 * @example An executor that only says what it is asked for
 * ```ts
 * import { type CellExecutor, lstmParts, runCell } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * const order: string[] = [];
 * const executor: CellExecutor<string> = {
 *   apply(part, gate) {
 *     order.push(part.name);
 *     return gate < 0 ? part.name : `${part.name}.${gate}`;
 *   },
 *   chunk: (value, gate) => `${value}[${gate}]`,
 * };
 * const { h, c } = runCell(executor, lstmParts(false), true, "x", "h", "c");
 * assertEquals([h, c, order.length], ["ogate_cy", "fgate_cx_igate_cgate", 4 * 3 + 9]);
 * ```
 */
export function runCell<V>(
  executor: CellExecutor<V>,
  parts: readonly Part[],
  split: boolean,
  x: V,
  h: V,
  c: V,
): CellResult<V> {
  const values = new Map<string, V>([["x", x], ["h", h], ["c", c]]);
  const apply = (part: Part, gate: number) => {
    const inputs = part.inputs.map((name, index) => {
      const value = (gate < 0 ? undefined : values.get(`${name}.${GATES[gate]}`)) ??
        values.get(name)!;
      return executor.read === undefined ? value : executor.read(part, gate, index, value);
    });
    return executor.apply(part, gate, inputs);
  };
  // Gated parts come first. A split cell makes one gate's whole pre-activation before the next
  // gate's.
  const gated = parts.filter((part) => part.gated);
  if (split) {
    GATES.forEach((gate, g) => {
      for (const part of gated) values.set(`${part.name}.${gate}`, apply(part, g));
    });
  } else {
    for (const part of gated) values.set(part.name, apply(part, -1));
    // Only the sum of both projections is cut up: add reads the projections whole.
    GATES.forEach((gate, g) =>
      values.set(`gates.${gate}`, executor.chunk(values.get("gates")!, g))
    );
  }
  let last = h;
  for (const part of parts) {
    if (part.gated) continue;
    last = apply(part, -1);
    values.set(part.name, last);
  }
  return { h: last, c: values.get(CELL_STATE)! };
}
