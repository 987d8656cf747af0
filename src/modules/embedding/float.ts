/**
 * The float embedding.
 *
 * @module
 */
import { checkInteger } from "../../core/errors.ts";
import type { Tensor, TokenTensor } from "../../core/tensor.ts";
import { checkOptions, checkTokens, MAX_SIZE, parameter } from "../../core/check.ts";
import { generatorOf, type Seed } from "../../core/generator.ts";
import { Module } from "../module.ts";

/**
 * Options of {@linkcode Embedding}.
 *
 * @example
 * ```ts
 * import { Embedding, type EmbeddingOptions } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const options: EmbeddingOptions = { numEmbeddings: 100, embeddingDim: 16, seed: 1 };
 * assertEquals(new Embedding(options).stateDict().get("weight")!.shape, [100, 16]);
 * ```
 */
export interface EmbeddingOptions {
  /** Rows: tokens are 0..numEmbeddings - 1. */
  readonly numEmbeddings: number;
  /** Width of a row. */
  readonly embeddingDim: number;
  /** Where the initial weights come from; 0 by default. */
  readonly seed?: Seed;
}

/**
 * torch.nn.Embedding: a row of `weight` for each token. Rows are initialized by
 * {@linkcode Generator.normal}.
 *
 * @example
 * ```ts
 * import { Embedding, tensor, tokens } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const embedding = new Embedding({ numEmbeddings: 2, embeddingDim: 2 });
 * embedding.loadStateDict(new Map([["weight", tensor([1, 2, 3, 4], [2, 2])]]));
 * assertEquals(embedding.forward(tokens([1], [1, 1])), tensor([3, 4], [1, 1, 2]));
 * ```
 */
export class Embedding extends Module {
  /** Name of the kind. */
  override readonly kind = "Embedding";
  /** Rows: tokens are 0..numEmbeddings - 1. */
  readonly numEmbeddings: number;
  /** Width of a row, and last dimension of the output. */
  readonly embeddingDim: number;
  /** [numEmbeddings, embeddingDim] */
  readonly weight: Float32Array;

  /**
   * Allocates the table and fills it from the seed.
   *
   * @throws {TypeError | RangeError} If an option is unknown, or no positive integer or seed.
   */
  constructor(options: EmbeddingOptions) {
    super();
    checkOptions("options", options, ["numEmbeddings", "embeddingDim", "seed"]);
    const { seed = 0 } = options;
    this.numEmbeddings = checkInteger("numEmbeddings", options.numEmbeddings, 1, MAX_SIZE);
    this.embeddingDim = checkInteger("embeddingDim", options.embeddingDim, 1, MAX_SIZE);
    const generator = generatorOf(seed);
    this.weight = parameter("weight", [this.numEmbeddings, this.embeddingDim]);
    generator.normal(this.weight);
  }

  /** `weight`. */
  override stateDict(): Map<string, Tensor> {
    return new Map([["weight", {
      data: this.weight,
      shape: [this.numEmbeddings, this.embeddingDim],
    }]]);
  }

  /**
   * Looks up one row a token: float32 copies, never views of `weight`.
   *
   * @param x Token ids of any shape without an empty dimension.
   * @returns [...x.shape, embeddingDim]
   * @throws {TypeError} If `x` is no tensor of token ids.
   * @throws {RangeError} If it is empty or holds an id outside 0..numEmbeddings - 1.
   */
  forward(x: TokenTensor): Tensor {
    const { embeddingDim, weight } = this;
    checkTokens("x", x, this.numEmbeddings);
    const data = new Float32Array(x.data.length * embeddingDim);
    for (let i = 0; i < x.data.length; i++) {
      const row = x.data[i]! * embeddingDim;
      data.set(weight.subarray(row, row + embeddingDim), i * embeddingDim);
    }
    return { data, shape: [...x.shape, embeddingDim] };
  }
}
