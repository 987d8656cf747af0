/**
 * The float GRU.
 *
 * @module
 */
import {
  floatGRUCell,
  type GRUConventions,
  gruLinears,
  gruStepFloat32,
  type GRUWeights,
} from "../../../kernels/float/gru.ts";
import type { CellActivation, GateActivation } from "../../../kernels/float/lstm.ts";
import { checkGRUConventions, GRU_OPTIONS } from "../../cells/functions.ts";
import type { Cell } from "../../cells/cell.ts";
import { gruCell } from "../../cells/gru_parts.ts";
import { checkOptions } from "../../core/check.ts";
import type { Tensor } from "../../core/tensor.ts";
import { FloatRecurrent, RECURRENT_OPTIONS, type RecurrentOptions } from "../recurrent/float.ts";
import type { RecurrentForwardOptions } from "../recurrent/sequence.ts";

export type { GRUConventions, GRUWeights };

/**
 * Options of {@linkcode GRU}: sizes, and conventions other than torch's.
 *
 * @example
 * ```ts
 * import { GRU, type GRUOptions } from "@splitgate/splitgate";
 * const keras1: GRUOptions = {
 *   inputSize: 2,
 *   hiddenSize: 3,
 *   batchFirst: true,
 *   resetAfter: false, // the reset gate comes before the product with the hidden state
 * };
 * new GRU(keras1);
 * ```
 */
export interface GRUOptions extends RecurrentOptions, Partial<GRUConventions> {}

/**
 * torch.nn.GRU: any number of layers in one or both directions. Each operation of a cell is rounded
 * to float32; weights start uniform in ±1/sqrt(hiddenSize) with the same bits as after
 * torch.manual_seed(seed). Other conventions than torch's are possible, as in Keras and ONNX.
 *
 * @example
 * ```ts
 * import { GRU, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const gru = new GRU({ inputSize: 2, hiddenSize: 3, numLayers: 2, bidirectional: true });
 * const [y, h] = gru.forward(tensor(new Float32Array(20), [5, 2, 2])); // 5 steps, batch 2
 * assertEquals([y.shape, h.shape], [[5, 2, 6], [4, 2, 3]]);
 * ```
 *
 * @example A GRU of ONNX, whose linear_before_reset is 0 by default
 * ```ts
 * import { GRU } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const gru = new GRU({ inputSize: 2, hiddenSize: 3, resetAfter: false });
 * assertEquals(gru.complementedUpdate, false);
 * ```
 */
export class GRU extends FloatRecurrent<GRUWeights> implements GRUConventions {
  /** Name of the kind. */
  override readonly kind = "GRU";
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
  /** The weights of each layer and direction (forward, backward). */
  override readonly cells: readonly (readonly GRUWeights[])[];

  /**
   * Allocates the weights of all cells and fills them from the seed, in the order of `stateDict`.
   *
   * @throws {TypeError} If an option is unknown or of the wrong kind.
   * @throws {RangeError} If a size is no positive integer, there is no such function, or a slope or
   * offset is no number of float32.
   */
  constructor(options: GRUOptions) {
    checkOptions("options", options, [...RECURRENT_OPTIONS, ...GRU_OPTIONS]);
    super(options);
    const conventions = checkGRUConventions(options);
    this.gateActivation = conventions.gateActivation;
    this.activation = conventions.activation;
    this.resetAfter = conventions.resetAfter;
    this.complementedUpdate = conventions.complementedUpdate;
    this.cells = this.makeCells(options.seed ?? 0, () => ({}));
  }

  /** The dataflow of its cells. @internal */
  override get cell(): Cell {
    return gruCell(this);
  }

  /**
   * Runs a batch of sequences. With `lengths` each row gives the same bits as run alone without its
   * padding: outputs beyond a row's length are 0, its final state is that of its own last step, and
   * the backward direction starts at that step.
   *
   * @param x [steps, batch, inputSize], [batch, steps, inputSize] if batchFirst, or [steps,
   * inputSize] unbatched; all of it finite, padding too.
   * @param state h [numLayers * numDirections, batch, hiddenSize], without `batch` if unbatched;
   * zeros by default.
   * @returns y, shaped as `x` with outputSize in place of inputSize, and the final h, shaped as
   * `state`.
   * @throws {TypeError} If a tensor is no float32 tensor or an option is unknown.
   * @throws {RangeError} If a shape does not fit, a dimension is 0, a value is not finite, or a
   * length out of range.
   */
  forward(
    x: Tensor,
    state?: Tensor,
    options: RecurrentForwardOptions = {},
  ): [y: Tensor, h: Tensor] {
    const { hiddenSize } = this;
    const [y, [h]] = this.runSequence(
      x,
      state === undefined ? undefined : [state],
      options,
      (weights, rows, kernels) => {
        const cell = floatGRUCell(hiddenSize, this, kernels);
        const linears = gruLinears(cell, weights, rows.width, kernels);
        // Products with x do not depend on other steps.
        const igates = new Float32Array(rows.count * 3 * hiddenSize);
        linears.ih(rows.data, 0, igates, 0, rows.count);
        return (row, [h]) => gruStepFloat32(cell, linears, igates, row * 3 * hiddenSize, h!);
      },
    );
    return [y, h!];
  }
}
