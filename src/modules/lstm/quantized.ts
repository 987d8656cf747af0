/**
 * The quantized LSTM.
 *
 * @module
 */
import type { CellActivation, CellFunctions, GateActivation } from "../../../kernels/float/lstm.ts";
import type { Engine } from "../../../kernels/ops/linear.ts";
import { checkCellFunctions } from "../../cells/functions.ts";
import { checkGiven, failRange, failType } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { copyArray } from "../../../kernels/numeric/typed_array.ts";
import { copyWeight } from "../copy.ts";
import { inputQParams } from "../forward.ts";
import type { ForwardTensor } from "../kind.ts";
import { hiddenQParams, type QuantizedLSTMCell } from "./cell.ts";
import { checkLSTM } from "./check.ts";
import { type LSTMModule, stateSize } from "./data.ts";
import {
  lstmForward,
  type QuantizedLSTMForwardOptions,
  type QuantizedLSTMForwardResult,
} from "./forward.ts";

/** What a {@linkcode QuantizedLSTM} is made of. */
export interface QuantizedLSTMOptions
  extends Omit<LSTMModule, "kind" | "projSize" | keyof CellFunctions>, Partial<CellFunctions> {
  /** Width of the projected hidden state; 0, the default, where it is not projected. */
  readonly projSize?: number;
}

/** Cells over arrays of their own. */
function copyCells(cells: LSTMModule["cells"]): LSTMModule["cells"] {
  if (!Array.isArray(cells) || !cells.every(Array.isArray)) {
    failType("cells", "an array of arrays", cells);
  }
  return cells.map((layer) =>
    layer.map((cell: QuantizedLSTMCell) => ({
      weightIh: copyWeight(cell.weightIh),
      weightHh: copyWeight(cell.weightHh),
      weightHr: copyWeight(cell.weightHr),
      biasIh: copyArray(cell.biasIh),
      biasHh: copyArray(cell.biasHh),
      parts: cell.parts,
    }))
  );
}

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
export class QuantizedLSTM implements LSTMModule {
  /** Tells modules apart. */
  readonly kind = "LSTM";
  /** Width of a step of the input. */
  readonly inputSize: number;
  /** Width of the cell state, and of the hidden state unless projSize narrows it. */
  readonly hiddenSize: number;
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
  readonly splitGates: boolean;
  readonly input: PerTensorQParams | null;
  readonly torchInitialState: boolean;
  declare readonly stateInput?: NonNullable<LSTMModule["stateInput"]>;
  readonly cells: readonly (readonly QuantizedLSTMCell[])[];
  readonly dynamic: boolean;
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
    checkGiven(options);
    this.inputSize = options.inputSize;
    this.hiddenSize = options.hiddenSize;
    this.projSize = options.projSize ?? 0;
    this.numLayers = options.numLayers;
    this.bias = options.bias;
    this.batchFirst = options.batchFirst;
    this.bidirectional = options.bidirectional;
    this.engine = options.engine;
    this.splitGates = options.splitGates;
    this.input = options.input;
    this.torchInitialState = options.torchInitialState;
    if (options.stateInput !== undefined) this.stateInput = options.stateInput;
    this.cells = copyCells(options.cells);
    this.dynamic = options.dynamic ?? false;
    const functions = checkCellFunctions(options);
    this.gateActivation = functions.gateActivation;
    this.activation = functions.activation;
    this.cellActivation = functions.cellActivation;
    this.#check();
  }

  #check(): void {
    const { cells, inputSize, hiddenSize, projSize, numLayers, bidirectional } = this;
    const size = stateSize(this);
    const directions = bidirectional ? 2 : 1;
    if (this.dynamic) {
      if (projSize > 0) failRange("projSize", "0, since the LSTM is dynamic", projSize);
      for (
        const given of [
          this.input,
          ...this.stateInput ?? [],
          ...cells.flat().flatMap(({ parts }) => Object.values(parts).flat()),
        ]
      ) {
        if (given !== null) failRange("parts", "null, since the LSTM is dynamic", given);
      }
    }
    if (cells.length !== numLayers) failRange("cells", `${numLayers} layers`, cells.length);
    cells.forEach((layer, l) => {
      if (layer.length !== directions) {
        failRange(`cells[${l}]`, `${directions} directions`, layer.length);
      }
      layer.forEach(({ weightIh, weightHh, weightHr, parts }, d) => {
        const width = l === 0 ? inputSize : size * directions;
        const fits = (
          name: string,
          rows: number,
          columns: number,
          weight: typeof weightIh | undefined,
        ): void => {
          const { outFeatures, inFeatures } = weight ?? {};
          if (outFeatures !== rows || inFeatures !== columns) {
            failRange(`cells[${l}][${d}].${name}`, `[${rows}, ${columns}]`, [
              outFeatures,
              inFeatures,
            ]);
          }
        };
        fits("weightIh", 4 * hiddenSize, width, weightIh);
        fits("weightHh", 4 * hiddenSize, size, weightHh);
        if ((weightHr !== null) !== projSize > 0 || (parts.proj !== undefined) !== projSize > 0) {
          failRange(
            `cells[${l}][${d}].weightHr`,
            projSize > 0 ? "a weight and the part proj" : "null",
            weightHr,
          );
        }
        if (weightHr !== null) fits("weightHr", projSize, hiddenSize, weightHr);
      });
    });
    checkLSTM("LSTM", this, this.input);
    if (this.stateInput !== undefined) checkLSTM("LSTM", this, this.input, this.stateInput);
  }

  /**
   * Parameters of the output: the last layer's hidden state, forward direction (torch.cat keeps the
   * first's).
   */
  get output(): PerTensorQParams | null {
    return hiddenQParams(this.cells[this.numLayers - 1]![0]!);
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
   * as torch.stack keeps them: larger values of other cells are cut off. Otherwise they are float32
   * where the cells' parameters differ, so that nothing is lost.
   * @throws {TypeError} If an argument is of the wrong kind, or quantized where the LSTM is
   * dynamic.
   * @throws {RangeError} If a shape, length or value is wrong, or qnnpack cannot add with the
   * parameters.
   */
  forward(
    x: ForwardTensor,
    state?: readonly [ForwardTensor, ForwardTensor],
    options: QuantizedLSTMForwardOptions = {},
  ): QuantizedLSTMForwardResult {
    if (this.dynamic) {
      for (const [i, tensor] of [x, ...(Array.isArray(state) ? state : [])].entries()) {
        const name = ["x", "h0", "c0"][i]!;
        const q = inputQParams(name, tensor);
        if (q !== null) failType(name, "a float32 tensor, since the LSTM is dynamic", q.dtype);
      }
    }
    return lstmForward(this, x, state, options);
  }
}
