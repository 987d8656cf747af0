/**
 * The embedding of an observed model.
 *
 * @module
 */
import { quantizeEmbeddingRow } from "../../../kernels/ops/embedding.ts";
import type { Embedding } from "./float.ts";
import type { QConfig } from "../../qconfig/qconfig.ts";
import { QuantizedEmbedding } from "./quantized.ts";
import type { ObservedModule } from "../kind.ts";
import type { Tensor, TokenTensor } from "../../core/tensor.ts";

/**
 * An embedding. Nothing is observed, since each row has the parameters of its own range.
 *
 * @example
 * ```ts
 * import { Embedding, prepare, tokens } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../../qconfig/qconfig.ts";
 * import { type ObservedEmbedding } from "./observed.ts";
 * import { assert, assertEquals } from "@std/assert";
 * const float = new Embedding({ numEmbeddings: 10, embeddingDim: 4 });
 * const embedding = prepare(float, fbgemmQConfig).modules.get("embedding") as ObservedEmbedding;
 * float.weight.fill(0); // a copy was observed
 * assert(embedding.forward(tokens([1], [1])).data.some((value) => value !== 0));
 * assertEquals(embedding.qconfig, fbgemmQConfig);
 * ```
 */
export class ObservedEmbedding implements ObservedModule {
  /** Name of the kind. */
  readonly kind = "Embedding";
  /** The layer's own copy of the weights. */
  readonly embedding: Embedding;
  /** Token ids are not observed. */
  readonly input = "float";
  /** Rows are read as float32. */
  readonly output = null;
  /** The QConfig; null: the rows stay float32. */
  readonly qconfig: QConfig | null;

  /** Called by `prepare`. */
  constructor(embedding: Embedding, qconfig: QConfig | null) {
    this.embedding = embedding;
    this.qconfig = qconfig;
  }

  /** The rows of the tokens. */
  forward(x: TokenTensor): Tensor {
    return this.embedding.forward(x);
  }
}

/**
 * Quantizes the rows, each by its own range (quantized::embedding_bag_byte_prepack of torch);
 * without a QConfig they are copied as float32.
 */
export function convertEmbedding(observed: ObservedEmbedding): QuantizedEmbedding {
  const { embedding: { weight, numEmbeddings, embeddingDim }, qconfig } = observed;
  if (qconfig === null) {
    const none = new Float32Array(0);
    return new QuantizedEmbedding({
      weight,
      numEmbeddings,
      embeddingDim,
      scales: none,
      biases: none,
    });
  }
  const rows = new (qconfig.embeddingBits === 16 ? Uint16Array : Uint8Array)(weight.length);
  const scales = new Float32Array(numEmbeddings);
  const biases = new Float32Array(numEmbeddings);
  const table = { weight: rows, numEmbeddings, embeddingDim, scales, biases };
  for (let row = 0; row < numEmbeddings; row++) quantizeEmbeddingRow(weight, row, table);
  return new QuantizedEmbedding(table);
}
