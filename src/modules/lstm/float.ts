/**
 * The float LSTM.
 *
 * @module
 */
import {
  type CellActivation,
  type CellFunctions,
  floatCellFunctions,
  floatLSTMCell,
  type GateActivation,
  lstmLinears,
  lstmStepFloat32,
  type LSTMWeights,
} from "../../../kernels/float/lstm.ts";
import { checkCellFunctions, FUNCTION_OPTIONS } from "../../cells/functions.ts";
import type { Cell } from "../../cells/cell.ts";
import { lstmCell } from "../../cells/lstm_parts.ts";
import { checkInteger } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { checkOptions } from "../../core/check.ts";
import { FloatRecurrent, RECURRENT_OPTIONS, type RecurrentOptions } from "../recurrent/float.ts";
import type { RecurrentForwardOptions } from "../recurrent/sequence.ts";

export type { LSTMWeights };

/**
 * Options of {@linkcode LSTM}. torch's dropout is not supported.
 *
 * @example
 * ```ts
 * import { LSTM, type LSTMOptions, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: LSTMOptions = { inputSize: 2, hiddenSize: 3, numLayers: 2, bidirectional: true };
 * const [y] = new LSTM(options).forward(tensor(new Float32Array(10), [5, 1, 2]));
 * assertEquals(y.shape, [5, 1, 6]); // both directions beside each other
 * ```
 */
export interface LSTMOptions extends RecurrentOptions {
  /**
   * Width that the hidden state is projected to, below hiddenSize; 0, the default, does not
   * project.
   */
  readonly projSize?: number;
  /**
   * Function of the input, forget and output gate; "sigmoid" by default. "hardSigmoid" is PyTorch's
   * and Keras 3's clip(x / 6 + 0.5). For Keras 2 and ONNX's default, clip(0.2 x + 0.5), give {
   * name: "hardSigmoid", slope: 0.2, offset: 0.5 }.
   */
  readonly gateActivation?: GateActivation;
  /**
   * Function of the cell gate and, unless `cellActivation` is given, of the cell state; "tanh" by
   * default.
   */
  readonly activation?: CellActivation;
  /** Function of the cell state on its way to the hidden state; `activation` by default. */
  readonly cellActivation?: CellActivation;
}

/**
 * torch.nn.LSTM: any number of layers in one or both directions. Each operation of a cell is
 * rounded to float32; weights start uniform in ±1/sqrt(hiddenSize) with the same bits as after
 * torch.manual_seed(seed). Other functions than torch's are possible, as in Keras and ONNX.
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
export class LSTM extends FloatRecurrent<LSTMWeights> implements CellFunctions {
  /** Name of the kind. */
  override readonly kind = "LSTM";
  /** Width that the hidden state is projected to; 0: not projected. */
  readonly projSize: number;
  /** Function of the input, forget and output gate; slope and offset are float32 values. */
  readonly gateActivation: GateActivation;
  /** Function of the cell gate. */
  readonly activation: CellActivation;
  /** Function of the cell state on its way to the hidden state. */
  readonly cellActivation: CellActivation;
  /** The weights of each layer and direction (forward, backward). */
  override readonly cells: readonly (readonly LSTMWeights[])[];

  /**
   * Allocates the weights of all cells and fills them from the seed, in the order of `stateDict`.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind.
   * @throws {RangeError} If a size is no positive integer, projSize not in 0..hiddenSize - 1, there
   * is no such function, or a slope or offset is no number of float32.
   */
  constructor(options: LSTMOptions) {
    checkOptions("options", options, [...RECURRENT_OPTIONS, "projSize", ...FUNCTION_OPTIONS]);
    super(options);
    const { projSize = 0, seed = 0 } = options;
    this.projSize = checkInteger("projSize", projSize, 0, this.hiddenSize - 1);
    const functions = checkCellFunctions(options);
    this.gateActivation = functions.gateActivation;
    this.activation = functions.activation;
    this.cellActivation = functions.cellActivation;
    this.cells = this.makeCells(seed, (make) => ({
      weightHr: projSize > 0 ? make("weightHr", [projSize, this.hiddenSize]) : null,
    }));
  }

  /** The dataflow of its cells. @internal */
  override get cell(): Cell {
    return lstmCell(this.projSize > 0, this);
  }

  /** Width of the hidden state. @internal */
  override get stateSize(): number {
    return this.projSize || this.hiddenSize;
  }

  /**
   * Runs a batch of sequences. With `lengths` each row gives the same bits as run alone without its
   * padding: outputs beyond a row's length are 0, its final state is that of its own last step, and
   * the backward direction starts at that step.
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
    options: RecurrentForwardOptions = {},
  ): [y: Tensor, state: [h: Tensor, c: Tensor]] {
    const { hiddenSize } = this;
    const [y, [h, c]] = this.runSequence(
      x,
      state,
      options,
      (weights, rows, kernels) => {
        const cell = floatLSTMCell(hiddenSize, floatCellFunctions(this, kernels));
        const linears = lstmLinears(weights, rows.width, hiddenSize, kernels);
        // What reads x does not wait for other steps.
        const igates = new Float32Array(rows.count * 4 * hiddenSize);
        linears.ih(rows.data, 0, igates, 0, rows.count);
        return (row, states) => {
          lstmStepFloat32(cell, linears, igates, row * 4 * hiddenSize, states);
        };
      },
    );
    return [y, [h!, c!]];
  }
}
