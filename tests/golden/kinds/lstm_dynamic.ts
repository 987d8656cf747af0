/**
 * lstm_dynamic_<engine>, linear_dynamic_modules: torch.ao.quantization.quantize_dynamic of float
 * modules, here `prepare` with a dynamic QConfig and `convert`.
 *
 * A Linear gives the same bits. An LSTM's float sigmoid and tanh may differ in the last place, and
 * what follows from that: where it moves a hidden state over a rounding boundary, one step of its
 * quantization.
 *
 * @module
 */
import type { Engine } from "../../../kernels/ops/linear.ts";
import { Linear } from "../../../src/modules/linear/float.ts";
import {
  dynamicQConfig,
  perChannelDynamicQConfig,
  type QConfig,
} from "../../../src/qconfig/qconfig.ts";
import { convert } from "../../../src/authoring/convert.ts";
import type { Module } from "../../../src/modules/module.ts";
import { prepare } from "../../../src/authoring/prepare.ts";
import type { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import type { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import type { QuantizedModule } from "../../../src/authoring/model.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";
import { readWeight } from "./linear.ts";
import { readFloatLSTM } from "./lstm.ts";

const WEIGHTS: Row = {
  operation: "dynamic LSTM, GRU and Linear, int8 weights and scales",
  torch: "torch.ao.quantization.quantize_dynamic",
};
const LINEAR: Row = {
  operation: "dynamic Linear module",
  torch: "torch.ao.nn.quantized.dynamic.Linear",
};

/**
 * The largest difference from torch's outputs that passes: about a step of a hidden state in 7
 * bits, 2 / 127.
 */
const TOLERANCE = 0.016;

/** A float module quantized dynamically, as its case says. */
export function convertDynamically(golden: Field, model: Module, engine: Engine): QuantizedModule {
  const perChannel = golden.maybe("per_channel")?.boolean() ?? false;
  const qconfig: QConfig = { ...(perChannel ? perChannelDynamicQConfig : dynamicQConfig), engine };
  const [module] = convert(prepare(model, qconfig)).modules.values();
  return module!;
}

/** Compares int8 weights, by torch's names. */
export function compareWeights(
  golden: Field,
  engine: Engine,
  here: Record<string, QuantizedLinear["weight"]>,
  check: Check,
) {
  const torch = golden.get("weights");
  if (torch.keys().toSorted().join() !== Object.keys(here).toSorted().join()) {
    torch.fail(`the weights ${Object.keys(here)}`);
  }
  for (const [name, weight] of Object.entries(here)) {
    const { data, scales, zeroPoints } = readWeight(torch.get(name));
    check.integers(WEIGHTS, engine, name, weight.data, data);
    check.floats(WEIGHTS, engine, `${name}.scales`, weight.scales, scales);
    check.integers(WEIGHTS, engine, `${name}.zero_points`, weight.zeroPoints, zeroPoints);
  }
}

function lstm(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const model = readFloatLSTM(golden);
  const dynamic = convertDynamically(golden, model, engine) as QuantizedLSTM;
  const weights: Record<string, QuantizedLinear["weight"]> = {};
  dynamic.cells.forEach((layer, l) =>
    layer.forEach(({ weightIh, weightHh }, d) => {
      const suffix = `l${l}${d === 1 ? "_reverse" : ""}`;
      weights[`weight_ih_${suffix}`] = weightIh;
      weights[`weight_hh_${suffix}`] = weightHh;
    })
  );
  compareWeights(golden, engine, weights, check);
  const h0 = golden.maybe("h0")?.tensor();
  const c0 = golden.maybe("c0")?.tensor();
  const lengths = golden.maybe("lengths")?.integers();
  const [y, [h, c]] = dynamic.forward(
    golden.get("input").tensor(),
    h0 && c0 ? [h0, c0] : undefined,
    { lengths },
  );
  [y, h, c].forEach((here, i) => {
    const name = ["output", "h_n", "c_n"][i]!;
    const torch = golden.get(name).tensor();
    if (here.shape.join() !== torch.shape.join()) {
      check.differs(`${name}.shape`, `[${torch.shape}]`, `[${here.shape}]`);
    }
    compareDynamic(
      engine,
      "dynamic LSTM against torch.ao.nn.quantized.dynamic.LSTM",
      name,
      here.data,
      torch.data,
      check,
    );
  });
}

/**
 * Measures the distance of float outputs after a dynamic LSTM from torch's; fails if it is much
 * larger than explained.
 */
export function compareDynamic(
  engine: Engine,
  subject: string,
  name: string,
  here: ArrayLike<number>,
  torch: ArrayLike<number>,
  check: Check,
): void {
  const measured = check.tally.measurement(`${subject}, ${engine}`);
  for (let k = 0; k < torch.length; k++) {
    const difference = Math.abs(here[k]! - torch[k]!);
    measured.add(difference);
    if (!(difference <= TOLERANCE)) {
      check.differs(`${name}[${k}]`, String(torch[k]), String(here[k]));
    }
  }
}

function linear(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const weight = golden.get("weight").tensor();
  const bias = golden.maybe("bias")?.tensor();
  const [outFeatures, inFeatures] = weight.shape;
  const model = new Linear({
    inFeatures: inFeatures!,
    outFeatures: outFeatures!,
    bias: bias !== undefined,
  });
  model.loadStateDict(
    new Map(bias === undefined ? [["weight", weight]] : [["weight", weight], ["bias", bias]]),
  );
  const dynamic = convertDynamically(golden, model, engine) as QuantizedLinear;
  compareWeights(golden, engine, { weight: dynamic.weight }, check);
  const y = golden.get("y").tensor();
  const here = dynamic.forward(golden.get("x").tensor());
  if (here.shape.join() !== y.shape.join()) {
    check.differs("y.shape", `[${y.shape}]`, `[${here.shape}]`);
  }
  check.floats(LINEAR, engine, "y", here.data, y.data);
}

/** lstm_dynamic*.json */
export const lstmDynamicKind: Kind = {
  files: /^lstm_dynamic/,
  nameOf: (golden) => golden.get("name").string(),
  run: lstm,
};

/** linear_dynamic_modules*.json */
export const linearDynamicKind: Kind = {
  files: /^linear_dynamic_modules/,
  nameOf: (golden) => golden.get("name").string(),
  run: linear,
};
