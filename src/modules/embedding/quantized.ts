/**
 * The quantized embedding: 8-bit or 16-bit rows, or float32 ones.
 *
 * @module
 */
import { embeddingRow } from "../../../kernels/ops/embedding.ts";
import { copyArray, isFloat32Array } from "../../../kernels/numeric/typed_array.ts";
import { checkGiven } from "../../core/errors.ts";
import { checkTokens } from "../../core/check.ts";
import type { Tensor, TokenTensor } from "../../core/tensor.ts";
import { checkModule } from "../../authoring/check.ts";
import type { EmbeddingModule, TokenRows } from "../../authoring/modules.ts";

/** What a {@linkcode QuantizedEmbedding} is made of. */
export type QuantizedEmbeddingOptions = Omit<EmbeddingModule, "kind">;

/** Rows of an embedding, read one by one. */
export function embeddingRows(
  { weight, numEmbeddings, embeddingDim, scales, biases }: EmbeddingModule,
): TokenRows {
  return {
    count: numEmbeddings,
    read(token, out, offset) {
      if (isFloat32Array(weight)) {
        for (let k = 0; k < embeddingDim; k++) out[offset + k] = weight[token * embeddingDim + k]!;
      } else {
        embeddingRow(weight, scales, biases, token, embeddingDim, out, offset);
      }
    },
  };
}

/**
 * An embedding whose rows are stored in 8 or 16 bits; its output is float32.
 *
 * @example
 * ```ts
 * import { QuantizedEmbedding, tokens } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const embedding = new QuantizedEmbedding({
 *   weight: Uint8Array.of(0, 1, 2, 3),
 *   numEmbeddings: 2,
 *   embeddingDim: 2,
 *   scales: Float32Array.of(0.5, 2),
 *   biases: Float32Array.of(-1, 0),
 * });
 * assertEquals([...embedding.forward(tokens([1, 0], [2])).data], [4, 6, -1, -0.5]);
 * ```
 */
export class QuantizedEmbedding implements EmbeddingModule {
  /** Tells modules apart. */
  readonly kind = "Embedding";
  readonly weight: Uint8Array | Uint16Array | Float32Array;
  /** Rows: tokens are 0..numEmbeddings - 1. */
  readonly numEmbeddings: number;
  /** Width of a row. */
  readonly embeddingDim: number;
  readonly scales: Float32Array;
  readonly biases: Float32Array;

  /**
   * Checks the arrays and keeps copies of them.
   *
   * @throws {RangeError} If a length is wrong, or a scale or bias not finite.
   */
  constructor(options: QuantizedEmbeddingOptions) {
    checkGiven(options);
    this.weight = copyArray(options.weight);
    this.numEmbeddings = options.numEmbeddings;
    this.embeddingDim = options.embeddingDim;
    this.scales = copyArray(options.scales);
    this.biases = copyArray(options.biases);
    checkModule("Embedding", this);
  }

  /**
   * Looks tokens up.
   *
   * @param x Token ids of any shape.
   * @returns float32 [...shape, embeddingDim].
   * @throws {TypeError} If `x` is no TokenTensor.
   * @throws {RangeError} If a token id is unknown.
   */
  forward(x: TokenTensor): Tensor {
    checkTokens("x", x, this.numEmbeddings);
    const { embeddingDim } = this;
    const rows = embeddingRows(this);
    const data = new Float32Array(x.data.length * embeddingDim);
    x.data.forEach((token, i) => {
      rows.read(token, data, i * embeddingDim);
    });
    return { data, shape: [...x.shape, embeddingDim] };
  }
}
