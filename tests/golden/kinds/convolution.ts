/**
 * ops_conv and ops_pool: convolution and pooling over time.
 *
 * @module
 */
import { conv1dFloat32, conv1dInt8 } from "../../../kernels/ops/convolution.ts";
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import { avgPool1dFloat32, avgPool1dInt8, maxPool1d } from "../../../kernels/ops/pooling.ts";
import type { Window } from "../../../kernels/ops/window.ts";
import { newQArray, type QArray } from "../../../src/core/dtype.ts";
import { isPerChannel } from "../../../src/core/qparams.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const CONV: Row = { operation: "convolution over time", torch: "quantized::conv1d" };
const CONV_RELU: Row = {
  operation: "convolution over time + relu",
  torch: "quantized::conv1d_relu",
};
const MAX: Row = {
  operation: "maximum of windows of steps",
  torch: "max_pool1d of quantized tensors",
};
const MEAN: Row = {
  operation: "mean of windows of steps",
  torch: "avg_pool1d of quantized tensors (channels last)",
};
const MAX_FLOAT: Row = {
  operation: "maximum of windows of steps in float32",
  torch: "torch.nn.functional.max_pool1d",
};

function windowOf(golden: Field, kernelSize: number, dilation: number): Window {
  const padding = golden.get("padding").number();
  return {
    kernelSize,
    stride: golden.get("stride").number(),
    dilation,
    left: padding,
    right: padding,
    ceilMode: golden.maybe("ceil_mode")?.boolean() ?? false,
  };
}

/** A weight [outChannels, channels / groups, kernelSize]. */
function readKernel(golden: Field): { weight: LinearWeight; kernelSize: number } {
  const { data, shape, qparams } = golden.qtensor();
  if (!(data instanceof Int8Array) || shape.length !== 3) return golden.fail("a qint8 kernel");
  const [outFeatures, perGroup, kernelSize] = shape as [number, number, number];
  const perChannel = isPerChannel(qparams);
  const weight = {
    data,
    outFeatures,
    inFeatures: perGroup * kernelSize,
    perChannel,
    scales: perChannel ? qparams.scales : Float32Array.of(qparams.scale),
    zeroPoints: perChannel ? Int32Array.from(qparams.zeroPoints) : Int32Array.of(qparams.zeroPoint),
  };
  return { weight, kernelSize };
}

/** Runs each row of [batch, steps, channels]; `run` writes one row's results. */
function eachRow<T extends QArray | Float32Array>(
  x: { readonly data: T; readonly shape: readonly number[] },
  y: QArray | Float32Array,
  out: QArray | Float32Array,
  run: (row: T, out: QArray | Float32Array) => void,
): void {
  const batch = x.shape[0]!;
  for (let b = 0; b < batch; b++) {
    const size = x.data.length / batch;
    const width = y.length / batch;
    run(
      x.data.subarray(b * size, (b + 1) * size) as T,
      out.subarray(b * width, (b + 1) * width),
    );
  }
}

function conv(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const relu = golden.get("relu").boolean();
  const x = golden.get("x").perTensor();
  const y = golden.get("y").perTensor();
  const { weight, kernelSize } = readKernel(golden.get("w"));
  const bias = golden.maybe("bias")?.tensor().data ?? null;
  const window = windowOf(golden, kernelSize, golden.get("dilation").number());
  const own = { window, groups: golden.get("groups").number(), weight, bias, relu };
  const { qparams } = y;
  const out = newQArray(qparams.dtype, y.data.length);
  eachRow(x, y.data, out, (row, part) => {
    const given = { data: row, qparams: x.qparams };
    conv1dInt8(engine, given, x.shape[2]!, own, { data: part as QArray, qparams });
  });
  check.integers(relu ? CONV_RELU : CONV, engine, "y", out, y.data);
}

function convFloat(golden: Field, check: Check): void {
  const x = golden.get("x").tensor();
  const y = golden.get("y").tensor();
  const { data: weight, shape } = golden.get("w").tensor();
  const { data: bias } = golden.get("bias").tensor();
  const window = windowOf(golden, shape[2]!, golden.get("dilation").number());
  const own = { window, groups: golden.get("groups").number(), weight, bias };
  const out = new Float32Array(y.data.length);
  eachRow(x, y.data, out, (row, part) => {
    conv1dFloat32(row, x.shape[2]!, own, part as Float32Array);
  });
  check.measure(
    "Convolution in float32, in units of the last place of the larger of 1 and the result",
    "y",
    out,
    y.data,
    { tolerance: 16, smallest: 1 },
  );
}

function pool(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const x = golden.get("x").perTensor();
  const channels = x.shape[2]!;
  const window = windowOf(golden, golden.get("kernel").number(), 1);
  const countIncludePad = golden.get("count_include_pad").boolean();
  const mean = golden.get("mean").perTensor().data;
  const out = newQArray(x.qparams.dtype, mean.length);
  eachRow(x, mean, out, (row, part) => {
    const given = { data: row, qparams: x.qparams };
    avgPool1dInt8(engine, given, channels, { window, countIncludePad }, part as QArray);
  });
  check.integers(MEAN, engine, "mean", out, mean);
  eachRow(x, mean, out, (row, part) => maxPool1d(row, channels, window, part));
  check.integers(MAX, engine, "max", out, golden.get("max").perTensor().data);
}

function poolFloat(golden: Field, check: Check): void {
  const x = golden.get("x").tensor();
  const channels = x.shape[2]!;
  const window = windowOf(golden, golden.get("kernel").number(), 1);
  const countIncludePad = golden.get("count_include_pad").boolean();
  const mean = golden.get("mean").tensor().data;
  const out = new Float32Array(mean.length);
  eachRow(x, mean, out, (row, part) => {
    avgPool1dFloat32(row, channels, { window, countIncludePad }, part as Float32Array);
  });
  check.measure(
    "Mean of windows of steps in float32, in units of the last place of the larger of 1/8 and the " +
      "result",
    "mean",
    out,
    mean,
    { tolerance: 8, smallest: 1 / 8 },
  );
  eachRow(x, mean, out, (row, part) => maxPool1d(row, channels, window, part));
  check.floats(MAX_FLOAT, "either", "max", out, golden.get("max").tensor().data);
}

/** ops_conv*.json and ops_pool*.json */
export const convolutionKind: Kind = {
  files: /^ops_(conv|pool)_/,
  nameOf: (golden) =>
    describe(golden, [
      "engine",
      "relu",
      "kernel",
      "stride",
      "padding",
      "dilation",
      "groups",
      "ceil_mode",
      "count_include_pad",
      "x",
      "w",
      "y",
      "mean",
    ]),
  run: (golden, check) =>
    runOperation(
      { conv1d: conv, conv1d_float: convFloat, pool1d: pool, pool1d_float: poolFloat },
      golden,
      check,
    ),
};
