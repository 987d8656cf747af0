/**
 * The builder with which kinds add to the reference graph: every operation in float32 between a
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
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type GraphNode } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const nodes: readonly GraphNode[] = convertToReference(observed).nodes;
 * const gate = nodes.find(({ name }) => name === "lstm.l0.forget_gate")!;
 * assertEquals([gate.op, gate.dtype, gate.width], ["sigmoid", "float32", 3]);
 * ```
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
   * The nodes it reads, which come before it. A state reads the node that computes the next step's
   * state, which comes after it.
   */
  readonly inputs: readonly string[];
  /** Dtype of its value; int32 for token ids. */
  readonly dtype: DType | "float32" | "int32";
  /** Scale, if dtype is a quantized one. */
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
  /** The part of the cell; unset for states, chunks, reads of x and nodes outside of cells. */
  readonly part?: string;
  /** The gate, if gates are split, or the gate that a chunk selects. */
  readonly gate?: number;
  /** Whether its output stays float32 because the configuration says so. */
  readonly float?: boolean;
  /** Weight of a linear. */
  readonly weight?: LinearWeight;
  /** Bias of a linear: float32 [outFeatures], or null. */
  readonly bias?: Float32Array | null;
  /** Constants of other operations, by name. */
  readonly constants?: Readonly<Record<string, unknown>>;
}

/**
 * A node's value: rows of its width. Only integers have qparams; float32 values and token ids have
 * none.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type GraphValue } from "@splitgate/splitgate/reference";
 * import { assert } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const dtypes = new Set<string>();
 * const look = ({ qparams }: GraphValue) => void dtypes.add(qparams?.dtype ?? "float32");
 * convertToReference(observed).run(x, { watch: (_node, value) => look(value) });
 * assert(dtypes.has("quint8") && dtypes.has("float32"));
 * ```
 */
export interface GraphValue {
  /** Row-major, the node's width last: float32, or integers of the dtype that `qparams` names. */
  readonly data: Float32Array | QArray;
  /** null for float32 and token ids. */
  readonly qparams: PerTensorQParams | null;
}

/** Layout of a sequence: the row of step t of batch row b. */
export interface Layout {
  /** Steps of the longest row. */
  readonly steps: number;
  /** Number of batch rows. */
  readonly batch: number;
  /** Whether it is row b * steps + t rather than t * batch + b. */
  readonly batchFirst: boolean;
  /** Steps of each batch row; null where all have `steps`. */
  readonly lengths: Int32Array | null;
}

/** An operation of the graph. */
export interface ReferenceOp {
  /** Number of inputs; null for two or more. */
  readonly inputs: number | null;
  /** Width from those of its inputs; a string describes a fault. */
  width(node: GraphNode, inputs: readonly number[]): number | string;
  /**
   * Computes its value in float32.
   *
   * @param inputs Rows of each input; an Int32Array for token ids.
   * @param weight A float weight that replaces the node's own; null: its own, dequantized.
   */
  compute(
    node: GraphNode,
    inputs: readonly (Float32Array | Int32Array)[],
    layout: Layout,
    weight: Float32Array | null,
  ): Float32Array;
  /** Whether it reads token ids. */
  readonly readsTokens?: boolean;
  /** Whether it has a weight that can be replaced by a float one. */
  readonly hasWeight?: boolean;
  /** The window that it moves over time, which may change the number of steps; absent for none. */
  window?(node: GraphNode): Window;
  /** Whether it reduces a sequence to one row. */
  readonly endsTime?: boolean;
  /** Whether it only rearranges its input, so that its output needs no q-dq pair. */
  readonly passes?: boolean;
}

/** Module, cell and part of a node. */
export type NodeOwner = Pick<GraphNode, "module" | "cell" | "part" | "gate">;

/**
 * A value: the node that gives it in float32, and the one that gives its integers if it is
 * quantized.
 */
export interface ReferenceValue {
  readonly float: string;
  readonly integers: string | null;
  /** Parameters of the integers that it was dequantized from, possibly through chunks. */
  readonly qparams: PerTensorQParams | null;
  readonly width: number;
}

/** A node during building: a state's input is only known later. */
export type DraftNode = { -readonly [K in keyof GraphNode]: GraphNode[K] };

/** Collects nodes. */
export class ReferenceBuilder {
  /** The nodes in order. */
  readonly nodes: DraftNode[] = [];

  /** Adds a node, at the end or after another one. */
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

  /** Adds an operation, with a pair on its output if that is quantized. */
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

  /** A value in the parameters of a module's input; requantized if they differ from its own. */
  convert(
    value: ReferenceValue,
    to: PerTensorQParams | null,
    owner: NodeOwner,
    name: string,
  ): ReferenceValue {
    if (to === null || (value.qparams !== null && sameQParams(value.qparams, to))) return value;
    return this.pair(value, to, owner, name);
  }

  /** The nodes without unread dequantizes. */
  finish(): readonly GraphNode[] {
    const read = new Set(this.nodes.flatMap(({ inputs }) => inputs));
    return this.nodes.filter(({ name, op }) => op !== "dequantize" || read.has(name));
  }
}
