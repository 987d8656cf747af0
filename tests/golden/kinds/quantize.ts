/**
 * ops_quantize: quantize, dequantize, requantize, fake quantize.
 *
 * @module
 */
import { fakeQuantizePerTensor } from "../../../kernels/ops/fake_quantize.ts";
import {
  dequantizePerChannel,
  dequantizePerTensor,
  quantizePerChannel,
  quantizePerTensor,
  requantize,
} from "../../../kernels/numeric/quantize.ts";
import { dtypeRange, newQArray } from "../../../src/core/dtype.ts";
import { perChannelAffine, perTensorAffine } from "../../../src/core/qparams.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const QUANTIZE: Row = { operation: "quantize, per tensor", torch: "torch.quantize_per_tensor" };
const QUANTIZE_CHANNEL: Row = {
  operation: "quantize, per channel",
  torch: "torch.quantize_per_channel",
};
const SPECIAL: Row = {
  operation: "quantize huge and non-finite values",
  torch: "torch.quantize_per_tensor, torch.quantize_per_channel",
};
const DEQUANTIZE: Row = { operation: "dequantize", torch: "Tensor.dequantize" };
const REQUANTIZE: Row = {
  operation: "requantize across dtypes",
  torch: "Tensor.dequantize, torch.quantize_per_tensor",
};
const REQUANTIZE_RANGE: Row = {
  operation: "requantize to a custom range",
  torch: "quantized_decomposed.quantize_per_tensor",
};
const FAKE: Row = { operation: "fake quantize", torch: "torch.fake_quantize_per_tensor_affine" };

function perTensor(golden: Field, check: Check): void {
  const dtype = golden.get("dtype").dtype();
  const x = golden.get("x").tensor();
  const qparams = perTensorAffine({
    dtype,
    scale: golden.get("scale").number(),
    zeroPoint: golden.get("zero_point").integer(),
  });
  const q = newQArray(dtype, x.data.length);
  const y = new Float32Array(x.data.length);
  const torch = golden.get("ints").quantized(dtype, q.length);
  quantizePerTensor(x.data, q, qparams);
  check.integers(QUANTIZE, "either", "ints", q, torch);
  dequantizePerTensor(torch, y, qparams.scale, qparams.zeroPoint);
  check.floats(DEQUANTIZE, "either", "dequantized", y, golden.get("dequantized").tensor().data);
}

function perChannel(golden: Field, check: Check): void {
  const dtype = golden.get("dtype").dtype();
  const { data, shape } = golden.get("x").tensor();
  const qparams = perChannelAffine({
    dtype,
    scales: golden.get("scales").floats(),
    zeroPoints: golden.get("zero_points").integers(),
    axis: golden.get("axis").integer(),
  });
  const { scales, zeroPoints, axis } = qparams;
  if (shape[axis] !== scales.length) golden.get("scales").fail(`${shape[axis]} scales`);
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const q = newQArray(dtype, data.length);
  const y = new Float32Array(data.length);
  const torch = golden.get("ints").quantized(dtype, q.length);
  quantizePerChannel(data, q, qparams, inner);
  check.integers(QUANTIZE_CHANNEL, "either", "ints", q, torch);
  dequantizePerChannel(torch, y, scales, zeroPoints, inner);
  check.floats(DEQUANTIZE, "either", "dequantized", y, golden.get("dequantized").tensor().data);
}

function special(golden: Field, check: Check): void {
  const dtype = golden.get("dtype").dtype();
  const { data } = golden.get("x").tensor();
  const qparams = perTensorAffine({
    dtype,
    scale: golden.get("scale").number(),
    zeroPoint: golden.get("zero_point").integer(),
  });
  const { scale, zeroPoint, quantMin, quantMax } = qparams;
  const q = newQArray(dtype, data.length);
  quantizePerTensor(data, q, qparams);
  check.integers(SPECIAL, "either", "ints", q, golden.get("ints").quantized(dtype, q.length), data);
  const channel = {
    scales: Float32Array.of(scale),
    zeroPoints: Int32Array.of(zeroPoint),
    quantMin,
    quantMax,
  };
  quantizePerChannel(data, q, channel, data.length);
  check.integers(
    SPECIAL,
    "either",
    "per_channel_ints",
    q,
    golden.get("per_channel_ints").quantized(dtype, q.length),
    data,
  );
}

function requantizeCase(golden: Field, check: Check): void {
  const x = golden.get("x").perTensor();
  const y = golden.get("y").perTensor();
  const { dtype, scale, zeroPoint } = y.qparams;
  const out = newQArray(dtype, x.data.length);
  const [quantMin, quantMax] = dtypeRange(dtype);
  requantize(x.data, x.qparams, out, { scale, zeroPoint, quantMin, quantMax });
  check.integers(REQUANTIZE, "either", "y", out, y.data);
  if (!golden.has("decomposed_ints")) return;
  requantize(x.data, x.qparams, out, {
    scale,
    zeroPoint,
    quantMin: golden.get("quant_min").integer(),
    quantMax: golden.get("quant_max").integer(),
  });
  check.integers(
    REQUANTIZE_RANGE,
    "either",
    "decomposed_ints",
    out,
    golden.get("decomposed_ints").integers(out.length),
  );
}

function fakeQuantize(golden: Field, check: Check): void {
  const { data } = golden.get("x").tensor();
  const scale = golden.get("scale").number();
  const zeroPoint = golden.get("zero_point").integer();
  const quantMin = golden.get("quant_min").integer();
  const quantMax = golden.get("quant_max").integer();
  const y = fakeQuantizePerTensor(data, { scale, zeroPoint, quantMin, quantMax });
  check.floats(FAKE, "either", "y", y, golden.get("y").tensor().data, data);
  // A value is inside of the range where a far wider one gives the same.
  const range = { quantMin: -(2 ** 53), quantMax: 2 ** 53 };
  const wide = fakeQuantizePerTensor(data, { scale, zeroPoint, ...range });
  const mask = Array.from(y, (v, i) => v === wide[i] ? 1 : 0);
  check.integers(FAKE, "either", "mask", mask, golden.get("mask").integers(mask.length), data);
}

/** ops_quantize*.json */
export const quantizeKind: Kind = {
  files: /^ops_quantize/,
  nameOf: (golden) =>
    describe(golden, [
      "dtype",
      "scale",
      "zero_point",
      "axis",
      "quant_min",
      "quant_max",
      "x",
      "y",
      "name",
    ]),
  run(golden, check) {
    runOperation(
      {
        quantize_per_tensor: perTensor,
        quantize_per_channel: perChannel,
        quantize_special: special,
        requantize: requantizeCase,
        fake_quantize_per_tensor_affine: fakeQuantize,
      },
      golden,
      check,
    );
  },
};
