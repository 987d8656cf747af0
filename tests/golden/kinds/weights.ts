/**
 * weights: int8 weights by observers of reduced and custom ranges; fake_quantize: what passes
 * through a fake-quantizer while observing and quantizing are switched on and off.
 *
 * @module
 */
import { convert } from "../../../src/authoring/convert.ts";
import { prepare } from "../../../src/authoring/prepare.ts";
import { isPerChannel } from "../../../src/core/qparams.ts";
import { tensor } from "../../../src/core/tensor.ts";
import { Linear } from "../../../src/modules/linear/float.ts";
import type { ObservedLinear } from "../../../src/modules/linear/observed.ts";
import type { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import { FakeQuantize } from "../../../src/observer/fake_quantize.ts";
import type { Observer, ObserverFactory } from "../../../src/observer/observer.ts";
import { defaultObserver } from "../../../src/qconfig/qconfig.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";
import { readWeight } from "./linear.ts";
import { makeObserver } from "./observers.ts";

const WEIGHTS: Row = {
  operation: "int8 weights by observers of reduced and custom ranges, fake-quantized too",
  torch: "torch.ao.nn.quantized.Linear.from_float",
};
const FAKE: Row = {
  operation: "FakeQuantize, switched on and off",
  torch: "torch.ao.quantization.FakeQuantize",
};
const NAMES = [
  "MinMaxObserver",
  "MovingAverageMinMaxObserver",
  "PerChannelMinMaxObserver",
  "MovingAveragePerChannelMinMaxObserver",
] as const;

/** The factory of a case's observers. */
function factoryOf(golden: Field): ObserverFactory {
  const name = golden.get("observer").oneOf(...NAMES);
  return Object.assign((): Observer => makeObserver(name, golden), {
    observerName: name,
    args: {},
  });
}

/** weights*.json */
export const weightsKind: Kind = {
  files: /^weights/,
  nameOf: (golden) => golden.get("name").string(),
  run(golden, check) {
    const { data, shape } = golden.get("weight").tensor();
    const [outFeatures, inFeatures] = shape as [number, number];
    const linear = new Linear({ inFeatures, outFeatures });
    linear.weight.set(data);
    const observer = factoryOf(golden);
    const fake = golden.get("fake_quantize").boolean();
    const observed = prepare(linear, {
      activation: defaultObserver,
      weight: fake ? FakeQuantize.withArgs({ observer }) : observer,
    });
    observed.forward(tensor(new Float32Array(inFeatures).fill(1), [1, inFeatures]));
    if (fake) {
      const [quantizer] = (observed.modules.get("linear") as ObservedLinear).weightFakeQuant;
      const { data: torch } = golden.get("fake_weight").tensor();
      check.floats(WEIGHTS, "either", "fake_weight", quantizer!.forward(data, shape), torch);
    }
    const torch = readWeight(golden.get("quantized"));
    const { weight } = convert(observed).modules.get("linear") as QuantizedLinear;
    check.integers(WEIGHTS, "either", "ints", weight.data, torch.data);
    check.floats(WEIGHTS, "either", "scales", weight.scales, torch.scales);
    check.integers(WEIGHTS, "either", "zero_points", weight.zeroPoints, torch.zeroPoints);
  },
};

function runFake(golden: Field, check: Check): void {
  const fake = new FakeQuantize({ observer: factoryOf(golden) });
  golden.get("steps").list().forEach((step, i) => {
    fake.observerEnabled = step.get("observer_enabled").boolean();
    fake.fakeQuantEnabled = step.get("fake_quant_enabled").boolean();
    const { data, shape } = step.get("x").tensor();
    const { data: torch } = step.get("y").tensor();
    check.floats(FAKE, "either", `steps[${i}].y`, fake.forward(data, shape), torch);
  });
  const qparams = fake.calculateQParams();
  const whole = !isPerChannel(qparams);
  check.floats(
    FAKE,
    "either",
    "scale",
    whole ? [qparams.scale] : qparams.scales,
    golden.get("scale").floats(),
  );
  check.integers(
    FAKE,
    "either",
    "zero_point",
    whole ? [qparams.zeroPoint] : qparams.zeroPoints,
    golden.get("zero_point").integers(),
  );
}

/** fake_quantize*.json */
export const fakeQuantizeKind: Kind = {
  files: /^fake_quantize/,
  nameOf(golden) {
    const words = ["observer", "dtype", "qscheme"].map((key) => golden.get(key).string());
    const steps = golden.get("steps").list().length;
    return [...words, JSON.stringify(golden.get("args").value), `${steps} steps`].join(" ");
  },
  run: runFake,
};
