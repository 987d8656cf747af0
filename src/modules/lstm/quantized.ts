/**
 * The quantized LSTM.
 *
 * @module
 */
import type { CellActivation, CellFunctions, GateActivation } from "../../../kernels/float/lstm.ts";
import { checkCellFunctions } from "../../cells/functions.ts";
import type { Cell } from "../../cells/cell.ts";
import { lstmCell } from "../../cells/lstm_parts.ts";
import { failType } from "../../core/errors.ts";
import { dynamicLSTM } from "../../runtime/kinds/dynamic_lstm.ts";
import { lstm } from "../../runtime/kinds/lstm.ts";
import type { ForwardTensor } from "../kind.ts";
import { forwardRecurrent, type QuantizedForwardOptions } from "../recurrent/forward.ts";
import { QuantizedRecurrent, type QuantizedRecurrentOptions } from "../recurrent/quantized.ts";
import type { LSTMModule, QuantizedLSTMCell } from "./data.ts";
import { lowerDynamicLSTM, lowerLSTM } from "./lower.ts";

/** Constructor data of {@linkcode QuantizedLSTM}. */
export interface QuantizedLSTMOptions
  extends QuantizedRecurrentOptions<QuantizedLSTMCell>, Partial<CellFunctions> {
  /** Width of the projected hidden state; 0, the default, where it is not projected. */
  readonly projSize?: number;
}

/** Output, and the final hidden and cell state. */
export type QuantizedLSTMForwardResult = readonly [
  ForwardTensor,
  readonly [ForwardTensor, ForwardTensor],
];

/**
 * An LSTM of integers: int8 weights, and qparams of its own for every part of every cell.
 *
 * @example
 * ```ts
 * import { convert, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../../qconfig/qconfig.ts";
 * import { QuantizedLSTM } from "./quantized.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]);
 * observed.forward(x);
 * const lstm = convert(observed).modules.get("lstm") as QuantizedLSTM;
 * const [output, [h]] = lstm.forward(x);
 * assertEquals([output.shape, h.shape], [[2, 1, 3], [1, 1, 3]]);
 * ```
 */
export class QuantizedLSTM extends QuantizedRecurrent<QuantizedLSTMCell> implements LSTMModule {
  /** Name of the kind. */
  readonly kind = "LSTM";
  /** Width of the projected hidden state; 0 where it is not projected. */
  readonly projSize: number;
  /** Function of the input, forget and output gate; slope and offset are float32 values. */
  readonly gateActivation: GateActivation;
  /** Function of the cell gate. */
  readonly activation: CellActivation;
  /** Function of the cell state on its way to the hidden state. */
  readonly cellActivation: CellActivation;

  /**
   * Checks cells and parameters and keeps them; arrays are copied.
   *
   * @throws {TypeError} If a weight is no Int8Array, or a function none.
   * @throws {RangeError} If there is no such function, the number of cells, a weight's shape, a
   * scale, zero point or bias is wrong, or the LSTM is dynamic and projects its hidden state, or
   * has parameters for its input or a part.
   */
  constructor(options: QuantizedLSTMOptions) {
    super(options);
    this.projSize = options.projSize ?? 0;
    const functions = checkCellFunctions(options);
    this.gateActivation = functions.gateActivation;
    this.activation = functions.activation;
    this.cellActivation = functions.cellActivation;
    this.check();
  }

  /** The dataflow of its cells. @internal */
  override get cell(): Cell {
    return lstmCell(this.projSize > 0, this);
  }

  /**
   * Runs a sequence, as torch.ao.nn.quantized.LSTM.
   *
   * @param x [steps, batch, inputSize], [batch, steps, inputSize] where batchFirst, or [steps,
   * inputSize] without a batch. A quantized tensor keeps its own parameters; floats are quantized
   * to the LSTM's `input`, or stay floats where that is null.
   * @param state Initial h [layers * directions, batch, hiddenSize or projSize] and c [..,
   * hiddenSize], without the batch where x has none. Quantized tensors keep their parameters for
   * the first step; floats are quantized to `stateInput`, or to each cell's own where that has
   * none. Zeros by default.
   * @returns Output as wide as all directions, in the first one's parameters, as torch.cat keeps
   * them; and the final h and c. Where `torchInitialState`, these have the first cell's parameters,
   * as torch.stack keeps them, so that larger values of other cells saturate. Otherwise they are
   * float32 where the cells' parameters differ, so that nothing is lost.
   * @throws {TypeError} If an argument is of the wrong kind, or quantized where the LSTM is
   * dynamic.
   * @throws {RangeError} If a shape, length or value is wrong, or qnnpack cannot add with the
   * parameters.
   */
  forward(
    x: ForwardTensor,
    state?: readonly [ForwardTensor, ForwardTensor],
    options: QuantizedForwardOptions = {},
  ): QuantizedLSTMForwardResult {
    if (state !== undefined && !Array.isArray(state)) {
      failType("state", "an array of the hidden and the cell state", state);
    }
    const lowered = this.dynamic
      ? { lower: () => lowerDynamicLSTM(this), running: dynamicLSTM }
      : { lower: lowerLSTM, running: lstm };
    const [y, [h, c]] = forwardRecurrent(this as LSTMModule, lowered, x, state, options);
    return [y, [h!, c!]];
  }
}
