/**
 * The float GRU cell.
 *
 * @module
 */
import type { GRUWeights } from "../../../kernels/float/gru.ts";
import { checkOptions, checkShaped, checkTensor } from "../../core/check.ts";
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { copyOf } from "../copy.ts";
import { Module } from "../module.ts";
import { GRU, type GRUOptions } from "./float.ts";

/**
 * Options of {@linkcode GRUCell}.
 *
 * @example
 * ```ts
 * import { GRUCell, type GRUCellOptions } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: GRUCellOptions = { inputSize: 2, hiddenSize: 3, bias: false };
 * assertEquals([...new GRUCell(options).stateDict().keys()], ["weight_ih", "weight_hh"]);
 * ```
 */
export type GRUCellOptions = Omit<GRUOptions, "numLayers" | "batchFirst" | "bidirectional">;

const OPTIONS = [
  "inputSize",
  "hiddenSize",
  "bias",
  "seed",
  "gateActivation",
  "activation",
  "resetAfter",
  "complementedUpdate",
];

/**
 * torch.nn.GRUCell: one step. To quantize one, or to run it over sequences, make a {@linkcode GRU}
 * of it.
 *
 * @example
 * ```ts
 * import { GRUCell, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const cell = new GRUCell({ inputSize: 2, hiddenSize: 3 });
 * const x = tensor([0.5, -1], [1, 2]); // batch 1
 * const h = cell.forward(x);
 * assertEquals(h.shape, [1, 3]);
 * const [y] = cell.toGRU().forward(tensor(x.data, [1, 1, 2])); // 1 step
 * assertEquals(y.data, h.data);
 * ```
 */
export class GRUCell extends Module {
  /** Name of the kind. */
  override readonly kind = "GRUCell";
  /** The GRU of one layer and direction that it is. */
  readonly #gru: GRU;

  /**
   * Allocates the weights and fills them from the seed.
   *
   * @throws {TypeError | RangeError} As the constructor of {@linkcode GRU}.
   */
  constructor(options: GRUCellOptions) {
    super();
    checkOptions("options", options, OPTIONS);
    this.#gru = new GRU(options);
  }

  /** Width of x. */
  get inputSize(): number {
    return this.#gru.inputSize;
  }

  /** Width of h. */
  get hiddenSize(): number {
    return this.#gru.hiddenSize;
  }

  /** Whether there are biases. */
  get bias(): boolean {
    return this.#gru.bias;
  }

  /** Its weights. */
  get weights(): GRUWeights {
    return this.#gru.cells[0]![0]!;
  }

  /** `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`. */
  override stateDict(): Map<string, Tensor> {
    return new Map(
      [...this.#gru.stateDict()].map(([name, tensor]) => [name.replace("_l0", ""), tensor]),
    );
  }

  /**
   * One step.
   *
   * @param x [batch, inputSize], or [inputSize].
   * @param h [batch, hiddenSize], or [hiddenSize]; zeros by default.
   * @returns The new h, shaped as `h`.
   * @throws {TypeError} If a tensor is no float32 tensor.
   * @throws {RangeError} If a shape does not fit, or a value is not finite.
   */
  forward(x: Tensor, h?: Tensor): Tensor {
    checkTensor("x", x);
    const { inputSize, hiddenSize } = this;
    const { shape } = x;
    if (shape.length < 1 || shape.length > 2 || shape.at(-1) !== inputSize) {
      failRange("x.shape", `[batch, ${inputSize}] or [${inputSize}]`, shape);
    }
    const outer = shape.slice(0, -1);
    const stateShape = [...outer, hiddenSize];
    if (h !== undefined) checkShaped("h", h, stateShape);
    const state = h && { data: h.data, shape: [1, ...stateShape] };
    const [, next] = this.#gru.forward({ data: x.data, shape: [1, ...shape] }, state);
    return { data: next.data, shape: stateShape };
  }

  /** A GRU of one layer and direction with a copy of its weights. */
  toGRU(): GRU {
    const { inputSize, hiddenSize, bias } = this;
    const { gateActivation, activation, resetAfter, complementedUpdate } = this.#gru;
    const conventions = { gateActivation, activation, resetAfter, complementedUpdate };
    return copyOf(this.#gru, new GRU({ inputSize, hiddenSize, bias, ...conventions }));
  }
}
