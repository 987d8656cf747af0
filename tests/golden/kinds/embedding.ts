/**
 * ops_embedding: embedding rows in 8 bits.
 *
 * @module
 */
import {
  embeddingBiases,
  embeddingRow,
  quantizeEmbeddingRow,
} from "../../../kernels/ops/embedding.ts";
import { quantizePerChannel } from "../../../kernels/numeric/quantize.ts";
import { PerChannelMinMaxObserver } from "../../../src/observer/per_channel.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const PREPACK: Row = {
  operation: "embedding rows, quantized by row range",
  torch: "quantized::embedding_bag_byte_prepack, _unpack",
};
const FLOAT_QPARAMS: Row = {
  operation: "embedding rows, observed (float zero points)",
  torch: "PerChannelMinMaxObserver(per_channel_affine_float_qparams), torch.quantize_per_channel",
};
const LOOKUP: Row = { operation: "embedding lookup", torch: "quantized::embedding_byte" };

function matrix(golden: Field): { data: Float32Array; rows: number; width: number } {
  const { data, shape } = golden.tensor();
  if (shape.length !== 2) golden.get("shape").fail("two dimensions");
  return { data, rows: shape[0]!, width: shape[1]! };
}

function prepack(golden: Field, check: Check): void {
  const { data, rows, width } = matrix(golden.get("w"));
  const q = new Uint8Array(data.length);
  const scales = new Float32Array(rows);
  const biases = new Float32Array(rows);
  const made = { weight: q, scales, biases, embeddingDim: width };
  for (let row = 0; row < rows; row++) quantizeEmbeddingRow(data, row, made);
  const torch = golden.get("ints").quantized("quint8", q.length) as Uint8Array;
  const torchScales = golden.get("scale").floats(rows);
  const torchBiases = golden.get("bias").floats(rows);
  check.integers(PREPACK, "either", "ints", q, torch);
  check.floats(PREPACK, "either", "scale", scales, torchScales);
  check.floats(PREPACK, "either", "bias", biases, torchBiases);
  const unpacked = new Float32Array(data.length);
  const recorded = { weight: torch, scales: torchScales, biases: torchBiases, embeddingDim: width };
  for (let row = 0; row < rows; row++) embeddingRow(recorded, row, unpacked, row * width);
  check.floats(PREPACK, "either", "unpacked", unpacked, golden.get("unpacked").tensor().data);
}

function byte(golden: Field, check: Check): void {
  const { data, rows, width } = matrix(golden.get("w"));
  const observer = new PerChannelMinMaxObserver({
    dtype: "quint8",
    qscheme: "perChannelAffineFloatQParams",
  });
  observer.observe(data, [rows, width]);
  const { scales, zeroPoints } = observer.calculateFloatQParams();
  const q = new Uint8Array(data.length);
  quantizePerChannel(data, q, { scales, zeroPoints, quantMin: 0, quantMax: 255 }, width);
  const torchScales = golden.get("scales").floats(rows);
  const torchPoints = golden.get("zero_points").floats(rows);
  const torch = golden.get("ints").quantized("quint8", q.length) as Uint8Array;
  check.floats(FLOAT_QPARAMS, "either", "scales", scales, torchScales);
  check.floats(FLOAT_QPARAMS, "either", "zero_points", zeroPoints, torchPoints);
  check.integers(FLOAT_QPARAMS, "either", "ints", q, torch);
  const biases = embeddingBiases(torchScales, torchPoints);
  const indices = golden.get("indices").integers();
  const y = new Float32Array(indices.length * width);
  if (!indices.every((row) => row >= 0 && row < rows)) {
    golden.get("indices").fail(`rows in 0..${rows - 1}`);
  }
  const table = { weight: torch, scales: torchScales, biases, embeddingDim: width };
  indices.forEach((row, i) => embeddingRow(table, row, y, i * width));
  check.floats(LOOKUP, "either", "y", y, golden.get("y").tensor().data);
}

/** ops_embedding*.json */
export const embeddingKind: Kind = {
  files: /^ops_embedding/,
  nameOf: (golden) => describe(golden, ["w", "indices", "name"]),
  run(golden, check) {
    runOperation({ embedding_bag_byte_prepack: prepack, embedding_byte: byte }, golden, check);
  },
};
