/**
 * Embedding rows in 8 bits.
 *
 * @module
 */
import { fmaFloat32 } from "./requantize.ts";

/**
 * Dequantizes one row of an 8-bit embedding: `fma(q, scale, bias)`, as quantized::embedding_byte of torch.
 *
 * @param weight quint8 [numEmbeddings, embeddingDim].
 * @param scales One float32 scale a row.
 * @param biases One float32 value a row: what q = 0 stands for.
 * @param row Which row.
 * @param out Receives embeddingDim float32 values at `offset`.
 *
 * @example
 * ```ts
 * import { embeddingRow } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * embeddingRow(Uint8Array.of(0, 255, 0, 4), Float32Array.of(1, 0.5), Float32Array.of(0, -1), 1, 2, out, 0);
 * assertEquals([...out], [-1, 1]);
 * ```
 */
export function embeddingRow(
  weight: Uint8Array,
  scales: Float32Array,
  biases: Float32Array,
  row: number,
  embeddingDim: number,
  out: Float32Array,
  offset: number,
): void {
  const scale = scales[row], bias = biases[row], start = row * embeddingDim;
  for (let k = 0; k < embeddingDim; k++) out[offset + k] = fmaFloat32(weight[start + k], scale, bias);
}
