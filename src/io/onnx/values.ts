/**
 * What an importer knows of each tensor of an ONNX graph without running it: constants, sizes, and
 * values that a module gives, with what each of their axes means; and those modules, before they
 * are made.
 *
 * @module
 */
import type { CellFunctions } from "../../../kernels/float/lstm.ts";
import type { Module } from "../../modules/module.ts";
import { ONE, same, type Size, times } from "./sizes.ts";

/** What an axis, or a part of one, means. */
export type Role = "batch" | "time" | "features";

/**
 * A part of an axis that is never taken apart: `[steps, 2, batch, hidden]` reshaped to
 * `[steps, 2 * batch, hidden]` has an axis of two atoms. All values whose axes are the same have
 * the same atoms, so that what is learned of one is known of all.
 */
export interface Atom {
  readonly size: Size;
  /** Undefined where no node has said it yet. */
  role: Role | undefined;
}

/** Numbers that the file holds, or that follow from those. */
export interface Constant {
  readonly kind: "constant";
  readonly shape: readonly number[];
  /** Row-major; integers of 64 bits as float64. */
  readonly data: Float32Array | Float64Array | Int32Array | Int8Array | Uint8Array;
  /** The initializer's name, where it is one. */
  readonly name: string | null;
}

/** A vector of sizes, or one size: what Shape gives. */
export interface Sizes {
  readonly kind: "sizes";
  readonly sizes: readonly Size[];
  /** Whether it has no axis: then it is one size. */
  readonly scalar: boolean;
}

/** One number in every element. */
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

/** What keeps a flow from being read as what its part gives. */
export type Mark =
  /** Rounded by QuantizeLinear: to be taken back with the same parameters. */
  | { readonly kind: "quantized"; readonly scale: Constant }
  /** Rounded by DynamicQuantizeLinear. */
  | { readonly kind: "dynamic"; readonly id: object }
  /** A product of integers, to be multiplied by the scale of what DynamicQuantizeLinear read. */
  | { readonly kind: "unscaled"; readonly id: object }
  /** Rows of a table of integers, to be dequantized. */
  | { readonly kind: "table" }
  /** Only some directions of a state, or a cell state. */
  | { readonly kind: "state" };

/** What a module gives, or the model's input. */
export interface Flow {
  readonly kind: "flow";
  /** What gives it; null for the model's input. */
  readonly part: Part | null;
  /** Its axes; one without atoms has size 1. */
  readonly dims: readonly (readonly Atom[])[];
  /**
   * The atoms of its features, in the order in which the part gives them; null where those of the
   * model's input are meant, which are known when a node has read them.
   */
  readonly features: readonly Atom[] | null;
  readonly mark?: Mark;
  /**
   * Whether its features are the second half of what the part gives: of a node that runs backward
   * alone, whose module runs both ways.
   */
  readonly backward?: boolean;
  /** Final states that it holds, where it is one. */
  readonly pieces?: readonly StatePiece[];
}

/** Final states of several layers, one after the other on the first axis. */
export interface States {
  readonly kind: "states";
  readonly pieces: readonly StatePiece[];
  readonly flows: readonly Flow[];
  /** Pieces of a layer, where layers and directions are two axes. */
  readonly perLayer?: number;
}

/** Rows of an input of the graph that holds initial states, one a layer and direction. */
export interface InitialState {
  readonly kind: "initial";
  readonly input: string;
  readonly rows: readonly number[];
  /** Its last size; null where the file does not say it. */
  readonly width: number | null;
}

/** The input of the graph that holds lengths of sequences. */
export interface Lengths {
  readonly kind: "lengths";
  readonly input: string;
}

/** The scale that DynamicQuantizeLinear found, times a constant; or its zero point. */
export interface DynamicScale {
  readonly kind: "scale" | "zero point";
  readonly id: object;
  readonly factor: Constant | null;
}

/** A Linear whose numbers can still change: a bias that is added behind it, say. */
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

/** Where a layer's initial state comes from: an input of the graph, the file, or zeros. */
export type Initial = InitialState | Constant | null;

/** A recurrent module of one layer, or of several that were joined. */
export interface RecurrentPart {
  readonly kind: "LSTM" | "GRU";
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly bidirectional: boolean;
  /** What else it is made with, but for the layout. */
  readonly options: Partial<CellFunctions> & { readonly resetAfter?: boolean };
  /** By layer and direction. */
  readonly cells: readonly (readonly CellWeights[])[];
  /** By slot and layer. */
  readonly initial: Readonly<Record<"h" | "c", readonly Initial[]>>;
}

/** A module to be. */
export interface Part {
  /** What it is called, if that is free. */
  name: string;
  /** What it reads; null for the model's input. */
  reads: readonly (Part | null)[];
  /** Set where it is a Linear. */
  readonly linear?: LinearPart;
  /** Set where it is an Embedding: its rows, which may be integers until their scale is known. */
  readonly table?: { table: Constant; scale: Constant | null };
  /** Set where it is recurrent. */
  recurrent?: RecurrentPart;
  /** Makes it, where it is neither. */
  make?(batchFirst: boolean): Module;
}

/** What a tensor of the graph is known to be. */
export type OnnxValue =
  | Constant
  | Sizes
  | Fill
  | Flow
  | States
  | InitialState
  | Lengths
  | DynamicScale;

/** A part of an axis of some meaning. */
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

/** Whether two axes hold the same atoms in the same order, not minding those of size 1. */
export function sameAtoms(a: readonly Atom[], b: readonly Atom[]): boolean {
  const [x, y] = [a, b].map((atoms) => atoms.filter(({ size }) => !isOne(size)));
  return x!.length === y!.length && x!.every((each, i) => each === y![i]);
}

/** The atoms of an axis that have a role. */
export function withRole(dim: readonly Atom[], role: Role): readonly Atom[] {
  return dim.filter((each) => each.role === role);
}
