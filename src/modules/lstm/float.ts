/**
 * The float LSTM.
 *
 * @module
 */
import {
  type CellActivation,
  type CellFunctions,
  floatCellFunctions,
  floatLSTMScratch,
  type GateActivation,
  lstmStepFloat32,
  type LSTMWeights,
} from "../../../kernels/float/lstm.ts";
import { checkCellFunctions, FUNCTION_OPTIONS } from "../../cells/functions.ts";
import { checkBoolean, checkFinite, checkInteger } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { checkOptions, MAX_SIZE, parameter } from "../../core/check.ts";
import { generatorOf, type Seed } from "../../core/generator.ts";
import { Module } from "../module.ts";
import { type LSTMForwardOptions, planSequence } from "./sequence.ts";

export type { LSTMForwardOptions, LSTMWeights };

/** Options of {@linkcode LSTM}. torch's dropout is not supported. */
export interface LSTMOptions {
  /** Width of a step of x. */
  readonly inputSize: number;
  /** Width of the cell state, and of the hidden state unless projSize narrows it. */
  readonly hiddenSize: number;
  /** 1 by default. */
  readonly numLayers?: number;
  /** true by default. */
  readonly bias?: boolean;
  /** Whether x and y are [batch, steps, ...] rather than [steps, batch, ...]; false by default. */
  readonly batchFirst?: boolean;
  /** false by default. */
  readonly bidirectional?: boolean;
  /**
   * Width that the hidden state is projected to, below hiddenSize; 0, the default, does not
   * project.
   */
  readonly projSize?: number;
  /**
   * Function of the input, forget and output gate; "sigmoid" by default. "hardSigmoid" is
   * PyTorch's, clip(x / 6 + 0.5), which Keras 3 computes too; of Keras 2, and of ONNX's HardSigmoid
   * by default, it is clip(0.2 x + 0.5): { name: "hardSigmoid", slope: 0.2, offset: 0.5 }.
   */
  readonly gateActivation?: GateActivation;
  /**
   * Function of the cell gate, and of the cell state where nothing else is said; "tanh" by default.
   */
  readonly activation?: CellActivation;
  /** Function of the cell state on its way to the hidden state; `activation` by default. */
  readonly cellActivation?: CellActivation;
  /** Where the initial weights come from; 0 by default. */
  readonly seed?: Seed;
}

const OPTIONS = [
  "inputSize",
  "hiddenSize",
  "numLayers",
  "bias",
  "batchFirst",
  "bidirectional",
  "projSize",
  ...FUNCTION_OPTIONS,
  "seed",
];

/**
 * torch.nn.LSTM: any number of layers in one or both directions. Each operation of a cell is
 * rounded to float32; weights start uniform in ±1/sqrt(hiddenSize) with the bits that
 * torch.manual_seed(seed) gives. Its functions can be others than torch's, as in Keras and ONNX.
 *
 * @example
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, numLayers: 2, bidirectional: true });
 * const [y, [h, c]] = lstm.forward(tensor(new Float32Array(20), [5, 2, 2])); // 5 steps, batch 2
 * assertEquals([y.shape, h.shape, c.shape], [[5, 2, 6], [4, 2, 3], [4, 2, 3]]);
 * ```
 *
 * @example An LSTM of Keras 2, whose recurrent_activation was hard_sigmoid by default
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const gateActivation = { name: "hardSigmoid", slope: 0.2, offset: 0.5 } as const;
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, gateActivation });
 * assertEquals(lstm.cellActivation, "tanh");
 * ```
 */
export class LSTM extends Module implements CellFunctions {
  /** Tells modules apart. */
  override readonly kind = "LSTM";
  /** Width of a step of x. */
  readonly inputSize: number;
  /** Width of the cell state, and of the hidden state unless projSize narrows it. */
  readonly hiddenSize: number;
  /** Layers above each other; each later one reads the outputs of all directions below it. */
  readonly numLayers: number;
  /** Whether each cell has biasIh and biasHh; if not they are null. */
  readonly bias: boolean;
  /**
   * Whether x and y are [batch, steps, ...] rather than [steps, batch, ...]; states are not
   * affected.
   */
  readonly batchFirst: boolean;
  /** Whether each layer also reads the sequence from its end. */
  readonly bidirectional: boolean;
  /** Width that the hidden state is projected to; 0: not projected. */
  readonly projSize: number;
  /** Function of the input, forget and output gate; slope and offset are float32 values. */
  readonly gateActivation: GateActivation;
  /** Function of the cell gate. */
  readonly activation: CellActivation;
  /** Function of the cell state on its way to the hidden state. */
  readonly cellActivation: CellActivation;
  /** The weights of each layer and direction (forward, backward). */
  readonly cells: readonly (readonly LSTMWeights[])[];

  /**
   * Allocates the weights of all cells and fills them from the seed, in the order of `stateDict`.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind.
   * @throws {RangeError} If a size is no positive integer, projSize not in 0..hiddenSize - 1, there
   * is no such function, or a slope or offset is no number of float32.
   */
  constructor(options: LSTMOptions) {
    super();
    checkOptions("options", options, OPTIONS);
    const {
      numLayers = 1,
      bias = true,
      batchFirst = false,
      bidirectional = false,
      projSize = 0,
      seed = 0,
    } = options;
    this.inputSize = checkInteger("inputSize", options.inputSize, 1, MAX_SIZE);
    this.hiddenSize = checkInteger("hiddenSize", options.hiddenSize, 1, MAX_SIZE);
    this.numLayers = checkInteger("numLayers", numLayers, 1, MAX_SIZE);
    this.projSize = checkInteger("projSize", projSize, 0, this.hiddenSize - 1);
    this.bias = checkBoolean("bias", bias);
    this.batchFirst = checkBoolean("batchFirst", batchFirst);
    this.bidirectional = checkBoolean("bidirectional", bidirectional);
    const functions = checkCellFunctions(options);
    this.gateActivation = functions.gateActivation;
    this.activation = functions.activation;
    this.cellActivation = functions.cellActivation;
    const generator = generatorOf(seed);
    const { hiddenSize } = this;
    const rows = 4 * hiddenSize;
    const bound = 1 / Math.sqrt(hiddenSize);
    const make = (name: string, shape: readonly number[]) => {
      const data = parameter(name, shape);
      generator.uniform(data, -bound, bound);
      return data;
    };
    this.cells = Array.from(
      { length: this.numLayers },
      (_, layer) =>
        Array.from({ length: this.numDirections }, () => ({
          weightIh: make("weightIh", [rows, layer === 0 ? this.inputSize : this.outputSize]),
          weightHh: make("weightHh", [rows, projSize || hiddenSize]),
          biasIh: bias ? make("biasIh", [rows]) : null,
          biasHh: bias ? make("biasHh", [rows]) : null,
          weightHr: projSize > 0 ? make("weightHr", [projSize, hiddenSize]) : null,
        })),
    );
  }

  /** 2 if bidirectional, else 1. */
  get numDirections(): number {
    return this.bidirectional ? 2 : 1;
  }

  /** Width of y: the width of the hidden state times the number of directions. */
  get outputSize(): number {
    return (this.projSize || this.hiddenSize) * this.numDirections;
  }

  /**
   * `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_hr_l0`, the same with
   * `_reverse`, and so on.
   */
  override stateDict(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    const rows = 4 * this.hiddenSize;
    const width = this.projSize || this.hiddenSize;
    this.cells.forEach((layer, l) =>
      layer.forEach((cell, d) => {
        const suffix = d === 0 ? `_l${l}` : `_l${l}_reverse`;
        const shape = [rows, l === 0 ? this.inputSize : this.outputSize];
        tensors.set(`weight_ih${suffix}`, { data: cell.weightIh, shape });
        tensors.set(`weight_hh${suffix}`, { data: cell.weightHh, shape: [rows, width] });
        if (cell.biasIh !== null) {
          tensors.set(`bias_ih${suffix}`, { data: cell.biasIh, shape: [rows] });
        }
        if (cell.biasHh !== null) {
          tensors.set(`bias_hh${suffix}`, { data: cell.biasHh, shape: [rows] });
        }
        if (cell.weightHr !== null) {
          tensors.set(`weight_hr${suffix}`, {
            data: cell.weightHr,
            shape: [width, this.hiddenSize],
          });
        }
      })
    );
    return tensors;
  }

  /**
   * Runs a batch of sequences. With `lengths` each row gives the same bits as run alone without its
   * padding: outputs beyond a row's length are 0, its final state is that of its own last step, and
   * the backward direction starts there.
   *
   * @param x [steps, batch, inputSize], [batch, steps, inputSize] if batchFirst, or [steps,
   * inputSize] unbatched; all of it finite, padding too.
   * @param state h [numLayers * numDirections, batch, projSize or hiddenSize] and c [numLayers *
   * numDirections, batch, hiddenSize], without `batch` if unbatched; zeros by default.
   * @returns y, shaped as `x` with outputSize in place of inputSize, and the final h and c, shaped
   * as `state`.
   * @throws {TypeError} If a tensor is no float32 tensor or an option is unknown.
   * @throws {RangeError} If a shape does not fit, a dimension is 0, a value is not finite, or a
   * length out of range.
   */
  forward(
    x: Tensor,
    state?: readonly [Tensor, Tensor],
    options: LSTMForwardOptions = {},
  ): [y: Tensor, state: [h: Tensor, c: Tensor]] {
    const { inputSize, hiddenSize, outputSize, numDirections, batchFirst } = this;
    const plan = planSequence(this, x, state, options);
    const { steps, batch, lengths } = plan;
    const width = this.projSize || hiddenSize;
    const h = plan.h;
    const c = plan.c;
    const stepRows = batchFirst ? 1 : batch;
    const batchRows = batchFirst ? steps : 1;
    const scratch = floatLSTMScratch(hiddenSize);
    const functions = floatCellFunctions(this);
    let from = x.data;
    let size = inputSize;
    this.cells.forEach((layer, l) => {
      const to = new Float32Array(steps * batch * outputSize);
      layer.forEach((cell, d) => {
        for (let b = 0; b < batch; b++) {
          const at = (l * numDirections + d) * batch + b;
          const length = lengths === null ? steps : lengths[b]!;
          const hRow = h.subarray(at * width, (at + 1) * width);
          const cRow = c.subarray(at * hiddenSize, (at + 1) * hiddenSize);
          for (let i = 0; i < length; i++) {
            const row = (d === 0 ? i : length - 1 - i) * stepRows + b * batchRows;
            lstmStepFloat32(
              cell,
              size,
              hiddenSize,
              from,
              row * size,
              hRow,
              cRow,
              scratch,
              functions,
            );
            to.set(hRow, row * outputSize + d * width);
          }
        }
      });
      from = to;
      size = outputSize;
    });
    checkFinite("y", from);
    return [
      { data: from, shape: [...x.shape.slice(0, -1), outputSize] },
      [{ data: h, shape: plan.hShape }, { data: c, shape: plan.cShape }],
    ];
  }
}
