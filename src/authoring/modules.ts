/**
 * What quantized modules are made of: plain data. The classes that add `forward` stand beside; sessions and the
 * model file need only this.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../kernels/ops/linear.ts";
import { copyArray } from "../../kernels/numeric/typed_array.ts";
import { failRange, isObject } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { LstmBackend, PreparedModule } from "../runtime/backend.ts";
import { hiddenQParams, type QuantizedLstmCell } from "../modules/lstm/cell.ts";
import type { Ends } from "../runtime/program.ts";

/** A linear layer with an int8 weight. */
export interface LinearModule {
  /** Tells modules apart. */
  readonly kind: "Linear";
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** int8 [outFeatures, inFeatures] */
  readonly weight: LinearWeight;
  /** [outFeatures] or null. */
  readonly bias: Float32Array | null;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /** Parameters of the output; null gives float32 output. */
  readonly output: PerTensorQParams | null;
  /** Whether the float32 input is quantized at each call, by its own range. `input` and `output` are null then. */
  readonly dynamic?: boolean;
  /** What runs it where it is dynamic. */
  readonly fallback?: (linear: LinearModule) => PreparedModule;
}

/** An embedding whose rows are 8-bit or 16-bit integers, or float32. Its output is float32. */
export interface EmbeddingModule {
  /** Tells modules apart. */
  readonly kind: "Embedding";
  /** [numEmbeddings, embeddingDim]: quint8, or 16-bit, with a scale and bias a row, or float32. */
  readonly weight: Uint8Array | Uint16Array | Float32Array;
  /** Rows: tokens are 0..numEmbeddings - 1. */
  readonly numEmbeddings: number;
  /** Width of a row. */
  readonly embeddingDim: number;
  /** One a row; empty for a float32 weight. */
  readonly scales: Float32Array;
  /** What q = 0 stands for, one a row; empty for a float32 weight. */
  readonly biases: Float32Array;
}

/** An LSTM of integers: int8 weights, and qparams of its own for every part of every cell. */
export interface LstmModule {
  /** Tells modules apart. */
  readonly kind: "LSTM";
  /** Width of a step of the input. */
  readonly inputSize: number;
  /** Width of the cell state, and of the hidden state unless projSize narrows it. */
  readonly hiddenSize: number;
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
  /** Layers above each other. */
  readonly numLayers: number;
  /** Whether cells have biases. */
  readonly bias: boolean;
  /** Whether `forward` and sessions take and give [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Whether each layer has a backward direction: then it runs whole sequences only. */
  readonly bidirectional: boolean;
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Whether it runs with split gates where nothing else is said. The results are the same. */
  readonly splitGates: boolean;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /**
   * Whether an implicit initial state has scale 1 and zero point 0 and final states the first cell's parameters, as in
   * torch, or all states those of their own cell.
   */
  readonly torchInitialState: boolean;
  /**
   * Parameters that `forward` quantizes a float32 initial h and c with; null for those of each cell's own state. Absent
   * where both are.
   */
  readonly stateInput?: readonly [h: PerTensorQParams | null, c: PerTensorQParams | null];
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly QuantizedLstmCell[])[];
  /** Whether inputs and hidden states are quantized at each call, by their own range. All parts are null then. */
  readonly dynamic?: boolean;
  /** What runs it where the fast step does not. */
  readonly fallback?: LstmBackend;
}

/** A module of a quantized model. */
export type ModuleData = EmbeddingModule | LinearModule | LstmModule;

/** A weight over arrays of its own. */
export function copyWeight<W extends LinearWeight | null>(weight: W): W {
  if (!isObject(weight)) return weight;
  const { data, scales, zeroPoints } = weight;
  return {
    ...weight,
    data: copyArray(data),
    scales: copyArray(scales),
    zeroPoints: copyArray(zeroPoints),
  };
}

/** Width of an LSTM's hidden state. */
export function stateSize({ hiddenSize, projSize }: LstmModule): number {
  return projSize || hiddenSize;
}

/** Rows of float32 input that a token stands for. */
export interface TokenRows {
  /** Rows: tokens are 0..count - 1. */
  readonly count: number;
  /** Writes row `token` [inputSize] into `out` from `offset` on. */
  read(token: number, out: Float32Array | Float64Array, offset: number): void;
}

/** An LSTM, and what it is to be lowered for. */
export interface LstmSource {
  /** The LSTM. */
  readonly module: LstmModule;
  /** Parameters of the input; null where it is float32. */
  readonly input: PerTensorQParams | null;
  /** Rows to fold into the first layer: its input is then token ids. */
  readonly tokens: TokenRows | null;
  /**
   * Parameters of h and c at a row's first step, null for those of the running state; undefined for what the LSTM
   * says of an implicit initial state.
   */
  readonly initial?: readonly [PerTensorQParams | null, PerTensorQParams | null] | undefined;
}

/**
 * Requires LSTMs of one model to agree on whether they are batchFirst, and gives that; false for none.
 *
 * @param lstms The LSTMs by name, in order.
 * @throws {RangeError} Naming the first that differs.
 */
export function commonBatchFirst(
  lstms: Iterable<readonly [name: string, lstm: { readonly batchFirst: boolean }]>,
): boolean {
  let first: readonly [string, boolean] | undefined;
  for (const [name, { batchFirst }] of lstms) {
    first ??= [name, batchFirst];
    if (batchFirst !== first[1]) {
      failRange(`${name}.batchFirst`, `${first[1]}, as that of ${first[0]}`, batchFirst);
    }
  }
  return first?.[1] ?? false;
}

/** The ends of a module. */
export function endsOf(module: ModuleData): Ends {
  if (module.kind === "Embedding") {
    return { inputSize: 1, outputSize: module.embeddingDim, input: null, output: null };
  }
  const { input } = module;
  if (module.kind === "Linear") {
    return {
      inputSize: module.weight.inFeatures,
      outputSize: module.weight.outFeatures,
      input,
      output: module.output,
    };
  }
  const { inputSize, cells } = module;
  const last = cells[cells.length - 1]!;
  return {
    inputSize,
    outputSize: stateSize(module) * last.length,
    input,
    output: hiddenQParams(last[0]!),
  };
}
