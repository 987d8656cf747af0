/**
 * The quantized embedding: 8-bit rows, or float32 ones.
 *
 * @module
 */
import { embeddingRow } from "../../kernels/embedding.ts";
import type { TokenRows } from "./lstm.ts";

/** What a {@linkcode QuantizedEmbedding} is made of. */
export interface QuantizedEmbeddingOptions {
  /** [numEmbeddings, embeddingDim]: quint8 with a scale and bias a row, or float32. */
  readonly weight: Uint8Array | Float32Array;
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  /** One a row; empty for a float32 weight. */
  readonly scales: Float32Array;
  /** What q = 0 stands for, one a row; empty for a float32 weight. */
  readonly biases: Float32Array;
}

/** An embedding whose rows are stored in 8 bits; its output is float32. */
export class QuantizedEmbedding implements QuantizedEmbeddingOptions, TokenRows {
  readonly weight: Uint8Array | Float32Array;
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly scales: Float32Array;
  readonly biases: Float32Array;

  constructor(options: QuantizedEmbeddingOptions) {
    this.weight = options.weight;
    this.numEmbeddings = options.numEmbeddings;
    this.embeddingDim = options.embeddingDim;
    this.scales = options.scales;
    this.biases = options.biases;
  }

  /** Number of rows. */
  get count(): number {
    return this.numEmbeddings;
  }

  /** Writes the float32 values of row `token` into `out`. */
  read(token: number, out: Float32Array): void {
    const { weight, embeddingDim } = this;
    if (weight instanceof Uint8Array) {
      embeddingRow(weight, this.scales, this.biases, token, embeddingDim, out, 0);
    } else {
      for (let k = 0; k < embeddingDim; k++) out[k] = weight[token * embeddingDim + k];
    }
  }
}
