/**
 * Recurrent cells as data: the list of a cell's parts, and the one function that runs it.
 * Observers, the reference graph, integer execution by parts, error messages and the model file all
 * use the same lists (`lstm_parts.ts`, `gru_parts.ts`).
 *
 * @module
 */
import type { CellActivation, GateActivation } from "../../kernels/float/lstm.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { type FunctionOp, functionOp } from "./functions.ts";
import type { PartName, PartSlot } from "./names.ts";

export type { PartName, PartSlot };

/**
 * A weight of a cell: of the input, of the hidden state, or the projection of the hidden state.
 *
 * @example
 * ```ts
 * import { LSTM_PARTS } from "@splitgate/splitgate/modules";
 * import type { CellWeight } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const read: CellWeight[] = LSTM_PARTS.flatMap(({ weight }) => weight ?? []);
 * assertEquals(read.slice(0, 2), ["ih", "hh"]); // weight_ih and weight_hh of PyTorch
 * ```
 */
export type CellWeight = "ih" | "hh" | "hr";

/**
 * One part: an operation, what it reads, and the slot that configures its output.
 *
 * @example
 * ```ts
 * import { LSTM_PARTS, type Part } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const sum: Part = LSTM_PARTS.find(({ name }) => name === "fgate_cx_igate_cgate")!;
 * assertEquals([sum.op, sum.inputs], ["add", ["fgate_cx", "igate_cgate"]]); // c' = f c + i g
 * ```
 */
export interface Part {
  /** Unique in a cell. */
  readonly name: PartName;
  /** The operation. */
  readonly op: "linear" | "add" | "sub" | "mul" | FunctionOp;
  /** The function that `op` names, with its parameters; absent for other operations. */
  readonly activation?: GateActivation | CellActivation;
  /** The weight of a linear part. */
  readonly weight?: CellWeight;
  /** Names of parts, `x`, or names of states; `gates.input` and the like name one gate's slice. */
  readonly inputs: readonly string[];
  /** The slot that configures its output; several parts may share one. */
  readonly slot: PartSlot;
  /**
   * Whether the part spans several gates: fused, it is one tensor of gates * hiddenSize values;
   * split, one tensor of hiddenSize values a gate.
   */
  readonly gated: boolean;
  /**
   * The gates it spans, or whose weight rows it multiplies with, as [first, end). All of the cell's
   * by default.
   */
  readonly span?: readonly [from: number, to: number];
}

/**
 * A part of one of these names.
 *
 * @example
 * ```ts
 * import type { NamedPart } from "@splitgate/splitgate/modules";
 * import type { LSTMPartName } from "@splitgate/splitgate/qconfig";
 * // A part whose name is one of an LSTM's: a misspelt one does not compile.
 * const hidden: NamedPart<LSTMPartName> = {
 *   name: "ogate_cy",
 *   op: "mul",
 *   inputs: ["output_gate", "tanh_cy"],
 *   slot: "hiddenState",
 *   gated: false,
 * };
 * ```
 */
export type NamedPart<N extends PartName> = Part & { readonly name: N };

/**
 * A state that a cell passes to its next step, and the part that computes its new value.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import type { StatePart } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const states: readonly StatePart[] = new LSTM({ inputSize: 2, hiddenSize: 3 }).cell.states;
 * assertEquals(states.map(({ name, part }) => `${name}: ${part}`), [
 *   "h: ogate_cy",
 *   "c: fgate_cx_igate_cgate",
 * ]);
 * ```
 */
export interface StatePart {
  /** Its name, for parts that read it and for the sessions' slot. */
  readonly name: "h" | "c";
  /** The part that gives the next step's value. */
  readonly part: PartName;
}

/**
 * The dataflow of a recurrent cell.
 *
 * @example
 * ```ts
 * import { GRU, LSTM } from "@splitgate/splitgate";
 * import type { Cell } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const gates = ({ gates }: Cell) => gates.length;
 * assertEquals(gates(new LSTM({ inputSize: 2, hiddenSize: 3 }).cell), 4);
 * assertEquals(gates(new GRU({ inputSize: 2, hiddenSize: 3 }).cell), 3);
 * ```
 */
export interface Cell {
  /** The gates in PyTorch's order, in which the weights' rows are. */
  readonly gates: readonly string[];
  /** In the order of execution; gated ones first. */
  readonly parts: readonly Part[];
  /** The hidden state, then the cell's other states. */
  readonly states: readonly StatePart[];
}

/** A part that is a function of one value. */
export function functionPart<N extends PartName>(
  name: N,
  activation: GateActivation | CellActivation,
  input: string,
  slots: { readonly tanh: PartSlot; readonly unbounded: PartSlot },
): NamedPart<N> {
  const op = functionOp(activation);
  const slot = op === "tanh"
    ? slots.tanh
    : op === "sigmoid" || op === "hardsigmoid"
    ? "sigmoid"
    : slots.unbounded;
  return { name, op, activation, inputs: [input], slot, gated: false };
}

/** The gates that a part spans, or whose weight rows it multiplies with. */
export function spanOf({ gates }: Cell, part: Part): readonly [from: number, to: number] {
  return part.span ?? [0, gates.length];
}

/**
 * The rows that a linear part multiplies with, in gates: of one gate where it runs split; null
 * where its weight has no gates.
 */
export function rowSpan(
  cell: Cell,
  part: Part,
  gate: number,
): readonly [from: number, to: number] | null {
  if (part.weight === "hr") return null;
  return gate < 0 ? spanOf(cell, part) : [gate, gate + 1];
}

/** Number of gates that a part spans; 1 where it spans none. */
export function gateCount(cell: Cell, part: Part): number {
  const [from, to] = spanOf(cell, part);
  return part.gated ? to - from : 1;
}

/** Suffix of a part's name that selects one gate. */
export function gateSuffix({ gates }: Cell, gate: number): string {
  return gate < 0 ? "" : `.${gates[gate]}`;
}

/**
 * One T for each part of a cell; for a gated part, one for each gate (all the same where gates are
 * fused). No cell has all of these parts.
 */
export type OfParts<T> = { readonly [P in PartName]?: T | readonly T[] };

/** The values for a part: one, or one for each gate; none where the cell has no such part. */
export function ofPart<T>(parts: OfParts<T>, name: PartName): readonly T[] {
  const own = parts[name];
  return own === undefined ? [] : Array.isArray(own) ? own : [own as T];
}

/**
 * One T for each input of a part, by part and in the order of its inputs; null for inputs read as
 * their producer gives them.
 */
export type PartInputs<T> = { readonly [P in PartName]?: readonly (T | null)[] };

/**
 * Parameters of every part of a cell; null: not quantized. `inputs` has an entry where a part reads
 * a value with other parameters than its producer's, so that it is requantized in between.
 */
export type CellQParams = OfParts<PerTensorQParams | null> & {
  readonly inputs?: PartInputs<PerTensorQParams>;
};

/** Gives the cell's operations a meaning: on floats, on integers, or as nodes of a graph. */
export interface CellExecutor<V> {
  /**
   * One part's output.
   *
   * @param gate Which of the gates of a split, gated part; -1 for a whole one.
   */
  apply(part: Part, gate: number, inputs: readonly V[]): V;
  /** One gate's slice of a fused, gated part's output. */
  chunk(part: Part, gate: number, value: V): V;
  /** Input `index` of a part as the part reads it, if it can differ from its producer's output. */
  read?(part: Part, gate: number, index: number, value: V): V;
}

/**
 * Runs one step of a cell through an executor: calls it for each part in order, with the outputs
 * that the part reads.
 *
 * @param split Whether gated parts run once a gate, or once for all and are cut up afterwards.
 * @param states In the order of the cell's.
 * @returns The new states, in the same order.
 *
 * @example An executor that only says what it is asked for
 * ```ts
 * import { type CellExecutor, runCell } from "./cell.ts";
 * import { lstmCell } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * const order: string[] = [];
 * const executor: CellExecutor<string> = {
 *   apply(part, gate) {
 *     order.push(part.name);
 *     return gate < 0 ? part.name : `${part.name}.${gate}`;
 *   },
 *   chunk: (_part, gate, value) => `${value}[${gate}]`,
 * };
 * const [h, c] = runCell(executor, lstmCell(false), true, "x", ["h", "c"]);
 * assertEquals([h, c, order.length], ["ogate_cy", "fgate_cx_igate_cgate", 4 * 3 + 9]);
 * ```
 */
export function runCell<V>(
  executor: CellExecutor<V>,
  cell: Cell,
  split: boolean,
  x: V,
  states: readonly V[],
): readonly V[] {
  const { gates, parts } = cell;
  const values = new Map<string, V>([["x", x]]);
  cell.states.forEach(({ name }, i) => values.set(name, states[i]!));
  const apply = (part: Part, gate: number) => {
    const inputs = part.inputs.map((name, index) => {
      const value = (gate < 0 ? undefined : values.get(`${name}.${gates[gate]}`)) ??
        values.get(name)!;
      return executor.read === undefined ? value : executor.read(part, gate, index, value);
    });
    return executor.apply(part, gate, inputs);
  };
  // A split cell computes as much as it can of one gate before the next gate.
  const gated = parts.filter((part) => part.gated);
  if (split) {
    gates.forEach((gate, g) => {
      for (const part of gated) {
        const [from, to] = spanOf(cell, part);
        if (g >= from && g < to) values.set(`${part.name}.${gate}`, apply(part, g));
      }
    });
  } else {
    for (const part of gated) values.set(part.name, apply(part, -1));
    // Values that only gated parts read stay whole.
    for (const { gated: whole, inputs } of parts) {
      for (const input of whole ? [] : inputs) {
        const [name, gate] = input.split(".");
        if (gate === undefined || values.has(input)) continue;
        const part = gated.find((each) => each.name === name)!;
        values.set(input, executor.chunk(part, gates.indexOf(gate), values.get(name!)!));
      }
    }
  }
  for (const part of parts) if (!part.gated) values.set(part.name, apply(part, -1));
  return cell.states.map(({ part }) => values.get(part)!);
}
