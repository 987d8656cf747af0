/**
 * torch_models: whole models as scripts/export_torch.py writes them, and what torch makes of an
 * input.
 *
 * @module
 */
import type { Engine } from "../../../kernels/ops/linear.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import { loadModel, saveModel } from "@splitgate/splitgate";
import type { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import { type Field, Malformed } from "../read.ts";
import { compareDynamic } from "./lstm_dynamic.ts";

const MODELS: Row = {
  operation: "whole models through export_torch.py, QAT too: every output",
  torch: "Embedding, LSTM, Linear, Sequential of torch.ao.nn.quantized",
};

const DYNAMIC: Row = {
  operation: "whole models through export_torch.py, dynamic Linear: every output",
  torch: "Linear, Sequential of torch.ao.nn.quantized.dynamic",
};

/** The bytes of a base64 string. */
function bytesOf(golden: Field): Uint8Array {
  try {
    return Uint8Array.from(atob(golden.string()), (c) => c.charCodeAt(0));
  } catch (error) {
    throw error instanceof Malformed ? error : new Malformed(`${golden.path}: expected base64`);
  }
}

function run(golden: Field, check: Check): void {
  const engine: Engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const bytes = bytesOf(golden.get("model"));
  const model = loadModel(bytes);
  const saved = saveModel(model);
  const sameFile = saved.length === bytes.length && saved.every((byte, i) => byte === bytes[i]);
  check.one(MODELS, engine, "saveModel(loadModel(model))", sameFile ? 1 : 0, 1);
  const input = golden.get("input");
  const given = golden.get("output");
  const floats = given.has("f32");
  const torch = floats ? { data: given.tensor().data, qparams: null } : given.quint8();
  const x = input.has("tokens")
    ? Int32Array.from(input.get("tokens").integers())
    : input.tensor().data;
  const shape = input.get("shape").integers();
  const { output } = model;
  if ((output === null) !== floats) {
    return check.differs("output", floats ? "floats" : "integers", "the other");
  }
  if (output !== null && torch.qparams !== null) {
    check.one(MODELS, engine, "output.scale", output.scale, torch.qparams.scale);
    check.one(MODELS, engine, "output.zero_point", output.zeroPoint, torch.qparams.zeroPoint);
  }
  // A model without an LSTM has rows only.
  const lstm = [...model.modules.values()].find((module) => module.kind === "LSTM");
  const { batchFirst } = model;
  const batch = lstm === undefined ? 1 : shape[batchFirst ? 0 : 1]!;
  const steps = batchFirst ? shape[1]! : shape[0]!;
  const session = model.createSession({ batch, maxSteps: steps });
  const y =
    (output === null
      ? new Float32Array(torch.data.length)
      : newQArray(output.dtype, torch.data.length)) as
        | Float32Array
        | Uint8Array;
  session.run(x, y);
  if (floats && (lstm as QuantizedLSTM | undefined)?.dynamic) {
    compareDynamic(
      engine,
      "whole dynamic models through export_torch.py",
      "output",
      y,
      torch.data,
      check,
    );
  } else if (floats) check.floats(DYNAMIC, engine, "output", y, torch.data);
  else check.integers(MODELS, engine, "output", y, torch.data);
}

/** torch_models*.json */
export const torchModelsKind: Kind = {
  files: /^torch_models/,
  nameOf: (golden) => golden.get("name").string(),
  run,
};
