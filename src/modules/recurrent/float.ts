/**
 * Shared by float recurrent modules: layers and directions of cells, their tensors by PyTorch's
 * names, and running whole sequences.
 *
 * @module
 */
import { type FloatKernels, withFloatKernels } from "../../../kernels/float/kernels.ts";
import type { FloatCellWeights } from "../../cells/float_executor.ts";
import type { Cell } from "../../cells/cell.ts";
import { checkBoolean, checkFinite, checkInteger } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { MAX_SIZE, parameter } from "../../core/check.ts";
import { generatorOf, type Seed } from "../../core/generator.ts";
import { Module } from "../module.ts";
import { planSequence, type RecurrentForwardOptions, type SequencePlan } from "./sequence.ts";

/**
 * Options that all recurrent modules have. torch's dropout is not supported.
 *
 * @example
 * ```ts
 * import { GRU, LSTM } from "@splitgate/splitgate";
 * import type { RecurrentOptions } from "@splitgate/splitgate/modules";
 * const options: RecurrentOptions = { inputSize: 2, hiddenSize: 8, numLayers: 2 };
 * const either = (gru: boolean) => gru ? new GRU(options) : new LSTM(options);
 * either(true);
 * ```
 */
export interface RecurrentOptions {
  /** Width of a step of x. */
  readonly inputSize: number;
  /** Width of each gate, and of the hidden state. */
  readonly hiddenSize: number;
  /** Number of layers; 1 by default. */
  readonly numLayers?: number;
  /** Whether cells have biases; true by default. */
  readonly bias?: boolean;
  /** Whether x and y are [batch, steps, ...] rather than [steps, batch, ...]; false by default. */
  readonly batchFirst?: boolean;
  /** Whether there is a backward direction, too; false by default. */
  readonly bidirectional?: boolean;
  /** Where the initial weights come from; 0 by default. */
  readonly seed?: Seed;
}

/** The names of {@linkcode RecurrentOptions}. */
export const RECURRENT_OPTIONS: readonly string[] = [
  "inputSize",
  "hiddenSize",
  "numLayers",
  "bias",
  "batchFirst",
  "bidirectional",
  "seed",
];

/** Runs the step at a row of a cell's inputs and replaces its states, [width] each. */
export type FloatStep = (row: number, states: readonly Float32Array[]) => void;

/** All rows that a cell reads. */
export interface CellRows {
  /** [count, width] */
  readonly data: Float32Array;
  readonly count: number;
  readonly width: number;
}

/** Makes the steps of a cell, of operators that the kernels make. */
export type FloatSteps<W> = (cell: W, rows: CellRows, kernels: FloatKernels) => FloatStep;

/**
 * A float recurrent module: any number of layers in one or both directions.
 *
 * @example
 * ```ts
 * import { GRU, LSTM } from "@splitgate/splitgate";
 * import type { FloatRecurrent } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const inputWeights = ({ cells }: FloatRecurrent) =>
 *   cells.flat().reduce((sum, { weightIh }) => sum + weightIh.length, 0);
 * assertEquals(inputWeights(new LSTM({ inputSize: 2, hiddenSize: 3 })), 4 * 3 * 2);
 * assertEquals(inputWeights(new GRU({ inputSize: 2, hiddenSize: 3 })), 3 * 3 * 2);
 * ```
 */
export abstract class FloatRecurrent<W extends FloatCellWeights = FloatCellWeights> extends Module {
  /** Width of a step of x. */
  readonly inputSize: number;
  /** Width of each gate, and of the hidden state unless it is projected. */
  readonly hiddenSize: number;
  /** Number of layers; each reads the outputs of all directions of the previous one. */
  readonly numLayers: number;
  /** Whether each cell has biasIh and biasHh; if not they are null. */
  readonly bias: boolean;
  /**
   * Whether x and y are [batch, steps, ...] rather than [steps, batch, ...]; states are not
   * affected.
   */
  readonly batchFirst: boolean;
  /** Whether each layer also has a backward direction. */
  readonly bidirectional: boolean;
  /** The weights of each layer and direction (forward, backward). */
  abstract readonly cells: readonly (readonly W[])[];

  /**
   * Checks the sizes; subclasses make the cells.
   *
   * @throws {TypeError | RangeError} If an option is wrong; the names have been checked already.
   */
  constructor(options: RecurrentOptions) {
    super();
    const { numLayers = 1, bias = true, batchFirst = false, bidirectional = false } = options;
    this.inputSize = checkInteger("inputSize", options.inputSize, 1, MAX_SIZE);
    this.hiddenSize = checkInteger("hiddenSize", options.hiddenSize, 1, MAX_SIZE);
    this.numLayers = checkInteger("numLayers", numLayers, 1, MAX_SIZE);
    this.bias = checkBoolean("bias", bias);
    this.batchFirst = checkBoolean("batchFirst", batchFirst);
    this.bidirectional = checkBoolean("bidirectional", bidirectional);
  }

  /** The dataflow of its cells. @internal */
  abstract get cell(): Cell;

  /** Rows of weightIh and weightHh. @internal */
  get rows(): number {
    return this.cell.gates.length * this.hiddenSize;
  }

  /** Width of the hidden state. @internal */
  get stateSize(): number {
    return this.hiddenSize;
  }

  /** 2 if bidirectional, else 1. */
  get numDirections(): number {
    return this.bidirectional ? 2 : 1;
  }

  /** Width of y: the width of the hidden state times the number of directions. */
  get outputSize(): number {
    return this.stateSize * this.numDirections;
  }

  /**
   * Weights of all cells, uniform in ±1/sqrt(hiddenSize) with the bits that torch.manual_seed
   * gives.
   *
   * @param rest Further tensors of a cell, initialized after the others as in PyTorch.
   */
  protected makeCells<R>(
    seed: Seed,
    rest: (make: (name: string, shape: readonly number[]) => Float32Array) => R,
  ): (Required<Omit<FloatCellWeights, "weightHr">> & R)[][] {
    const generator = generatorOf(seed);
    const { rows } = this;
    const bound = 1 / Math.sqrt(this.hiddenSize);
    const make = (name: string, shape: readonly number[]) => {
      const data = parameter(name, shape);
      generator.uniform(data, -bound, bound);
      return data;
    };
    return Array.from(
      { length: this.numLayers },
      (_, layer) =>
        Array.from({ length: this.numDirections }, () => ({
          weightIh: make("weightIh", [rows, layer === 0 ? this.inputSize : this.outputSize]),
          weightHh: make("weightHh", [rows, this.stateSize]),
          biasIh: this.bias ? make("biasIh", [rows]) : null,
          biasHh: this.bias ? make("biasHh", [rows]) : null,
          ...rest(make),
        })),
    );
  }

  /**
   * `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` (and `weight_hr_l0` where the hidden
   * state is projected), the same with `_reverse`, and so on.
   */
  override stateDict(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    const { rows, stateSize } = this;
    this.cells.forEach((layer, l) =>
      layer.forEach((cell, d) => {
        const suffix = d === 0 ? `_l${l}` : `_l${l}_reverse`;
        const set = (name: string, data: Float32Array | null | undefined, shape: number[]) => {
          if (data != null) tensors.set(`${name}${suffix}`, { data, shape });
        };
        set("weight_ih", cell.weightIh, [rows, l === 0 ? this.inputSize : this.outputSize]);
        set("weight_hh", cell.weightHh, [rows, stateSize]);
        set("bias_ih", cell.biasIh, [rows]);
        set("bias_hh", cell.biasHh, [rows]);
        set("weight_hr", cell.weightHr, [stateSize, this.hiddenSize]);
      })
    );
    return tensors;
  }

  /**
   * Runs a batch of sequences, step by step and row by row.
   *
   * @internal
   */
  protected runSequence(
    x: Tensor,
    state: readonly Tensor[] | undefined,
    options: RecurrentForwardOptions,
    stepsOf: FloatSteps<W>,
  ): [y: Tensor, states: { data: Float32Array; shape: readonly number[] }[]] {
    const plan = planSequence(this, x, state, options);
    const { steps, batch } = plan;
    return withFloatKernels(steps * batch, (kernels) => this.#run(x, plan, stepsOf, kernels));
  }

  #run(
    x: Tensor,
    { steps, batch, lengths, states }: SequencePlan,
    stepsOf: FloatSteps<W>,
    kernels: FloatKernels,
  ): [y: Tensor, states: { data: Float32Array; shape: readonly number[] }[]] {
    const { outputSize, numDirections, batchFirst, stateSize: width } = this;
    const stepRows = batchFirst ? 1 : batch;
    const batchRows = batchFirst ? steps : 1;
    let from = x.data;
    let size = this.inputSize;
    this.cells.forEach((layer, l) => {
      const to = new Float32Array(steps * batch * outputSize);
      layer.forEach((cell, d) => {
        const rows = { data: from, count: steps * batch, width: size };
        const step = stepsOf(cell, rows, kernels);
        for (let b = 0; b < batch; b++) {
          const at = (l * numDirections + d) * batch + b;
          const length = lengths === null ? steps : lengths[b]!;
          const own = states.map(({ data, shape }) => {
            const each = shape[shape.length - 1]!;
            return data.subarray(at * each, (at + 1) * each);
          });
          for (let i = 0; i < length; i++) {
            const row = (d === 0 ? i : length - 1 - i) * stepRows + b * batchRows;
            step(row, own);
            to.set(own[0]!, row * outputSize + d * width);
          }
        }
      });
      from = to;
      size = outputSize;
    });
    checkFinite("y", from);
    return [{ data: from, shape: [...x.shape.slice(0, -1), outputSize] }, [...states]];
  }
}
