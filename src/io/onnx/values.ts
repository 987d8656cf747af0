/**
 * The importer's knowledge about each tensor of an ONNX graph: constants, sizes, and outputs of
 * modules with the meaning of their axes; and the planned modules.
 *
 * @module
 */
import type { CellFunctions } from "../../../kernels/float/lstm.ts";
import type { Module } from "../../modules/module.ts";
import { ONE, same, type Size, times } from "./sizes.ts";

/** Meaning of an axis, or of a part of one. */
export type Role = "batch" | "time" | "features";

/**
 * An indivisible part of an axis: `[steps, 2, batch, hidden]` reshaped to `[steps, 2 * batch,
 * hidden]` has an axis of two atoms. Equal axes of different values share their atoms, so that the
 * role of an atom is known for all of them.
 */
export interface Atom {
  readonly size: Size;
  /** Undefined until a node determines it. */
  role: Role | undefined;
}

/** A constant: numbers in the file, or computed from those. */
export interface Constant {
  readonly kind: "constant";
  readonly shape: readonly number[];
  /** Row-major; integers of 64 bits as float64. */
  readonly data: Float32Array | Float64Array | Int32Array | Int8Array | Uint8Array;
  /** The initializer's name, if it is one. */
  readonly name: string | null;
}

/** A vector of sizes, or a single size, such as Shape's result. */
export interface Sizes {
  readonly kind: "sizes";
  readonly sizes: readonly Size[];
  /** Whether it is a single size, without an axis. */
  readonly scalar: boolean;
}

/** A constant with the same number in every element. */
export interface Fill {
  readonly kind: "fill";
  readonly shape: readonly Size[];
  readonly value: number;
}

/** A state of one layer and direction. */
export interface StatePiece {
  readonly part: Part;
  readonly slot: "h" | "c";
  readonly direction: number;
}

/** A reason why a flow is not just its part's output. */
export type Mark =
  /** Rounded by QuantizeLinear; to be dequantized with the same parameters. */
  | { readonly kind: "quantized"; readonly scale: Constant }
  /** Rounded by DynamicQuantizeLinear. */
  | { readonly kind: "dynamic"; readonly id: object }
  /** A product of integers, to be multiplied by DynamicQuantizeLinear's scale. */
  | { readonly kind: "unscaled"; readonly id: object }
  /** Rows of a table of integers, to be dequantized. */
  | { readonly kind: "table" }
  /** Only some directions of a state, or a cell state. */
  | { readonly kind: "state" };

/** A module's output, or the model's input. */
export interface Flow {
  readonly kind: "flow";
  /** The part that computes it; null for the model's input. */
  readonly part: Part | null;
  /** Its axes; an axis without atoms has size 1. */
  readonly dims: readonly (readonly Atom[])[];
  /**
   * The atoms of its features, in the part's order; null for those of the model's input, which are
   * determined by its readers.
   */
  readonly features: readonly Atom[] | null;
  readonly mark?: Mark;
  /**
   * Whether its features are the second half of the part's: for backward-only nodes, whose modules
   * are bidirectional.
   */
  readonly backward?: boolean;
  /** The final states that it holds, if any. */
  readonly pieces?: readonly StatePiece[];
}

/** Final states of several layers, concatenated on the first axis. */
export interface States {
  readonly kind: "states";
  readonly pieces: readonly StatePiece[];
  readonly flows: readonly Flow[];
  /** Directions of a layer, if layers and directions are separate axes. */
  readonly perLayer?: number;
}

/** Rows of a graph input with initial states, one a layer and direction. */
export interface InitialState {
  readonly kind: "initial";
  readonly input: string;
  readonly rows: readonly number[];
  /** Its last size; null if unknown. */
  readonly width: number | null;
}

/** A graph input with sequence lengths. */
export interface Lengths {
  readonly kind: "lengths";
  readonly input: string;
}

/** DynamicQuantizeLinear's scale times a constant, or its zero point. */
export interface DynamicScale {
  readonly kind: "scale" | "zero point";
  readonly id: object;
  readonly factor: Constant | null;
}

/** A Linear that can still change, for instance by a bias added after it. */
export interface LinearPart {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** [outFeatures, inFeatures] */
  readonly weight: Float32Array;
  bias: Float32Array | null;
}

/** The weights of a cell, gates in PyTorch's order. */
export interface CellWeights {
  readonly weightIh: Float32Array;
  readonly weightHh: Float32Array;
  readonly biasIh: Float32Array | null;
  readonly biasHh: Float32Array | null;
}

/** Source of a layer's initial state: a graph input, the file, or zeros. */
export type Initial = InitialState | Constant | null;

/** A recurrent module of one layer, or of several joined ones. */
export interface RecurrentPart {
  readonly kind: "LSTM" | "GRU";
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly bidirectional: boolean;
  /** Its other options, except the layout. */
  readonly options: Partial<CellFunctions> & { readonly resetAfter?: boolean };
  /** By layer and direction. */
  readonly cells: readonly (readonly CellWeights[])[];
  /** By slot and layer. */
  readonly initial: Readonly<Record<"h" | "c", readonly Initial[]>>;
}

/** A planned module. */
export interface Part {
  /** Its name, if that is free. */
  name: string;
  /** Its inputs; null for the model's input. */
  reads: readonly (Part | null)[];
  /** Set if it is a Linear. */
  readonly linear?: LinearPart;
  /** Set if it is an Embedding: its rows, which may be integers until their scale is known. */
  readonly table?: { table: Constant; scale: Constant | null };
  /** Set if it is recurrent. */
  recurrent?: RecurrentPart;
  /** Makes it, if it is none of these. */
  make?(batchFirst: boolean): Module;
}

/** The importer's knowledge about a tensor. */
export type OnnxValue =
  | Constant
  | Sizes
  | Fill
  | Flow
  | States
  | InitialState
  | Lengths
  | DynamicScale;

/** A new atom with a meaning. */
export function atom(size: Size, role?: Role): Atom {
  return { size, role };
}

/** The size of an axis. */
export function dimSize(dim: readonly Atom[]): Size {
  return times(...dim.map(({ size }) => size));
}

/** Whether a size is 1. */
export function isOne(size: Size): boolean {
  return same(size, ONE);
}

/** Whether two axes have the same atoms in the same order, ignoring those of size 1. */
export function sameAtoms(a: readonly Atom[], b: readonly Atom[]): boolean {
  const [x, y] = [a, b].map((atoms) => atoms.filter(({ size }) => !isOne(size)));
  return x!.length === y!.length && x!.every((each, i) => each === y![i]);
}

/** The atoms of an axis that have a role. */
export function withRole(dim: readonly Atom[], role: Role): readonly Atom[] {
  return dim.filter((each) => each.role === role);
}
