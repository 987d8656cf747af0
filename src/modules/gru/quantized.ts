/**
 * The quantized GRU.
 *
 * @module
 */
import type { GRUConventions } from "../../../kernels/float/gru.ts";
import type { CellActivation, GateActivation } from "../../../kernels/float/lstm.ts";
import type { Cell } from "../../cells/cell.ts";
import { checkGRUConventions } from "../../cells/functions.ts";
import { gruCell } from "../../cells/gru_parts.ts";
import { dynamicGRU } from "../../runtime/kinds/dynamic_gru.ts";
import { gru } from "../../runtime/kinds/gru.ts";
import type { ForwardTensor } from "../kind.ts";
import { forwardRecurrent, type QuantizedForwardOptions } from "../recurrent/forward.ts";
import { QuantizedRecurrent, type QuantizedRecurrentOptions } from "../recurrent/quantized.ts";
import type { GRUModule, QuantizedGRUCell } from "./data.ts";
import { lowerDynamicGRU, lowerGRU } from "./lower.ts";

/** Constructor data of {@linkcode QuantizedGRU}. */
export interface QuantizedGRUOptions
  extends QuantizedRecurrentOptions<QuantizedGRUCell>, Partial<GRUConventions> {}

/** Output, and the final hidden state. */
export type QuantizedGRUForwardResult = readonly [y: ForwardTensor, h: ForwardTensor];

/**
 * A GRU of integers: int8 weights, and qparams of its own for every part of every cell.
 *
 * @example
 * ```ts
 * import { convert, getPreset, GRU, prepare, tensor } from "@splitgate/splitgate";
 * import { QuantizedGRU } from "./quantized.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new GRU({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]);
 * observed.forward(x);
 * const gru = convert(observed).modules.get("gru") as QuantizedGRU;
 * const [output, h] = gru.forward(x);
 * assertEquals([output.shape, h.shape], [[2, 1, 3], [1, 1, 3]]);
 * ```
 */
export class QuantizedGRU extends QuantizedRecurrent<QuantizedGRUCell> implements GRUModule {
  /** Name of the kind. */
  readonly kind = "GRU";
  /** Function of the reset and update gate; slope and offset are float32 values. */
  readonly gateActivation: GateActivation;
  /** Function of the new gate. */
  readonly activation: CellActivation;
  /** Whether the reset gate multiplies W_hn h + b_hn, or h before it is multiplied with W_hn. */
  readonly resetAfter: boolean;
  /**
   * Whether the update gate is the share of the new gate rather than the share of h that is kept.
   */
  readonly complementedUpdate: boolean;

  /**
   * Checks cells and parameters and keeps them; arrays are copied.
   *
   * @throws {TypeError} If a weight is no Int8Array, or a function none.
   * @throws {RangeError} If there is no such function, the number of cells, a weight's shape, a
   * scale, zero point or bias is wrong, or the GRU is dynamic and has parameters for its input or a
   * part.
   */
  constructor(options: QuantizedGRUOptions) {
    super(options);
    const conventions = checkGRUConventions(options);
    this.gateActivation = conventions.gateActivation;
    this.activation = conventions.activation;
    this.resetAfter = conventions.resetAfter;
    this.complementedUpdate = conventions.complementedUpdate;
    this.check();
  }

  /** The dataflow of its cells. @internal */
  override get cell(): Cell {
    return gruCell(this);
  }

  /**
   * Runs a sequence.
   *
   * @param x [steps, batch, inputSize], [batch, steps, inputSize] where batchFirst, or [steps,
   * inputSize] without a batch. A quantized tensor keeps its own parameters; floats are quantized
   * to the GRU's `input`, or stay floats where that is null.
   * @param state Initial h [layers * directions, batch, hiddenSize], without the batch where x has
   * none. A quantized tensor keeps its parameters for the first step; floats are quantized to
   * `stateInput`, or to each cell's own where there is none. Zeros by default.
   * @returns Output as wide as all directions, in the first one's parameters; and the final h.
   * Where `torchInitialState`, it has the first cell's parameters; otherwise it is float32 where
   * the cells' parameters differ, so that nothing is lost.
   * @throws {TypeError} If an argument is of the wrong kind, or quantized where the GRU is dynamic.
   * @throws {RangeError} If a shape, length or value is wrong, or qnnpack cannot add with the
   * parameters.
   */
  forward(
    x: ForwardTensor,
    state?: ForwardTensor,
    options: QuantizedForwardOptions = {},
  ): QuantizedGRUForwardResult {
    const lowered = this.dynamic
      ? { lower: () => lowerDynamicGRU(this), running: dynamicGRU }
      : { lower: lowerGRU, running: gru };
    const states = state === undefined ? undefined : [state];
    const [y, [h]] = forwardRecurrent(this as GRUModule, lowered, x, states, options);
    return [y, h!];
  }
}
