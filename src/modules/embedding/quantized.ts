/**
 * The quantized embedding: 8-bit or 16-bit rows, or float32 ones.
 *
 * @module
 */
import { embeddingRow, type EmbeddingTable } from "../../../kernels/ops/embedding.ts";
import { fmaFloat32 } from "../../../kernels/numeric/requantize.ts";
import { copyArray, isFloat32Array, isUint8Array } from "../../../kernels/numeric/typed_array.ts";
import { checkFinite, checkGiven, failRange } from "../../core/errors.ts";
import { checkTokens } from "../../core/check.ts";
import type { Tensor, TokenTensor } from "../../core/tensor.ts";
import { fitsFloat32 } from "../check.ts";
import type { QuantizedModule } from "../kind.ts";

/** An embedding whose rows are 8-bit or 16-bit integers, or float32. Its output is float32. */
export interface EmbeddingModule extends QuantizedModule {
  /** Name of the kind. */
  readonly kind: "Embedding";
  /** [numEmbeddings, embeddingDim]: quint8, or 16-bit, with a scale and bias a row, or float32. */
  readonly weight: Uint8Array | Uint16Array | Float32Array;
  /** Rows: tokens are 0..numEmbeddings - 1. */
  readonly numEmbeddings: number;
  /** Width of a row. */
  readonly embeddingDim: number;
  /** One a row; empty for a float32 weight. */
  readonly scales: Float32Array;
  /** Value of q = 0, one a row; empty for a float32 weight. */
  readonly biases: Float32Array;
}

/** Requires arrays that fit each other, and rows of float32 values. */
export function checkEmbedding(
  name: string,
  { weight, numEmbeddings, embeddingDim, scales, biases }: EmbeddingModule,
): void {
  const rows = isFloat32Array(weight) ? 0 : numEmbeddings;
  if (weight?.length !== numEmbeddings * embeddingDim) {
    failRange(`${name}.weight`, `[${numEmbeddings}, ${embeddingDim}]`, weight?.length);
  }
  if (scales?.length !== rows || biases?.length !== rows) {
    failRange(`${name}.scales`, `${rows} scales and biases`, scales?.length);
  }
  for (const floats of [weight, scales, biases]) {
    if (isFloat32Array(floats)) checkFinite(name, floats);
  }
  const quantMax = isUint8Array(weight) ? 255 : 65535;
  scales.forEach((scale, row) => {
    if (!fitsFloat32(fmaFloat32(quantMax, scale, biases[row]!))) {
      failRange(`${name}.scales[${row}]`, "a row of float32 values", scale);
    }
  });
}

/** Constructor data of {@linkcode QuantizedEmbedding}. */
export type QuantizedEmbeddingOptions = Omit<EmbeddingModule, "kind">;

/** An embedding as a table for the kernels; float32 rows get a scale of 1 and a bias of -0. */
export function embeddingTable(module: EmbeddingModule): EmbeddingTable {
  const { weight, numEmbeddings, embeddingDim, scales, biases } = module;
  if (!isFloat32Array(weight)) return { weight, scales, biases, embeddingDim };
  return {
    weight,
    scales: new Float32Array(numEmbeddings).fill(1),
    // Adding -0 changes nothing.
    biases: new Float32Array(numEmbeddings).fill(-0),
    embeddingDim,
  };
}

/**
 * An embedding whose rows are stored in 8 or 16 bits; its output is float32.
 *
 * @example
 * ```ts
 * import { tokens } from "@splitgate/splitgate";
 * import { QuantizedEmbedding } from "./quantized.ts";
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
  /** Name of the kind. */
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
    checkEmbedding("Embedding", this);
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
    const table = embeddingTable(this);
    const data = new Float32Array(x.data.length * embeddingDim);
    x.data.forEach((token, i) => embeddingRow(table, token, data, i * embeddingDim));
    return { data, shape: [...x.shape, embeddingDim] };
  }
}
