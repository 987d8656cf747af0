/**
 * What a kind builds its part of the reference graph with: every operation in float32 between a
 * dequantize and a quantize.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import type { Window } from "../../kernels/ops/window.ts";
import type { DType, QArray } from "../core/dtype.ts";
import { type PerTensorQParams, sameQParams } from "../core/qparams.ts";

/**
 * One node. Those of a cell run once a step, all others once for the whole sequence.
 */
export interface GraphNode {
  /** Unique in the graph. */
  readonly name: string;
  /**
   * What the node computes: `input`, `state`, `quantize`, `dequantize`, `output`, or an operation
   * of float32 values.
   */
  readonly op: string;
  /**
   * The nodes it reads, which stand before it. A state reads the node that gives the next step's
   * state, which stands behind it.
   */
  readonly inputs: readonly string[];
  /** Of its value; int32 for token ids. */
  readonly dtype: DType | "float32" | "int32";
  /** Where dtype is quantized. */
  readonly scale?: number;
  /** The integer that stands for 0; set with scale. */
  readonly zeroPoint?: number;
  /** Smallest integer; set with scale. */
  readonly quantMin?: number;
  /** Largest integer; set with scale. */
  readonly quantMax?: number;
  /** Last dimension of its value. */
  readonly width: number;
  /** The module it belongs to; null for the model's input and outputs. */
  readonly module: string | null;
  /** The layer and direction it belongs to, as in PyTorch's names: `l0`, `l0_reverse`. */
  readonly cell?: string;
  /** The part of the cell; unset for states, chunks, reads of x and what lies outside of cells. */
  readonly part?: string;
  /** Which of the gates, where they are split, or which a chunk gives. */
  readonly gate?: number;
  /** Whether its output stays float32 because the configuration says so. */
  readonly float?: boolean;
  /** Of a linear. */
  readonly weight?: LinearWeight;
  /** Of a linear: float32 [outFeatures], or null for none. */
  readonly bias?: Float32Array | null;
  /** Numbers of other operations, by name. */
  readonly constants?: Readonly<Record<string, unknown>>;
}

/** A node's value: rows of its width. Integers have qparams, float32 values and token ids none. */
export interface GraphValue {
  /** Row-major, the node's width last: float32, or integers of the dtype that `qparams` names. */
  readonly data: Float32Array | QArray;
  /** null for float32 and token ids. */
  readonly qparams: PerTensorQParams | null;
}

/** The rows of a sequence: where step t of batch row b stands. */
export interface Layout {
  /** Steps of the longest row. */
  readonly steps: number;
  /** Rows side by side. */
  readonly batch: number;
  /** Whether row b * steps + t is meant, or t * batch + b. */
  readonly batchFirst: boolean;
  /** Steps of each batch row; null where all have `steps`. */
  readonly lengths: Int32Array | null;
}

/** What an operation of the graph computes. */
export interface ReferenceOp {
  /** How many values it reads; null for two or more. */
  readonly inputs: number | null;
  /** Values a row, from those of its inputs; a text says what is wrong. */
  width(node: GraphNode, inputs: readonly number[]): number | string;
  /**
   * Its value in float32.
   *
   * @param inputs Rows of each input's width; of token ids an Int32Array.
   * @param weight The float weight in the place of the node's own; null: its own, dequantized.
   */
  compute(
    node: GraphNode,
    inputs: readonly (Float32Array | Int32Array)[],
    layout: Layout,
    weight: Float32Array | null,
  ): Float32Array;
  /** Whether it reads token ids. */
  readonly readsTokens?: boolean;
  /** Whether it has a float weight that can stand in for its own. */
  readonly hasWeight?: boolean;
  /** The window that it moves over time, which may change the number of steps; absent for none. */
  window?(node: GraphNode): Window;
  /** Whether it reads rows for each step and gives one for the sequence. */
  readonly endsTime?: boolean;
  /**
   * Whether its value is what it reads in another form, so that it takes no q-dq pair of its own.
   */
  readonly passes?: boolean;
}

/** Where a node belongs. */
export type NodeOwner = Pick<GraphNode, "module" | "cell" | "part" | "gate">;

/**
 * A value: the node that gives it in float32, and the one that gives its integers if it is
 * quantized.
 */
export interface ReferenceValue {
  readonly float: string;
  readonly integers: string | null;
  /** Of the integers that it was dequantized from, cut up or not. */
  readonly qparams: PerTensorQParams | null;
  readonly width: number;
}

/** A node while the graph is built: what a state reads is known late. */
export type DraftNode = { -readonly [K in keyof GraphNode]: GraphNode[K] };

/** Collects nodes. */
export class ReferenceBuilder {
  /** In order. */
  readonly nodes: DraftNode[] = [];

  /** Adds a node, at the end or behind another one. */
  add(node: GraphNode, after?: string): string {
    if (after === undefined) this.nodes.push({ ...node });
    else {
      const index = this.nodes.findIndex(({ name }) => name === after);
      this.nodes.splice(index + 1, 0, { ...node });
    }
    return node.name;
  }

  /** A node that dequantizes a value's integers. */
  dequantize(
    from: ReferenceValue,
    owner: NodeOwner,
    name: string,
    after?: string,
  ): ReferenceValue {
    const { integers, width, qparams } = from;
    if (integers === null) return from;
    const node: GraphNode = {
      name: `${name}.dequantize`,
      op: "dequantize",
      inputs: [integers],
      dtype: "float32",
      width,
      ...owner,
    };
    return { float: this.add(node, after), integers, width, qparams };
  }

  /** A q-dq pair on a float32 value. */
  pair(
    from: Pick<ReferenceValue, "float" | "width">,
    to: PerTensorQParams,
    owner: NodeOwner,
    name: string = from.float,
    after?: string,
  ): ReferenceValue {
    const { float, width } = from;
    const node: GraphNode = {
      name: `${name}.quantize`,
      op: "quantize",
      inputs: [float],
      width,
      ...owner,
      ...to,
    };
    const integers = this.add(node, after);
    const value = { float, integers, width, qparams: to };
    return this.dequantize(value, owner, name, after === undefined ? undefined : integers);
  }

  /** An operation, and the pair on its output where that is quantized. */
  operation(
    node: Omit<GraphNode, "dtype">,
    owner: NodeOwner,
    to: PerTensorQParams | null,
  ): ReferenceValue {
    const name = this.add({
      ...node,
      ...owner,
      dtype: "float32",
      ...(to === null ? { float: true } : {}),
    });
    const { width } = node;
    if (to === null) return { float: name, integers: null, width, qparams: null };
    return this.pair({ float: name, width }, to, owner);
  }

  /**
   * A value in the parameters that a module takes it in: requantized where they are not its own.
   */
  convert(
    value: ReferenceValue,
    to: PerTensorQParams | null,
    owner: NodeOwner,
    name: string,
  ): ReferenceValue {
    if (to === null || (value.qparams !== null && sameQParams(value.qparams, to))) return value;
    return this.pair(value, to, owner, name);
  }

  /** The nodes, but for dequantizes that nobody reads. */
  finish(): readonly GraphNode[] {
    const read = new Set(this.nodes.flatMap(({ inputs }) => inputs));
    return this.nodes.filter(({ name, op }) => op !== "dequantize" || read.has(name));
  }
}
