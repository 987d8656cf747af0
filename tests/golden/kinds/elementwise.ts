/**
 * ops_elementwise: add, mul, sigmoid, tanh.
 *
 * @module
 */
import { activationTable, lookup } from "../../../kernels/numeric/activation.ts";
import {
  addInt8,
  addQuint8FixedPoint,
  buildFixedPointAdd,
  mulInt8,
} from "../../../kernels/ops/elementwise.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import type { Check, Row } from "../check.ts";
import { describe, type Kind, runOperation } from "../kind.ts";
import type { Field } from "../read.ts";

const ADD: Row = { operation: "add", torch: "quantized::add" };
const ADD_RELU: Row = { operation: "add + relu", torch: "quantized::add_relu" };
const MUL: Row = { operation: "mul", torch: "quantized::mul" };
const SIGMOID: Row = {
  operation: "sigmoid, all 256 inputs",
  torch: "torch.sigmoid, quantized::sigmoid",
};
const TANH: Row = { operation: "tanh, all 256 inputs", torch: "torch.tanh" };

function addWith(golden: Field, check: Check, relu: boolean): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const a = golden.get("a").perTensor();
  const b = golden.get("b").perTensor();
  const y = golden.get("y").perTensor();
  const out = newQArray(y.qparams.dtype, y.data.length);
  if (a.data.length !== out.length || b.data.length !== out.length) {
    golden.get("y").fail("a, b and y of one length");
  }
  if (
    engine === "qnnpack" && a.data instanceof Uint8Array && b.data instanceof Uint8Array &&
    out instanceof Uint8Array
  ) {
    const { zeroPoint, quantMin, scale } = y.qparams;
    const constants = buildFixedPointAdd(a.qparams.scale, b.qparams.scale, scale);
    if (constants === null) return golden.fail("scales that qnnpack can add");
    const min = relu ? Math.max(quantMin, zeroPoint) : quantMin;
    addQuint8FixedPoint(a, b, { data: out, qparams: { ...y.qparams, quantMin: min } }, constants);
  } else {
    addInt8(a, b, { data: out, qparams: y.qparams }, relu);
  }
  check.integers(relu ? ADD_RELU : ADD, engine, "y", out, y.data);
}

function mul(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const a = golden.get("a").perTensor();
  const b = golden.get("b").perTensor();
  const y = golden.get("y").perTensor();
  const out = newQArray(y.qparams.dtype, y.data.length);
  if (a.data.length !== out.length || b.data.length !== out.length) {
    golden.get("y").fail("a, b and y of one length");
  }
  mulInt8(a, b, { data: out, qparams: y.qparams });
  check.integers(MUL, engine, "y", out, y.data);
}

function activation(golden: Field, check: Check, name: "sigmoid" | "tanh"): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const table = golden.get("table").perTensor();
  const signed = table.qparams.dtype === "qint8";
  const first = signed ? -128 : 0;
  if (table.qparams.dtype === "qint32" || table.data.length !== 256) {
    golden.get("table").fail("256 8-bit integers");
  }
  const zeroPoint = golden.get("x_zero_point").integer();
  const from = {
    scale: golden.get("x_scale").number(),
    zeroPoint,
    quantMin: first,
    quantMax: first + 255,
  };
  const outputs = activationTable(name, from, table.qparams);
  const out = newQArray(table.qparams.dtype, 256);
  for (let i = 0; i < 256; i++) {
    out[i] = lookup(outputs, first + i - zeroPoint) + table.qparams.zeroPoint;
  }
  check.integers(name === "sigmoid" ? SIGMOID : TANH, engine, "table", out, table.data);
}

/** ops_elementwise*.json */
export const elementwiseKind: Kind = {
  files: /^ops_elementwise/,
  nameOf: (golden) => describe(golden, ["engine", "x_scale", "x_zero_point", "a", "b", "name"]),
  run(golden, check) {
    runOperation(
      {
        add: (golden, check) => addWith(golden, check, false),
        add_relu: (golden, check) => addWith(golden, check, true),
        mul,
        sigmoid: (golden, check) => activation(golden, check, "sigmoid"),
        tanh: (golden, check) => activation(golden, check, "tanh"),
      },
      golden,
      check,
    );
  },
};
