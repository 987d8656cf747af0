/**
 * ops_normalize: BatchNorm1d and LayerNorm, quantized and in float32, and folding.
 *
 * @module
 */
import {
  type BatchNorm,
  batchNormFloat32,
  batchNormInt8,
  foldBatchNorm,
  layerNormFloat32,
  layerNormInt8,
} from "../../../kernels/ops/normalize.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const LAYER_NORM: Row = { operation: "LayerNorm", torch: "quantized::layer_norm" };
const BATCH_NORM: Row = { operation: "BatchNorm1d", torch: "quantized::batch_norm1d" };
const BATCH_NORM_RELU: Row = {
  operation: "BatchNorm1d + ReLU",
  torch: "quantized::batch_norm1d_relu",
};
const BATCH_NORM_FLOAT: Row = {
  operation: "BatchNorm1d in float32",
  torch: "torch.nn.functional.batch_norm",
};
const FOLD: Row = {
  operation: "folding BatchNorm1d into a Linear or a convolution",
  torch: "fuse_linear_bn_weights, fuse_conv_bn_weights",
};

function optional(golden: Field, member: string): Float32Array | null {
  return golden.maybe(member)?.tensor().data ?? null;
}

function readBatchNorm(golden: Field): BatchNorm {
  return {
    weight: optional(golden, "weight"),
    bias: optional(golden, "bias"),
    runningMean: golden.get("mean").tensor().data,
    runningVar: golden.get("var").tensor().data,
    eps: golden.get("eps").number(),
  };
}

function readLayerNorm(golden: Field) {
  return {
    weight: optional(golden, "weight"),
    bias: optional(golden, "bias"),
    eps: golden.get("eps").number(),
  };
}

function layerNorm(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const x = golden.get("x").perTensor();
  const y = golden.get("y").perTensor();
  const out = newQArray(y.qparams.dtype, x.data.length);
  layerNormInt8(x, x.shape[1]!, readLayerNorm(golden), { data: out, qparams: y.qparams });
  check.integers(LAYER_NORM, engine, "y", out, y.data);
}

function layerNormFloat(golden: Field, check: Check): void {
  const x = golden.get("x").tensor();
  const out = new Float32Array(x.data.length);
  layerNormFloat32(x.data, x.shape[1]!, readLayerNorm(golden), out);
  check.measure(
    "LayerNorm in float32, in units of the last place of the larger of 1 and the result",
    "y",
    out,
    golden.get("y").tensor().data,
    { tolerance: 256, smallest: 1 },
  );
}

function batchNorm(golden: Field, check: Check, row: Row): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const x = golden.get("x").perTensor();
  const y = golden.get("y").perTensor();
  const out = newQArray(y.qparams.dtype, x.data.length);
  const relu = row === BATCH_NORM_RELU;
  batchNormInt8(x, readBatchNorm(golden), { data: out, qparams: y.qparams }, relu);
  check.integers(row, engine, "y", out, y.data);
}

function batchNormFloat(golden: Field, check: Check): void {
  const x = golden.get("x").tensor();
  const out = new Float32Array(x.data.length);
  batchNormFloat32(x.data, readBatchNorm(golden), out);
  check.floats(BATCH_NORM_FLOAT, "either", "y", out, golden.get("y").tensor().data);
}

function fold(golden: Field, check: Check): void {
  const before = golden.get("before").oneOf("linear", "convolution");
  const weight = golden.get("w").tensor().data;
  const folded = foldBatchNorm(before, weight, optional(golden, "b"), readBatchNorm(golden));
  for (const part of ["weight", "bias"] as const) {
    const member = `folded_${part}`;
    check.floats(FOLD, "either", member, folded[part], golden.get(member).tensor().data);
  }
}

/** ops_normalize*.json */
export const normalizeKind: Kind = {
  files: /^ops_normalize/,
  nameOf: (golden) => describe(golden, ["engine", "before", "x", "w", "y"]),
  run(golden, check) {
    runOperation(
      {
        layer_norm: layerNorm,
        layer_norm_float: layerNormFloat,
        batch_norm1d: (golden, check) => batchNorm(golden, check, BATCH_NORM),
        batch_norm1d_relu: (golden, check) => batchNorm(golden, check, BATCH_NORM_RELU),
        batch_norm_float: batchNormFloat,
        fold,
      },
      golden,
      check,
    );
  },
};
