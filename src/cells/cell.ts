/**
 * Recurrent cells as data: what a list of parts says, and the one way of running it. Observers, the
 * reference graph, integer execution by parts, the names in errors and the model file read the same
 * lists (`lstm_parts.ts`, `gru_parts.ts`).
 *
 * @module
 */
import type { CellActivation, GateActivation } from "../../kernels/float/lstm.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { type FunctionOp, functionOp } from "./functions.ts";
import type { PartName, PartSlot } from "./names.ts";

export type { PartName, PartSlot };

/** A weight of a cell: of the input, of the hidden state, or what projects that. */
export type CellWeight = "ih" | "hh" | "hr";

/** One part: an operation, what it reads, and the slot that configures its output. */
export interface Part {
  /** Unique in a cell. */
  readonly name: PartName;
  /** What it computes of its inputs. */
  readonly op: "linear" | "add" | "sub" | "mul" | FunctionOp;
  /** The function that `op` names, with its parameters; absent where the part is none. */
  readonly activation?: GateActivation | CellActivation;
  /** Of a linear: which weight it multiplies with. */
  readonly weight?: CellWeight;
  /** Parts, or `x` and names of states; `gates.input` and so on name one gate's slice. */
  readonly inputs: readonly string[];
  /** What configures its output; several parts may share one. */
  readonly slot: PartSlot;
  /**
   * Whether the part spans several gates: one tensor of hiddenSize values a gate fused, a tensor of
   * hiddenSize for each split.
   */
  readonly gated: boolean;
  /**
   * Which gates it spans, or whose rows of a weight it multiplies with: from the first to behind
   * the last. All of the cell's by default.
   */
  readonly span?: readonly [from: number, to: number];
}

/** A part of one of these names. */
export type NamedPart<N extends PartName> = Part & { readonly name: N };

/** A state that a cell hands to its next step, and the part that is the new one. */
export interface StatePart {
  /** What parts call it when they read it, and sessions their slot. */
  readonly name: "h" | "c";
  /** The part that gives the next step's. */
  readonly part: PartName;
}

/** The dataflow of a recurrent cell. */
export interface Cell {
  /** The gates in PyTorch's order, which is that of the weights' rows. */
  readonly gates: readonly string[];
  /** In the order of execution; gated ones first. */
  readonly parts: readonly Part[];
  /** The hidden state, and behind it what else the cell keeps. */
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

/** The gates that a part spans, or whose rows it multiplies with. */
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

/** How many values a part has of what there is one a gate: 1 where it spans none. */
export function gateCount(cell: Cell, part: Part): number {
  const [from, to] = spanOf(cell, part);
  return part.gated ? to - from : 1;
}

/** What stands behind a part's name where one gate of it is meant. */
export function gateSuffix({ gates }: Cell, gate: number): string {
  return gate < 0 ? "" : `.${gates[gate]}`;
}

/**
 * Something for each part of a cell: of a gated part one a gate (all the same where gates are
 * fused). No cell has all of these parts.
 */
export type OfParts<T> = { readonly [P in PartName]?: T | readonly T[] };

/** What there is for a part: one, or one a gate; none where the cell has no such part. */
export function ofPart<T>(parts: OfParts<T>, name: PartName): readonly T[] {
  const own = parts[name];
  return own === undefined ? [] : Array.isArray(own) ? own : [own as T];
}

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
   * @param gate Which of the gates of a split, gated part; -1 for a whole one.
   */
  apply(part: Part, gate: number, inputs: readonly V[]): V;
  /** One gate's slice of what a fused, gated part gives. */
  chunk(part: Part, gate: number, value: V): V;
  /**
   * Input `index` of a part as the part reads it, where that can differ from what the producer
   * gives.
   */
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
  // A split cell makes all that it can of one gate before the next gate.
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
    // What gated parts alone read stays whole.
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
