/**
 * ops_softmax: quantized softmax of both engines; float softmax and log-softmax, measured.
 *
 * @module
 */
import {
  logSoftmaxFloat32,
  softmaxEngine,
  softmaxFloat32,
  softmaxInt8,
  softmaxQuint8FixedPoint,
  softmaxTable,
} from "../../../kernels/ops/softmax.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const SOFTMAX: Row = { operation: "softmax", torch: "quantized::softmax" };

function softmax(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const x = golden.get("x").perTensor();
  const y = golden.get("y").perTensor();
  const width = x.shape[x.shape.length - 1]!;
  const out = newQArray(y.qparams.dtype, x.data.length);
  const fixed = softmaxEngine(engine, x.qparams, y.qparams) === "qnnpack";
  if (fixed && x.data instanceof Uint8Array && out instanceof Uint8Array) {
    softmaxQuint8FixedPoint(softmaxTable(x.qparams.scale, width), x.data, out, width);
  } else {
    softmaxInt8(x, { data: out, qparams: y.qparams }, width);
  }
  check.integers(SOFTMAX, engine, "y", out, y.data);
}

function softmaxFloat(golden: Field, check: Check): void {
  const x = golden.get("x").tensor();
  const width = x.shape[x.shape.length - 1]!;
  const out = new Float32Array(x.data.length);
  softmaxFloat32(x.data, out, width);
  check.measure(
    "Softmax in float32, in units of the last place",
    "softmax",
    out,
    golden.get("softmax").tensor().data,
    { tolerance: 16, smallest: 2 ** -126 },
  );
  logSoftmaxFloat32(x.data, out, width);
  check.measure(
    "Log-softmax in float32, in units of the last place of the larger of 1 and the result",
    "log_softmax",
    out,
    golden.get("log_softmax").tensor().data,
    { tolerance: 4, smallest: 1 },
  );
}

/** ops_softmax*.json */
export const softmaxKind: Kind = {
  files: /^ops_softmax/,
  nameOf: (golden) => describe(golden, ["engine", "x", "y"]),
  run: (golden, check) => runOperation({ softmax, softmax_float: softmaxFloat }, golden, check),
};
