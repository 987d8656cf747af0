/**
 * A quantized recurrent module as plain data.
 *
 * @module
 */
import type { EmbeddingTable } from "../../../kernels/ops/embedding.ts";
import type { Engine } from "../../../kernels/ops/linear.ts";
import type { Cell } from "../../cells/cell.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { Port } from "../../runtime/kind.ts";
import type { QuantizedModule } from "../kind.ts";
import { IMPLICIT_STATE, type QuantizedCell, stateQParams } from "./cell.ts";

/** Quantized cells: int8 weights, and qparams for every part of every cell. */
export interface RecurrentModule extends QuantizedModule {
  /** Width of a step of the input. */
  readonly inputSize: number;
  /** Width of each gate, and of the hidden state unless projSize narrows it. */
  readonly hiddenSize: number;
  /** Width of the projected hidden state; 0 or absent where it is not projected. */
  readonly projSize?: number;
  /** Number of layers. */
  readonly numLayers: number;
  /** Whether cells have biases. */
  readonly bias: boolean;
  /** Whether `forward` and sessions take and give [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Whether each layer has a backward direction: then it runs whole sequences only. */
  readonly bidirectional: boolean;
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Whether it runs with split gates by default. The results are the same. */
  readonly splitGates: boolean;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /**
   * Whether, as in torch, an implicit initial state has scale 1 and zero point 0 and final states
   * have the first cell's parameters; otherwise every state has its own cell's.
   */
  readonly torchInitialState: boolean;
  /**
   * Parameters with which `forward` quantizes float32 initial states, in the cell's order; null for
   * each cell's own. Absent if all are null.
   */
  readonly stateInput?: readonly (PerTensorQParams | null)[];
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly QuantizedCell[])[];
  /**
   * Whether inputs and hidden states are quantized at each call, by their own range. Then all parts
   * are null.
   */
  readonly dynamic?: boolean;
  /** The dataflow of its cells. */
  readonly cell: Cell;
}

/** Sizes of a recurrent module in any form. */
export type StateSizes = Pick<RecurrentModule, "hiddenSize" | "projSize">;

/** Width of a module's hidden state. */
export function stateSize({ hiddenSize, projSize }: StateSizes): number {
  return projSize || hiddenSize;
}

/** Widths of the states, in the cell's order. */
export function stateSizes(sizes: StateSizes & Pick<RecurrentModule, "cell">): number[] {
  return sizes.cell.states.map((_, i) => i === 0 ? stateSize(sizes) : sizes.hiddenSize);
}

/** Parses PyTorch's name of a layer and direction, `l0` or `l0_reverse`. */
export function cellIndices(cell: string): readonly [layer: number, direction: number] {
  const [, layer, reverse] = /^l(\d+)(_reverse)?$/.exec(cell)!;
  return [Number(layer), reverse === undefined ? 0 : 1];
}

/** PyTorch's name of a layer and direction. */
export function cellName(layer: number, direction: number): string {
  return `l${layer}${direction === 1 ? "_reverse" : ""}`;
}

/** A module to be lowered, and its inputs. */
export interface RecurrentSource<M extends RecurrentModule = RecurrentModule> {
  /** The module. */
  readonly module: M;
  /** Parameters of the input; null where it is float32. */
  readonly input: PerTensorQParams | null;
  /** A table to fold into the first layer, whose input is then token ids. */
  readonly tokens: EmbeddingTable | null;
  /**
   * Parameters of the states at a row's first step: null for those of the running state; undefined
   * for those of the module's implicit initial state.
   */
  readonly initial?: readonly (PerTensorQParams | null)[] | undefined;
}

/** The parameters that a cell's states have at a row's first step, in the cell's order. */
export function initialQParams(
  { module, initial }: Pick<RecurrentSource, "module" | "initial">,
  cell: QuantizedCell,
): (PerTensorQParams | null)[] {
  const implicit = module.torchInitialState ? IMPLICIT_STATE : null;
  return module.cell.states.map((_, i) =>
    (initial === undefined ? implicit : initial[i]) ?? stateQParams(module.cell, cell, i)
  );
}

/** Inputs and outputs of a module. */
export function recurrentEnds(
  module: RecurrentModule,
): { inputs: readonly Port[]; output: Port } {
  const { inputSize, input, cell, cells } = module;
  const last = cells[cells.length - 1]!;
  return {
    inputs: [{ size: inputSize, qparams: input }],
    output: { size: stateSize(module) * last.length, qparams: stateQParams(cell, last[0]!) },
  };
}
