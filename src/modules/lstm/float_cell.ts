/**
 * The float LSTM cell: one step.
 *
 * @module
 */
import {
  floatLstmScratch,
  type LSTMCellWeights,
  lstmStepFloat32,
} from "../../../kernels/float/lstm.ts";
import { checkBoolean, checkFinite, checkInteger, failRange, failType } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { checkOptions, checkShaped, checkTensor, MAX_SIZE, parameter } from "../../core/check.ts";
import { generatorOf, type Seed } from "../../core/generator.ts";
import { Module } from "../module.ts";

export type { LSTMCellWeights };

/** Options of {@linkcode LSTMCell}. */
export interface LSTMCellOptions {
  /** Width of x. */
  readonly inputSize: number;
  /** Width of h and c. */
  readonly hiddenSize: number;
  /** true by default. */
  readonly bias?: boolean;
  /** Where the initial weights come from; 0 by default. */
  readonly seed?: Seed;
}

/**
 * torch.nn.LSTMCell. Each operation of the cell is rounded to float32; weights start uniform in ±1/sqrt(hiddenSize)
 * with the bits that torch.manual_seed(seed) gives.
 *
 * @example
 * ```ts
 * import { tensor } from "@splitgate/splitgate";
 * import { LSTMCell } from "./float_cell.ts";
 * import { assertEquals } from "@std/assert";
 * const cell = new LSTMCell({ inputSize: 2, hiddenSize: 3 });
 * const [h, c] = cell.forward(tensor([1, -1], [1, 2]));
 * assertEquals([h.shape, c.shape], [[1, 3], [1, 3]]);
 * ```
 */
export class LSTMCell extends Module implements LSTMCellWeights {
  /** Tells modules apart. */
  override readonly kind = "LSTMCell";
  /** Width of x. */
  readonly inputSize: number;
  /** Width of h and c. */
  readonly hiddenSize: number;
  /** [4 * hiddenSize, inputSize] */
  readonly weightIh: Float32Array;
  /** [4 * hiddenSize, hiddenSize] */
  readonly weightHh: Float32Array;
  /** [4 * hiddenSize], or null. */
  readonly biasIh: Float32Array | null;
  /** [4 * hiddenSize], or null. */
  readonly biasHh: Float32Array | null;

  /**
   * Allocates weights and biases and fills them from the seed.
   *
   * @throws {TypeError | RangeError} If an option is unknown, or no positive integer, boolean or seed.
   */
  constructor(options: LSTMCellOptions) {
    super();
    checkOptions("options", options, ["inputSize", "hiddenSize", "bias", "seed"]);
    const { bias = true, seed = 0 } = options;
    this.inputSize = checkInteger("inputSize", options.inputSize, 1, MAX_SIZE);
    this.hiddenSize = checkInteger("hiddenSize", options.hiddenSize, 1, MAX_SIZE);
    checkBoolean("bias", bias);
    const generator = generatorOf(seed);
    const rows = 4 * this.hiddenSize;
    const bound = 1 / Math.sqrt(this.hiddenSize);
    this.weightIh = parameter("weightIh", [rows, this.inputSize]);
    this.weightHh = parameter("weightHh", [rows, this.hiddenSize]);
    this.biasIh = bias ? parameter("biasIh", [rows]) : null;
    this.biasHh = bias ? parameter("biasHh", [rows]) : null;
    for (const { data } of this.stateDict().values()) generator.uniform(data, -bound, bound);
  }

  /** `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`. */
  override stateDict(): Map<string, Tensor> {
    const rows = 4 * this.hiddenSize;
    const tensors = new Map<string, Tensor>();
    tensors.set("weight_ih", { data: this.weightIh, shape: [rows, this.inputSize] });
    tensors.set("weight_hh", { data: this.weightHh, shape: [rows, this.hiddenSize] });
    if (this.biasIh !== null) tensors.set("bias_ih", { data: this.biasIh, shape: [rows] });
    if (this.biasHh !== null) tensors.set("bias_hh", { data: this.biasHh, shape: [rows] });
    return tensors;
  }

  /**
   * One step.
   *
   * @param x [batch, inputSize] or [inputSize], finite.
   * @param state h and c, [batch, hiddenSize] or [hiddenSize]; zeros by default.
   * @returns The new h and c, shaped as `state`.
   * @throws {TypeError} If a tensor is no float32 tensor.
   * @throws {RangeError} If a shape does not fit or a value is not finite.
   */
  forward(x: Tensor, state?: readonly [Tensor, Tensor]): [h: Tensor, c: Tensor] {
    const { inputSize, hiddenSize } = this;
    checkTensor("x", x);
    if (x.shape.length < 1 || x.shape.length > 2 || x.shape.at(-1) !== inputSize) {
      failRange("x.shape", `[batch, ${inputSize}] or [${inputSize}]`, x.shape);
    }
    const batch = x.data.length / inputSize;
    const shape = [...x.shape.slice(0, -1), hiddenSize];
    if (state !== undefined) {
      if (!Array.isArray(state) || state.length !== 2) {
        failType("state", "a pair of tensors", state);
      }
      checkShaped("state[0]", state[0], shape);
      checkShaped("state[1]", state[1], shape);
    }
    const h = state === undefined ? new Float32Array(batch * hiddenSize) : state[0].data.slice();
    const c = state === undefined ? new Float32Array(batch * hiddenSize) : state[1].data.slice();
    const scratch = floatLstmScratch(hiddenSize);
    const { weightIh, weightHh, biasIh, biasHh } = this;
    const weights = { weightIh, weightHh, biasIh, biasHh, weightHr: null };
    for (let b = 0; b < batch; b++) {
      const from = b * hiddenSize;
      const to = from + hiddenSize;
      lstmStepFloat32(
        weights,
        inputSize,
        hiddenSize,
        x.data,
        b * inputSize,
        h.subarray(from, to),
        c.subarray(from, to),
        scratch,
      );
    }
    checkFinite("h", h);
    return [{ data: h, shape }, { data: c, shape: [...shape] }];
  }
}
