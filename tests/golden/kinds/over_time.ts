/**
 * ops_over_time: mean and maximum over time.
 *
 * @module
 */
import {
  maxOverTime,
  meanOverTimeFloat32,
  meanOverTimeInt8,
} from "../../../kernels/ops/over_time.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const MEAN: Row = {
  operation: "mean over time",
  torch: "torch.mean of the last dimension of quantized tensors",
};
const MAX: Row = { operation: "maximum over time", torch: "torch.max of quantized tensors" };
const MAX_FLOAT: Row = { operation: "maximum over time in float32", torch: "torch.amax" };

function sequencesOf([steps, batch, features]: readonly number[]) {
  return { steps: steps!, batch: batch!, features: features!, lengths: null };
}

function overTime(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const { data, shape, qparams } = golden.get("x").perTensor();
  const sequences = sequencesOf(shape);
  const out = newQArray(qparams.dtype, sequences.batch * sequences.features);
  meanOverTimeInt8(data, sequences, out, qparams);
  check.integers(MEAN, engine, "mean", out, golden.get("mean").integers());
  const measured = check.tally.measurement(
    "Mean over time of integers, against torch's mean of the first dimension, in steps",
  );
  golden.get("mean_first").integers(out.length).forEach((mean, i) => {
    measured.add(Math.abs(mean - out[i]!));
  });
  maxOverTime(data, sequences, out);
  check.integers(MAX, engine, "max", out, golden.get("max").integers());
}

function overTimeFloat(golden: Field, check: Check): void {
  const { data, shape } = golden.get("x").tensor();
  const sequences = sequencesOf(shape);
  const out = new Float32Array(sequences.batch * sequences.features);
  meanOverTimeFloat32(data, sequences, out);
  check.measure(
    "Mean over time in float32, in units of the last place of the larger of 1/8 and the result",
    "mean",
    out,
    golden.get("mean").tensor().data,
    { tolerance: 8, smallest: 1 / 8 },
  );
  maxOverTime(data, sequences, out);
  check.floats(MAX_FLOAT, "either", "max", out, golden.get("max").tensor().data);
}

/** ops_over_time*.json */
export const overTimeKind: Kind = {
  files: /^ops_over_time/,
  nameOf: (golden) => describe(golden, ["engine", "x"]),
  run: (golden, check) =>
    runOperation({ over_time: overTime, over_time_float: overTimeFloat }, golden, check),
};
