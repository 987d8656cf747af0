/**
 * Running a reference graph: float32 between dequantize and quantize, as torch runs it.
 *
 * @module
 */
import { dequantizePerTensor, quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import { saturateFloat32 } from "../../kernels/numeric/requantize.ts";
import { newQArray, type QArray } from "../core/dtype.ts";
import { checkResult } from "../core/errors.ts";
import { REFERENCE_OPS } from "../modules/kinds.ts";
import type { GraphNode, GraphValue, Layout } from "../modules/reference.ts";
import { lengthsAfter } from "../modules/window.ts";
import { countSteps } from "../runtime/window.ts";
import { nodeQParams } from "./graph.ts";

/**
 * Sees each node's value; of a cell's nodes step by step, for the batch rows that have the step.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type GraphWatcher } from "@splitgate/splitgate/reference";
 * import { assert } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const ops = new Set<string>();
 * const watch: GraphWatcher = ({ op }, { data }) => void (data.length > 0 && ops.add(op));
 * convertToReference(observed).run(x, { watch });
 * assert(ops.has("sigmoid") && ops.has("tanh"));
 * ```
 */
export type GraphWatcher = (node: GraphNode, value: GraphValue) => void;

/** The float weight of a node. */
export type FloatWeights = (node: GraphNode) => Float32Array;

/** States of one layer and direction by name, such as h and c: each [batch, width]. */
export type CellState = Readonly<Record<string, GraphValue>>;

/**
 * Computes a node's value.
 *
 * @param weights Float weights instead of the nodes' own; quantize and dequantize nodes then return
 * their input.
 */
export function computeNode(
  node: GraphNode,
  inputs: readonly GraphValue[],
  layout: Layout,
  weights: FloatWeights | null,
): GraphValue {
  const { op } = node;
  if (op === "quantize") {
    if (weights !== null) return inputs[0]!;
    const qparams = nodeQParams(node)!;
    const x = inputs[0]!.data as Float32Array;
    const data = newQArray(qparams.dtype, x.length);
    quantizePerTensor(x, data, qparams);
    return { data, qparams };
  }
  if (op === "dequantize") {
    if (weights !== null) return inputs[0]!;
    // A given initial state has its own parameters.
    const { scale, zeroPoint } = inputs[0]!.qparams!;
    const data = new Float32Array(inputs[0]!.data.length);
    dequantizePerTensor(inputs[0]!.data as QArray, data, scale, zeroPoint);
    return { data, qparams: null };
  }
  const operation = REFERENCE_OPS.get(op);
  // The graph's input and outputs remain.
  if (operation === undefined) return inputs[0]!;
  const weight = weights !== null && operation.hasWeight ? weights(node) : null;
  const values = inputs.map(({ data }) => data as Float32Array | Int32Array);
  const data = operation.compute(node, values, layout, weight);
  // A cell's parts saturate on overflow, quantized or not; the float model's do not.
  if (weights === null && node.float === true && node.cell !== undefined) saturateFloat32(data);
  return { data, qparams: null };
}

/** The given rows of a value, packed. */
function gather({ data, qparams }: GraphValue, rows: readonly number[], width: number): GraphValue {
  const out = qparams === null
    ? new Float32Array(rows.length * width)
    : newQArray(qparams.dtype, rows.length * width);
  rows.forEach((row, r) => out.set(data.subarray(row * width, (row + 1) * width), r * width));
  return { data: out, qparams };
}

/** Writes rows back to where `gather` read them. */
function scatter(value: GraphValue, to: GraphValue, rows: readonly number[], width: number): void {
  rows.forEach((row, r) =>
    to.data.set(value.data.subarray(r * width, (r + 1) * width), row * width)
  );
}

/** Requires finite results of a module, except in padding. */
function checkResults(
  { data }: GraphValue,
  { steps, batch, batchFirst, lengths }: Layout,
  width: number,
): void {
  for (let row = 0; row < steps * batch; row++) {
    const b = batchFirst ? Math.floor(row / steps) : row % batch;
    const t = batchFirst ? row % steps : Math.floor(row / batch);
    if (lengths !== null && t >= lengths[b]!) continue;
    for (let k = row * width; k < (row + 1) * width; k++) checkResult(data[k]!);
  }
}

/** Computes the rows of a node's value. */
function layoutAfter(node: GraphNode, layout: Layout): Layout {
  const window = REFERENCE_OPS.get(node.op)?.window?.(node);
  if (window === undefined) return layout;
  const lengths = lengthsAfter(window, layout.lengths);
  return {
    ...layout,
    steps: countSteps(window, "x.shape", -1, layout.steps),
    lengths: lengths && Int32Array.from(lengths),
  };
}

/** A value of zeros for all rows of a sequence, with a node's parameters or in float32. */
function zeros(node: GraphNode, rows: number, float: boolean): GraphValue {
  const qparams = float ? null : nodeQParams(node);
  const length = rows * node.width;
  if (qparams === null) return { data: new Float32Array(length), qparams };
  return { data: newQArray(qparams.dtype, length).fill(qparams.zeroPoint), qparams };
}

/** Runs graphs; each node's inputs are looked up once. */
export class GraphRunner {
  readonly #nodes: readonly GraphNode[];
  readonly #byName: ReadonlyMap<string, GraphNode>;
  /** Nodes whose value is one row a sequence, not one a step. */
  readonly ended: ReadonlySet<string>;
  /** Nodes of cells that are read from outside their cell. */
  readonly #outside: ReadonlySet<string>;
  readonly #weights: FloatWeights | null;

  /** @param weights Float weights, to run the graph as the original float model. */
  constructor(nodes: readonly GraphNode[], weights: FloatWeights | null = null) {
    this.#nodes = nodes;
    this.#weights = weights;
    this.#byName = new Map(nodes.map((node) => [node.name, node]));
    const outside = new Set<string>();
    const owner = ({ module, cell }: GraphNode) => cell && `${module}.${cell}`;
    for (const node of nodes) {
      for (const input of node.inputs) {
        if (owner(this.#byName.get(input)!) !== owner(node)) outside.add(input);
      }
    }
    this.#outside = outside;
    const ended = new Set<string>();
    for (const { name, op, inputs } of nodes) {
      if (
        REFERENCE_OPS.get(op)?.endsTime ||
        (op !== "state" && inputs.some((each) => ended.has(each)))
      ) {
        ended.add(name);
      }
    }
    this.ended = ended;
  }

  /**
   * Runs the graph.
   *
   * @param input The rows of the input, in the layout's order.
   * @param states Initial states by cell, such as `lstm.l0`; zeros where there is none. Replaced by
   * the final ones.
   */
  run(
    input: GraphValue,
    given: Layout,
    states: Map<string, CellState>,
    watch: GraphWatcher | null,
  ): { values: Map<string, GraphValue>; layouts: Map<string, Layout> } {
    const values = new Map<string, GraphValue>();
    const layouts = new Map<string, Layout>();
    for (let i = 0; i < this.#nodes.length;) {
      const node = this.#nodes[i]!;
      if (node.cell !== undefined) {
        let end = i;
        while (this.#nodes[end]?.cell === node.cell && this.#nodes[end]!.module === node.module) {
          end++;
        }
        const cell = this.#nodes.slice(i, end);
        // Everything that a cell reads from outside has the cell's steps.
        const reads = cell.flatMap(({ inputs }) =>
          inputs.flatMap((name) => layouts.get(name) ?? [])
        );
        const layout = reads[0] ?? given;
        for (const { name } of cell) layouts.set(name, layout);
        this.#runCell(cell, values, layout, states, watch);
        i = end;
        continue;
      }
      const layout = layouts.get(node.inputs[0]!) ?? given;
      layouts.set(node.name, layoutAfter(node, layout));
      const inputs = node.inputs.map((name) => values.get(name)!);
      const value = node.op === "input" ? input : computeNode(node, inputs, layout, this.#weights);
      if (REFERENCE_OPS.has(node.op) && (this.#weights !== null || node.float === true)) {
        const own = layouts.get(node.name)!;
        const rows = this.ended.has(node.name) ? { ...own, steps: 1, lengths: null } : own;
        checkResults(value, rows, node.width);
      }
      values.set(node.name, value);
      watch?.(node, value);
      i++;
    }
    return { values, layouts };
  }

  #runCell(
    nodes: readonly GraphNode[],
    values: Map<string, GraphValue>,
    layout: Layout,
    states: Map<string, CellState>,
    watch: GraphWatcher | null,
  ): void {
    const { steps, batch, batchFirst, lengths } = layout;
    const { module, cell } = nodes[0]!;
    const name = `${module}.${cell}`;
    const backward = cell!.endsWith("_reverse");
    const stateNodes = nodes.filter(({ op }) => op === "state");
    const float = this.#weights !== null;
    const given = states.get(name);
    const running: Record<string, GraphValue> = {};
    for (const node of stateNodes) running[slotOf(node)] = zeros(node, batch, float);
    for (const node of nodes) {
      if (this.#outside.has(node.name)) values.set(node.name, zeros(node, steps * batch, float));
    }
    for (let i = 0; i < steps; i++) {
      const active: number[] = [];
      const rows: number[] = [];
      for (let b = 0; b < batch; b++) {
        const length = lengths === null ? steps : lengths[b]!;
        if (i >= length) continue;
        const t = backward ? length - 1 - i : i;
        active.push(b);
        rows.push(batchFirst ? b * steps + t : t * batch + b);
      }
      if (active.length === 0) break;
      // A given state keeps its own parameters; every row has a first step.
      const before = i === 0 && given !== undefined ? given : running;
      const own = new Map<string, GraphValue>();
      for (const node of nodes) {
        const inputs = node.op === "state" ? [] : node.inputs.map((input) => {
          const inside = own.get(input);
          return inside ?? gather(values.get(input)!, rows, this.#byName.get(input)!.width);
        });
        const value = node.op === "state"
          ? gather(before[slotOf(node)]!, active, node.width)
          : computeNode(node, inputs, layout, this.#weights);
        own.set(node.name, value);
        if (this.#outside.has(node.name)) {
          scatter(value, values.get(node.name)!, rows, node.width);
        }
        watch?.(node, value);
      }
      for (const node of stateNodes) {
        scatter(own.get(node.inputs[0]!)!, running[slotOf(node)]!, active, node.width);
      }
    }
    states.set(name, steps === 0 ? given ?? running : running);
  }
}

/** The name of a state node's state: the last of its own. */
export function slotOf({ name }: GraphNode): string {
  return name.slice(name.lastIndexOf(".") + 1);
}
