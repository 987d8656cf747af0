/**
 * modules_chain: chains of Linear layers and activations through prepare and convert, with the
 * ranges that torch observed: parameters and integers of every module; and the float modules,
 * measured.
 *
 * @module
 */
import { convert } from "../../../src/authoring/convert.ts";
import { prepare } from "../../../src/authoring/prepare.ts";
import type { PerTensorQParams } from "../../../src/core/qparams.ts";
import type { QTensor, Tensor } from "../../../src/core/tensor.ts";
import { newQArray } from "../../../src/core/dtype.ts";
import type { QuantizedActivation } from "../../../src/modules/activation.ts";
import { Dropout } from "../../../src/modules/dropout/float.ts";
import { Sequential } from "../../../src/modules/graph.ts";
import { HardSigmoid } from "../../../src/modules/hard_sigmoid/float.ts";
import type { ForwardTensor } from "../../../src/modules/kind.ts";
import { LeakyReLU } from "../../../src/modules/leaky_relu/float.ts";
import { Linear, type LinearOptions } from "../../../src/modules/linear/float.ts";
import { LogSoftmax } from "../../../src/modules/log_softmax/float.ts";
import type { Module } from "../../../src/modules/module.ts";
import { ReLU } from "../../../src/modules/relu/float.ts";
import { Sigmoid } from "../../../src/modules/sigmoid/float.ts";
import { Softmax } from "../../../src/modules/softmax/float.ts";
import { Tanh } from "../../../src/modules/tanh/float.ts";
import { MinMaxObserver } from "../../../src/observer/min_max.ts";
import { Observer } from "../../../src/observer/observer.ts";
import {
  defaultPerChannelWeightObserver,
  defaultWeightObserver,
} from "../../../src/qconfig/qconfig.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";

const CHAINS: Row = {
  operation: "chains of Linear and activations through prepare and convert: every module",
  torch: "fuse_modules, prepare, convert of torch.ao.quantization",
};

// deno-lint-ignore no-explicit-any -- options of each kind are of its own
const MODULES: Readonly<Record<string, (options: any) => Module>> = {
  Dropout: (options) => new Dropout(options),
  HardSigmoid: (options) => new HardSigmoid(options),
  LeakyReLU: (options) => new LeakyReLU(options),
  Linear: (options: LinearOptions) => new Linear(options),
  LogSoftmax: () => new LogSoftmax(),
  ReLU: () => new ReLU(),
  Sigmoid: () => new Sigmoid(),
  Softmax: () => new Softmax(),
  Tanh: () => new Tanh(),
};

/** A float module with its recorded weights. */
function moduleOf(golden: Field): Module {
  const kind = golden.get("kind");
  const make = MODULES[kind.string()] ?? kind.fail(Object.keys(MODULES).join(", "));
  const module = make(golden.get("options").value);
  const names = ["weight", "bias"].filter((name) => golden.has(name));
  module.loadStateDict(new Map(names.map((name) => [name, golden.get(name).tensor()])));
  return module;
}

/** Gives an observer what torch's has seen. */
function setRange(observer: unknown, golden: Field): void {
  if (!(observer instanceof Observer)) return golden.fail("a range of no observer");
  const [min, max] = golden.list().map((each) => each.number());
  observer.setRange(min!, max!);
}

function run(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const x = golden.get("x").tensor();
  const recorded = golden.get("modules").list();
  const nameOf = (each: Field) => each.get("name").string();
  const modules = new Map(recorded.map((each) => [nameOf(each), moduleOf(each)]));

  // The float modules, each given torch's own values. A Linear's terms are of the size of 16, and
  // torch sums them in another order.
  let given: Tensor = x;
  for (const each of recorded) {
    const module = modules.get(nameOf(each)) as Module & { forward(x: Tensor): Tensor };
    const expected = each.get("float").tensor();
    check.measure(
      "Modules in float32, in units of the last place of the larger of 16 and the result",
      `${nameOf(each)}.float`,
      module.forward(given).data,
      expected.data,
      { tolerance: 4, smallest: 16 },
    );
    given = expected;
  }

  const observed = prepare(new Sequential(Object.fromEntries(modules)), {
    activation: MinMaxObserver.withArgs({ reduceRange: golden.get("reduce_range").boolean() }),
    weight: golden.get("per_channel").boolean()
      ? defaultPerChannelWeightObserver
      : defaultWeightObserver,
    engine,
  });
  const [first] = observed.modules.values();
  const ranges = golden.get("ranges");
  for (const name of ranges.keys()) {
    const module = observed.modules.get(name);
    setRange(name === "input" ? first!.input : module?.output, ranges.get(name));
  }
  const model = convert(observed);
  const names = recorded.filter((each) =>
    each.has("output") && each.get("kind").string() !== "Dropout"
  ).map(nameOf);
  const left = [...model.modules.keys()];
  if (left.join() !== names.join()) check.differs("modules", names.join(), left.join());

  // Module by module, each given torch's own integers.
  let value: ForwardTensor = golden.get("input").perTensor();
  const input = model.input!;
  compareQParams(check, engine, "input", input, value.qparams);
  for (const each of recorded) {
    const module = model.modules.get(nameOf(each)) as QuantizedActivation | undefined;
    if (module === undefined) continue;
    const y = module.forward(value);
    value = compare(check, engine, nameOf(each), y, each.get("output"));
  }

  // The whole, from the float input.
  const steps = x.shape[0]!;
  const out = model.output === null
    ? new Float32Array(steps * model.outputSize)
    : newQArray(model.output.dtype, steps * model.outputSize);
  model.createSession().run(x.data, out);
  if (model.output === null) return;
  const last = recorded.findLast((each) => each.has("output"))!;
  const whole = last.get("output").perTensor();
  check.integers(CHAINS, engine, "session", out as Uint8Array, whole.data);
}

function compareQParams(
  check: Check,
  engine: "fbgemm" | "qnnpack",
  name: string,
  here: PerTensorQParams,
  torch: PerTensorQParams,
): void {
  check.one(CHAINS, engine, `${name}.scale`, here.scale, torch.scale);
  check.one(CHAINS, engine, `${name}.zero_point`, here.zeroPoint, torch.zeroPoint);
}

/** Compares a module's output, and gives torch's. */
function compare(
  check: Check,
  engine: "fbgemm" | "qnnpack",
  name: string,
  here: ForwardTensor,
  golden: Field,
): ForwardTensor {
  if (golden.has("f32")) {
    const torch = golden.tensor();
    check.measure(
      "LogSoftmax of dequantized integers, in units of the last place of the larger of 1 and the result",
      name,
      here.data as Float32Array,
      torch.data,
      { tolerance: 4, smallest: 1 },
    );
    return torch;
  }
  const torch = golden.perTensor();
  const { qparams, data } = here as QTensor<PerTensorQParams>;
  compareQParams(check, engine, name, qparams, torch.qparams);
  check.integers(CHAINS, engine, name, data, torch.data);
  return torch;
}

/** modules*.json */
export const modulesKind: Kind = {
  files: /^modules/,
  nameOf: (golden) => golden.get("name").string(),
  run,
};
