/**
 * ops_linear: static and dynamic linear.
 *
 * @module
 */
import { linearDynamicInt8 } from "../../../kernels/ops/linear_dynamic.ts";
import { linearInt8, type LinearWeight } from "../../../kernels/ops/linear.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import { isPerChannel } from "../../../src/core/qparams.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const LINEAR: Row = { operation: "linear", torch: "quantized::linear" };
const LINEAR_RELU: Row = { operation: "linear + relu", torch: "quantized::linear_relu" };
const DYNAMIC: Row = { operation: "dynamic linear", torch: "quantized::linear_dynamic" };
const DYNAMIC_RELU: Row = {
  operation: "dynamic linear + relu",
  torch: "quantized::linear_relu_dynamic",
};

/** An int8 weight [outFeatures, inFeatures], per tensor or with a scale a row. */
export function readWeight(golden: Field): LinearWeight {
  const { data, shape, qparams } = golden.qtensor();
  if (!(data instanceof Int8Array) || shape.length !== 2) return golden.fail("a qint8 matrix");
  const [outFeatures, inFeatures] = shape;
  if (!isPerChannel(qparams)) {
    const { scale, zeroPoint } = qparams;
    return {
      data,
      outFeatures: outFeatures!,
      inFeatures: inFeatures!,
      perChannel: false,
      scales: Float32Array.of(scale),
      zeroPoints: Int32Array.of(zeroPoint),
    };
  }
  if (qparams.axis !== 0) golden.get("axis").fail("0");
  return {
    data,
    outFeatures: outFeatures!,
    inFeatures: inFeatures!,
    perChannel: true,
    scales: qparams.scales,
    zeroPoints: qparams.zeroPoints,
  };
}

function linear(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const relu = golden.get("relu").boolean();
  const x = golden.get("x").perTensor();
  const y = golden.get("y").perTensor();
  const weight = readWeight(golden.get("w"));
  const bias = golden.maybe("bias")?.tensor().data ?? null;
  const out = newQArray(y.qparams.dtype, y.data.length);
  linearInt8(engine, x, { weight, bias, relu }, { data: out, qparams: y.qparams });
  check.integers(relu ? LINEAR_RELU : LINEAR, engine, "y", out, y.data);
}

function dynamic(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const relu = golden.get("relu").boolean();
  const x = golden.get("x").tensor();
  const y = golden.get("y").tensor();
  const weight = readWeight(golden.get("w"));
  const bias = golden.maybe("bias")?.tensor().data ?? null;
  const out = new Float32Array(y.data.length);
  const reduceRange = golden.get("reduce_range").boolean();
  linearDynamicInt8(engine, x.data, { weight, bias, relu }, out, { reduceRange });
  check.floats(relu ? DYNAMIC_RELU : DYNAMIC, engine, "y", out, y.data);
}

/** ops_linear*.json */
export const linearKind: Kind = {
  files: /^ops_linear/,
  nameOf: (golden) => describe(golden, ["engine", "relu", "reduce_range", "x", "w", "y", "name"]),
  run(golden, check) {
    runOperation({ linear, linear_dynamic: dynamic }, golden, check);
  },
};
