/**
 * ops_concat: quantized concatenation over the last dimension.
 *
 * @module
 */
import { concatInt8 } from "../../../kernels/ops/concat.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const CONCAT: Row = { operation: "concatenation", torch: "quantized::cat" };
const CONCAT_RELU: Row = { operation: "concatenation + ReLU", torch: "quantized::cat_relu" };
const CONCAT_FIRST: Row = {
  operation: "concatenation to the first tensor's parameters",
  torch: "torch.cat",
};

function concat(golden: Field, check: Check, row: Row, relu: boolean): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const y = golden.get("y").perTensor();
  const inputs = golden.get("xs").list().map((field) => {
    const { data, shape, qparams } = field.perTensor();
    const { scale, zeroPoint } = qparams;
    return { data, scale, zeroPoint, width: shape[shape.length - 1]! };
  });
  const width = inputs.reduce((sum, input) => sum + input.width, 0);
  if (y.shape[y.shape.length - 1] !== width) golden.get("y").fail(`${width} wide`);
  const out = newQArray(y.qparams.dtype, y.data.length);
  const to = row === CONCAT_FIRST
    ? { ...y.qparams, scale: inputs[0]!.scale, zeroPoint: inputs[0]!.zeroPoint }
    : y.qparams;
  concatInt8(inputs, out.length / width, out, to, relu);
  check.integers(row, engine, "y", out, y.data);
}

/** ops_concat*.json */
export const concatKind: Kind = {
  files: /^ops_concat/,
  nameOf: (golden) =>
    `${describe(golden, ["engine", "y"])} of ${golden.get("xs").list().length} tensors`,
  run(golden, check) {
    runOperation(
      {
        cat: (golden, check) => concat(golden, check, CONCAT, false),
        cat_relu: (golden, check) => concat(golden, check, CONCAT_RELU, true),
        cat_first: (golden, check) => concat(golden, check, CONCAT_FIRST, false),
      },
      golden,
      check,
    );
  },
};
