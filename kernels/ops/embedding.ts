/**
 * Embedding rows in 8 or 16 bits: `real = fma(q, scale, bias)`, with a scale and bias a row.
 *
 * A row's scale and bias come from its own range ({@linkcode quantizeEmbeddingRow}), or from an
 * observer's float qparams ({@linkcode quantizePerChannel} with float zero points, then
 * {@linkcode embeddingBiases}).
 *
 * @module
 */
import { fmaFloat32, roundHalfEven } from "../numeric/requantize.ts";
import { isUint8Array } from "../numeric/typed_array.ts";

const f = Math.fround;

/**
 * The rows of an embedding: `real = fma(q, scale, bias)`, with a scale and bias a row.
 *
 * @example
 * ```ts
 * import { type EmbeddingTable, quantizeEmbeddingRow } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const table: EmbeddingTable<Uint8Array> = {
 *   weight: new Uint8Array(4), // two rows
 *   scales: new Float32Array(2),
 *   biases: new Float32Array(2),
 *   embeddingDim: 2,
 * };
 * quantizeEmbeddingRow(Float32Array.of(0, 1, -1, 254), 1, table); // the second row
 * assertEquals([table.scales[1], table.biases[1]], [1, -1]); // a value is integer · scale + bias
 * ```
 */
export interface EmbeddingTable<
  Weight extends Uint8Array | Uint16Array | Float32Array = Uint8Array | Uint16Array | Float32Array,
> {
  /** Integers [numEmbeddings, embeddingDim] (or float32 values, of scale 1 and bias -0). */
  readonly weight: Weight;
  /** One float32 scale a row. */
  readonly scales: Float32Array;
  /** One float32 value a row: what q = 0 stands for. */
  readonly biases: Float32Array;
  /** Values in a row, 1 or more. */
  readonly embeddingDim: number;
}

const EPSILON = /* @__PURE__ */ f(1e-8);

/**
 * Quantizes one row of an embedding by its own range: quantized::embedding_bag_byte_prepack of
 * torch. With `r = f(max - min)`, the scale is `f(r / 255)`, the bias is min, and each value
 * becomes `rne(f(f(x - min) * f(255 / f(r + 1e-8))))`, in 0..255. With 16-bit integers 65535 takes
 * the place of 255. A row of equal values has scale 0 and all integers 0.
 *
 * @param x float32 [numEmbeddings, embeddingDim], finite, the row's range too.
 * @param row Which row.
 * @param table Receives the row.
 *
 * @example
 * ```ts
 * import { quantizeEmbeddingRow } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const weight = new Uint8Array(3), scales = new Float32Array(1), biases = new Float32Array(1);
 * const table = { weight, scales, biases, embeddingDim: 3 };
 * quantizeEmbeddingRow(Float32Array.of(-1, 254, 3.25), 0, table);
 * assertEquals([[...weight], scales[0], biases[0]], [[0, 255, 4], 1, -1]);
 * ```
 */
export function quantizeEmbeddingRow(
  x: Float32Array,
  row: number,
  table: EmbeddingTable<Uint8Array | Uint16Array>,
): void {
  const { weight, scales, biases, embeddingDim } = table;
  const quantMax = isUint8Array(weight) ? 255 : 65535;
  const start = row * embeddingDim;
  const end = start + embeddingDim;
  let min = x[start]!;
  let max = min;
  for (let k = start; k < end; k++) {
    if (x[k]! < min) min = x[k]!;
    else if (x[k]! > max!) max = x[k]!;
  }
  const range = f(max! - min);
  const inverse = f(quantMax / f(range + EPSILON));
  scales[row] = range / quantMax;
  biases[row] = min;
  for (let k = start; k < end; k++) weight[k] = roundHalfEven(f(f(x[k]! - min) * inverse));
}

/**
 * What q = 0 stands for under float qparams: `f(-zeroPoint * scale)` a row, as
 * quantized::embedding_byte of torch computes it from a weight quantized with
 * per_channel_affine_float_qparams.
 *
 * @param scales float32, one a row.
 * @param zeroPoints float32, one a row.
 *
 * @example
 * ```ts
 * import { embeddingBiases } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * assertEquals([...embeddingBiases(Float32Array.of(0.5), Float32Array.of(2.5))], [-1.25]);
 * ```
 */
export function embeddingBiases(scales: Float32Array, zeroPoints: Float32Array): Float32Array {
  return scales.map((scale, row) => -zeroPoints[row]! * scale);
}

/**
 * Dequantizes one row of an embedding: `fma(q, scale, bias)`, as quantized::embedding_byte of
 * torch.
 *
 * @param row Which row.
 * @param out Receives embeddingDim float32 values at `offset`.
 *
 * @example
 * ```ts
 * import { embeddingRow } from "@splitgate/splitgate/kernels";
 * import { assertEquals } from "@std/assert";
 * const out = new Float32Array(2);
 * const table = {
 *   weight: Uint8Array.of(0, 255, 0, 4),
 *   scales: Float32Array.of(1, 0.5),
 *   biases: Float32Array.of(0, -1),
 *   embeddingDim: 2,
 * };
 * embeddingRow(table, 1, out, 0);
 * assertEquals([...out], [-1, 1]);
 * ```
 */
export function embeddingRow(
  table: EmbeddingTable,
  row: number,
  out: Float32Array | Float64Array,
  offset: number,
): void {
  const { weight, embeddingDim } = table;
  const scale = table.scales[row]!;
  const bias = table.biases[row]!;
  const start = row * embeddingDim;
  for (let k = 0; k < embeddingDim; k++) {
    out[offset + k] = fmaFloat32(weight[start + k]!, scale, bias);
  }
}
