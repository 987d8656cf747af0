/**
 * Running a reference graph: float32 between dequantize and quantize, as torch runs it.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float/linear.ts";
import {
  dequantizePerChannel,
  dequantizePerTensor,
  quantizePerTensor,
} from "../../kernels/numeric/quantize.ts";
import { saturateFloat32 } from "../../kernels/numeric/requantize.ts";
import { newQArray, type QArray } from "../core/dtype.ts";
import { checkResult, failRange } from "../core/errors.ts";
import { pointwiseFloat32 } from "../cells/float_executor.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { embeddingRows } from "../modules/embedding/quantized.ts";
import { type GraphNode, nodeQParams } from "./graph.ts";

/** A node's value: rows of its width. Integers have qparams, float32 values and token ids none. */
export interface GraphValue {
  /** Row-major, the node's width last: float32, or integers of the dtype that `qparams` names. */
  readonly data: Float32Array | QArray;
  /** null for float32 and token ids. */
  readonly qparams: PerTensorQParams | null;
}

/** Sees each node's value; of a cell's nodes step by step, for the batch rows that have the step. */
export type GraphWatcher = (node: GraphNode, value: GraphValue) => void;

/** The float weight of a linear or an embedding. */
export type FloatWeights = (node: GraphNode) => Float32Array;

/** The rows of a sequence: where step t of batch row b stands. */
export interface Layout {
  readonly steps: number;
  readonly batch: number;
  readonly batchFirst: boolean;
  /** Steps of each batch row; null where all have `steps`. */
  readonly lengths: Int32Array | null;
}

/** Hidden and cell state of one layer and direction. */
export interface CellState {
  /** [batch, width] */
  readonly h: GraphValue;
  readonly c: GraphValue;
}

const dequantizedWeights = new WeakMap<GraphNode, Float32Array>();

/** A linear's weight, dequantized once. */
function dequantizedWeight(node: GraphNode): Float32Array {
  let out = dequantizedWeights.get(node);
  if (out === undefined) {
    const { data, scales, zeroPoints } = node.weight!;
    out = new Float32Array(data.length);
    dequantizePerChannel(data, out, scales, zeroPoints, data.length / scales.length);
    dequantizedWeights.set(node, out);
  }
  return out;
}

/** A float32 result: those of a quantized cell saturate, those of the float model may overflow. */
function saturated(node: GraphNode, data: Float32Array, weight: FloatWeights | null): GraphValue {
  if (weight === null && node.float === true && node.cell !== undefined) saturateFloat32(data);
  return { data, qparams: null };
}

/**
 * One node's value from those that it reads.
 *
 * @param weight A linear's or an embedding's float weight, in the place of its own; quantizes and dequantizes then
 * pass on what they read.
 */
export function computeNode(
  node: GraphNode,
  inputs: readonly GraphValue[],
  weight: FloatWeights | null,
): GraphValue {
  const [a, b] = inputs.map(({ data }) => data as Float32Array);
  const { op, width } = node;
  switch (op) {
    case "quantize": {
      if (weight !== null) return inputs[0]!;
      const qparams = nodeQParams(node)!;
      const data = newQArray(qparams.dtype, a!.length);
      quantizePerTensor(a!, data, qparams);
      return { data, qparams };
    }
    case "dequantize": {
      if (weight !== null) return inputs[0]!;
      // A given initial state has parameters of its own.
      const { scale, zeroPoint } = inputs[0]!.qparams!;
      const data = new Float32Array(a!.length);
      dequantizePerTensor(inputs[0]!.data as QArray, data, scale, zeroPoint);
      return { data, qparams: null };
    }
    case "linear": {
      const { inFeatures } = node.weight!;
      const rows = a!.length / inFeatures;
      const data = new Float32Array(rows * width);
      const own = weight === null ? dequantizedWeight(node) : weight(node);
      const bias = node.bias ?? null;
      for (let r = 0; r < rows; r++) {
        linearFloat32(a!, r * inFeatures, own, bias, inFeatures, width, data, r * width);
      }
      return saturated(node, data, weight);
    }
    case "add":
    case "mul":
    case "sigmoid":
    case "tanh":
      return saturated(node, pointwiseFloat32(op, a!, b!), weight);
    case "chunk": {
      const rows = a!.length / (4 * width);
      const data = new Float32Array(rows * width);
      for (let r = 0; r < rows; r++) {
        const at = (4 * r + node.gate!) * width;
        data.set(a!.subarray(at, at + width), r * width);
      }
      return { data, qparams: null };
    }
    case "concat": {
      const parts = inputs.map(({ data }) => data as Float32Array);
      const rows = a!.length * parts.length / width;
      const data = new Float32Array(rows * width);
      const each = width / parts.length;
      for (let r = 0; r < rows; r++) {
        parts.forEach((part, i) =>
          data.set(part.subarray(r * each, (r + 1) * each), r * width + i * each)
        );
      }
      return { data, qparams: null };
    }
    case "embedding": {
      const embedding = node.embedding!;
      const data = new Float32Array(a!.length * width);
      const rows = embeddingRows(
        weight === null ? embedding : { ...embedding, weight: weight(node) },
      );
      a!.forEach((token, i) => rows.read(token, data, i * width));
      return { data, qparams: null };
    }
    default:
      return inputs[0]!;
  }
}

/** The given rows of a value, one after the other. */
function gather({ data, qparams }: GraphValue, rows: readonly number[], width: number): GraphValue {
  const out = qparams === null
    ? new Float32Array(rows.length * width)
    : newQArray(qparams.dtype, rows.length * width);
  rows.forEach((row, r) => out.set(data.subarray(row * width, (row + 1) * width), r * width));
  return { data: out, qparams };
}

/** The reverse of gather. */
function scatter(value: GraphValue, to: GraphValue, rows: readonly number[], width: number): void {
  rows.forEach((row, r) =>
    to.data.set(value.data.subarray(r * width, (r + 1) * width), row * width)
  );
}

/** Requires finite results of a module, but for padding. */
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

/** A value of zeros for all rows of a sequence, with a node's parameters or in float32. */
function zeros(node: GraphNode, rows: number, float: boolean): GraphValue {
  const qparams = float ? null : nodeQParams(node);
  const length = rows * node.width;
  if (qparams === null) return { data: new Float32Array(length), qparams };
  return { data: newQArray(qparams.dtype, length).fill(qparams.zeroPoint), qparams };
}

/** Runs graphs: what each node reads is looked up once. */
export class GraphRunner {
  readonly #nodes: readonly GraphNode[];
  readonly #byName: ReadonlyMap<string, GraphNode>;
  /** Nodes of cells that are read from outside of their cell. */
  readonly #outside: ReadonlySet<string>;
  readonly #weights: FloatWeights | null;

  /** @param weights Float weights, to run the graph as the float model that it came from. */
  constructor(nodes: readonly GraphNode[], weights: FloatWeights | null = null) {
    this.#nodes = nodes;
    this.#weights = weights;
    this.#byName = new Map(nodes.map((node) => [node.name, node]));
    const outside = new Set<string>();
    const place = ({ module, cell }: GraphNode) => cell && `${module}.${cell}`;
    for (const node of nodes) {
      for (const input of node.inputs) {
        if (place(this.#byName.get(input)!) !== place(node)) outside.add(input);
      }
    }
    this.#outside = outside;
  }

  /**
   * Runs the graph.
   *
   * @param input The rows of the input, in the layout's order.
   * @param states Initial states by cell, such as `lstm.l0`; zeros where there is none. Replaced by the final ones.
   */
  run(
    input: GraphValue,
    layout: Layout,
    states: Map<string, CellState>,
    watch: GraphWatcher | null,
  ): Map<string, GraphValue> {
    const values = new Map<string, GraphValue>();
    for (let i = 0; i < this.#nodes.length;) {
      const node = this.#nodes[i]!;
      if (node.cell !== undefined) {
        let end = i;
        while (this.#nodes[end]?.cell === node.cell && this.#nodes[end]!.module === node.module) {
          end++;
        }
        this.#runCell(this.#nodes.slice(i, end), values, layout, states, watch);
        i = end;
        continue;
      }
      const value = node.op === "input"
        ? input
        : computeNode(node, node.inputs.map((name) => values.get(name)!), this.#weights);
      if (node.op === "linear" && (this.#weights !== null || node.float === true)) {
        checkResults(value, layout, node.width);
      }
      values.set(node.name, value);
      watch?.(node, value);
      i++;
    }
    return values;
  }

  #runCell(
    nodes: readonly GraphNode[],
    values: Map<string, GraphValue>,
    { steps, batch, batchFirst, lengths }: Layout,
    states: Map<string, CellState>,
    watch: GraphWatcher | null,
  ): void {
    const { module, cell } = nodes[0]!;
    const name = `${module}.${cell}`;
    const backward = cell!.endsWith("_reverse");
    const [hNode, cNode] = nodes.filter(({ op }) => op === "state");
    const float = this.#weights !== null;
    const given = states.get(name);
    const running = { h: zeros(hNode!, batch, float), c: zeros(cNode!, batch, float) };
    for (const node of nodes) {
      if (this.#outside.has(node.name)) values.set(node.name, zeros(node, steps * batch, float));
    }
    for (let i = 0; i < steps; i++) {
      const active: number[] = [], places: number[] = [];
      for (let b = 0; b < batch; b++) {
        const length = lengths === null ? steps : lengths[b]!;
        if (i >= length) continue;
        const t = backward ? length - 1 - i : i;
        active.push(b);
        places.push(batchFirst ? b * steps + t : t * batch + b);
      }
      if (active.length === 0) break;
      // A given state keeps its own parameters; every row has a first step.
      const { h, c } = i === 0 && given !== undefined ? given : running;
      const own = new Map<string, GraphValue>();
      for (const node of nodes) {
        const inputs = node.op === "state" ? [] : node.inputs.map((input) => {
          const inside = own.get(input);
          return inside ?? gather(values.get(input)!, places, this.#byName.get(input)!.width);
        });
        const value = node.op === "state"
          ? gather(node === hNode ? h : c, active, node.width)
          : computeNode(node, inputs, this.#weights);
        own.set(node.name, value);
        if (this.#outside.has(node.name)) {
          scatter(value, values.get(node.name)!, places, node.width);
        }
        watch?.(node, value);
      }
      scatter(own.get(hNode!.inputs[0]!)!, running.h, active, hNode!.width);
      scatter(own.get(cNode!.inputs[0]!)!, running.c, active, cNode!.width);
    }
    states.set(name, steps === 0 ? given ?? running : running);
  }
}

/** Requires token ids within an embedding. */
export function checkTokens(tokens: Int32Array, count: number): void {
  tokens.forEach((token, i) => {
    if (token < 0 || token >= count) {
      failRange(`x.data[${i}]`, `a token id in 0..${count - 1}`, token);
    }
  });
}
