/**
 * ops_activation: ReLU, LeakyReLU, hard sigmoid of all 256 inputs; ReLU of qint32.
 *
 * @module
 */
import { activateInt8, activationTable, reluInt8 } from "../../../kernels/numeric/activation.ts";
import type { Activation } from "../../../kernels/numeric/float_functions.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const RELU: Row = { operation: "ReLU, all 256 inputs and qint32", torch: "torch.relu" };
const LEAKY_RELU: Row = {
  operation: "LeakyReLU, all 256 inputs",
  torch: "quantized::leaky_relu, torch.nn.functional.leaky_relu",
};
const HARD_SIGMOID: Row = {
  operation: "hard sigmoid, all 256 inputs",
  torch: "torch.nn.functional.hardsigmoid",
};

/** What is common to tables: 256 inputs of 8 bits, and torch's outputs for them. */
function readTable(golden: Field) {
  const table = golden.get("table").perTensor();
  if (table.qparams.dtype === "qint32" || table.data.length !== 256) {
    golden.get("table").fail("256 8-bit integers");
  }
  const { quantMin, quantMax } = table.qparams;
  const inputs = newQArray(table.qparams.dtype, 256);
  for (let i = 0; i < 256; i++) inputs[i] = quantMin + i;
  const scale = golden.get("x_scale").number();
  const zeroPoint = golden.get("x_zero_point").integer();
  return { table, inputs, from: { scale, zeroPoint, quantMin, quantMax } };
}

function engineOf(golden: Field): "fbgemm" | "qnnpack" {
  return golden.get("engine").oneOf("fbgemm", "qnnpack");
}

function tabulate(golden: Field, check: Check, row: Row, activation: Activation): void {
  const { table, inputs, from } = readTable(golden);
  const outputs = activationTable(activation, from, table.qparams);
  const out = newQArray(table.qparams.dtype, 256);
  activateInt8(outputs, inputs, from.zeroPoint, out, table.qparams.zeroPoint);
  check.integers(row, engineOf(golden), "table", out, table.data);
}

/** ops_activation*.json */
export const activationKind: Kind = {
  files: /^ops_activation/,
  nameOf: (golden) =>
    describe(golden, ["engine", "x_scale", "x_zero_point", "negative_slope", "x"]),
  run(golden, check) {
    runOperation(
      {
        relu: (golden, check) => {
          const { table, inputs, from } = readTable(golden);
          reluInt8(inputs, from.zeroPoint, inputs);
          check.integers(RELU, engineOf(golden), "table", inputs, table.data);
        },
        relu_wide: (golden, check) => {
          const x = golden.get("x").perTensor();
          reluInt8(x.data, x.qparams.zeroPoint, x.data);
          check.integers(RELU, engineOf(golden), "y", x.data, golden.get("y").perTensor().data);
        },
        leaky_relu: (golden, check) => {
          const negativeSlope = golden.get("negative_slope").number();
          tabulate(golden, check, LEAKY_RELU, { name: "leakyRelu", negativeSlope });
        },
        hard_sigmoid: (golden, check) => tabulate(golden, check, HARD_SIGMOID, "hardSigmoid"),
      },
      golden,
      check,
    );
  },
};
