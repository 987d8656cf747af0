/**
 * lstm_<engine>_stubs: LSTMs after QuantStubs for x, h0 and c0, alone or between an Embedding and
 * a Linear, observed or fake-quantized. Floats go in: what quantizes them is compared as well.
 *
 * Each case is run three times: (a) the LSTM from the recorded integer modules, (b) everything from
 * the recorded ranges through `convert`, (c) from the recorded calibration data through `prepare`,
 * `forward` and `convert`.
 *
 * @module
 */
import { convert } from "../../../src/authoring/convert.ts";
import type { ObservedModel } from "../../../src/authoring/observed_model.ts";
import { prepare } from "../../../src/authoring/prepare.ts";
import type { PerTensorQParams } from "../../../src/core/qparams.ts";
import type { QTensor, Tensor, TokenTensor } from "../../../src/core/tensor.ts";
import { Embedding } from "../../../src/modules/embedding/float.ts";
import type { QuantizedEmbedding } from "../../../src/modules/embedding/quantized.ts";
import { Linear } from "../../../src/modules/linear/float.ts";
import type { ObservedLinear } from "../../../src/modules/linear/observed.ts";
import type { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import type { ObservedLSTM } from "../../../src/modules/lstm/observed.ts";
import { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import { Sequential } from "../../../src/modules/graph.ts";
import { FakeQuantize } from "../../../src/observer/fake_quantize.ts";
import { MinMaxObserver } from "../../../src/observer/min_max.ts";
import { MovingAverageMinMaxObserver } from "../../../src/observer/moving_average.ts";
import type { Observer } from "../../../src/observer/observer.ts";
import {
  MovingAveragePerChannelMinMaxObserver,
  PerChannelMinMaxObserver,
} from "../../../src/observer/per_channel.ts";
import { QConfigMapping } from "../../../src/qconfig/mapping.ts";
import {
  defaultPerChannelWeightObserver,
  defaultWeightObserver,
  type QConfig,
} from "../../../src/qconfig/qconfig.ts";
import { getPreset } from "../../../src/qconfig/presets.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";
import { readWeight } from "./linear.ts";
import {
  compareModules,
  compareRange,
  compareTensors,
  fromModules,
  innerObserver,
  type LSTMForm,
  observedParts,
  readForm,
  recordedObserver,
  recordedQParams,
  setRecordedRanges,
} from "./lstm.ts";

const FROM_MODULES: Row = {
  operation: "LSTM behind QuantStubs for x, h0 and c0, integers given: outputs, h_n, c_n",
  torch: "torch.ao.nn.quantized.LSTM",
};
const STUBS: Row = {
  operation: "QuantStubs of x, h0 and c0: integers",
  torch: "torch.ao.nn.quantized.Quantize",
};
const FROM_OBSERVERS: Row = {
  operation:
    "LSTM behind QuantStubs, also behind an Embedding and before a Linear, converted: outputs, h_n, c_n",
  torch: "torch.ao.quantization.convert",
};
const LINEAR: Row = {
  operation: "Linear behind an LSTM: int8 weight, scale and zero point",
  torch: "torch.ao.quantization.convert",
};

const NAMES = ["default", "minmax", "mavg", "narrow", "fake"] as const;

/** The QConfigs of scripts/golden_calibration.py. */
function qconfigOf(golden: Field, { engine }: LSTMForm): QConfig {
  const name = golden.get("qconfig").oneOf(...NAMES);
  const fbgemm = engine === "fbgemm";
  const weight = fbgemm ? defaultPerChannelWeightObserver : defaultWeightObserver;
  const minMax = MinMaxObserver.withArgs({ reduceRange: fbgemm });
  switch (name) {
    case "default":
      return getPreset(engine);
    case "minmax":
      return { engine, activation: minMax, weight: defaultWeightObserver };
    case "mavg":
      return { engine, activation: MovingAverageMinMaxObserver.withArgs({}), weight };
    case "narrow":
      return {
        engine,
        activation: minMax,
        weight: fbgemm
          ? PerChannelMinMaxObserver.withArgs({
            dtype: "qint8",
            qscheme: "perChannelSymmetric",
            reduceRange: true,
          })
          : MinMaxObserver.withArgs({ dtype: "qint8", quantMin: -8, quantMax: 7 }),
      };
    case "fake": {
      const range = { quantMin: 0, quantMax: 255, reduceRange: fbgemm };
      const ints = { dtype: "qint8", quantMin: -128, quantMax: 127 } as const;
      return {
        engine,
        activation: FakeQuantize.withArgs({
          observer: MovingAverageMinMaxObserver.withArgs(range),
        }),
        weight: FakeQuantize.withArgs({
          observer: fbgemm
            ? MovingAveragePerChannelMinMaxObserver.withArgs({
              ...ints,
              qscheme: "perChannelSymmetric",
            })
            : MovingAverageMinMaxObserver.withArgs({ ...ints, qscheme: "perTensorSymmetric" }),
        }),
      };
    }
  }
}

/** The float model of a case, observed. */
function prepared(golden: Field, form: LSTMForm): ObservedModel {
  const modules: [string, Embedding | Linear | LSTMForm["lstm"]][] = [["lstm", form.lstm]];
  const rows = golden.maybe("embedding")?.tensor();
  if (rows !== undefined) {
    const [numEmbeddings, embeddingDim] = rows.shape as [number, number];
    const embedding = new Embedding({ numEmbeddings, embeddingDim });
    embedding.weight.set(rows.data);
    modules.unshift(["embedding", embedding]);
  }
  const out = golden.maybe("out");
  if (out !== null) {
    const { data, shape } = out.get("weight").tensor();
    const [outFeatures, inFeatures] = shape as [number, number];
    const linear = new Linear({ inFeatures, outFeatures });
    linear.weight.set(data);
    linear.bias!.set(out.get("bias").tensor().data);
    modules.push(["out", linear]);
  }
  const all = new QConfigMapping().setGlobal(qconfigOf(golden, form));
  const mapping = rows === undefined ? all : all.setModuleName("embedding", null);
  return prepare(new Sequential(Object.fromEntries(modules)), mapping, {
    splitGates: form.splitGates,
  });
}

/** The observers of what the model is given and gives, by the case's names. */
function stubsOf(golden: Field, observed: ObservedModel): [name: string, observer: Observer][] {
  const { input, state } = observed.modules.get("lstm") as ObservedLSTM;
  const out = observed.modules.get("out") as ObservedLinear | undefined;
  const all = { x: input as Observer, h0: state![0], c0: state![1], out: out?.output };
  return golden.get("stubs").keys().map((name) => [name, all[name as keyof typeof all]!]);
}

function readInput(field: Field): Tensor | TokenTensor {
  if (!field.has("tokens")) return field.tensor();
  return {
    data: Int32Array.from(field.get("tokens").integers()),
    shape: field.get("shape").integers(),
  };
}

/** A pair of tensors, or nothing where there are none. */
function readState<T>(
  golden: Field,
  keys: readonly [string, string],
  read: (field: Field) => T,
): [T, T] | undefined {
  const [h, c] = keys.map((key) => golden.maybe(key));
  return h == null || c == null ? undefined : [read(h), read(c)];
}

/** What converted modules give for a recorded float input. */
function outputs(modules: ReadonlyMap<string, unknown>, result: Field) {
  const embedding = modules.get("embedding") as QuantizedEmbedding | undefined;
  const lstm = modules.get("lstm") as QuantizedLSTM;
  const out = modules.get("out") as QuantizedLinear | undefined;
  const x = readInput(result.get("x"));
  const state = readState(result, ["h0_float", "c0_float"], (field) => field.tensor());
  const [y, [h, c]] = lstm.forward(
    embedding === undefined ? x as Tensor : embedding.forward(x as TokenTensor),
    state,
  );
  return [out === undefined ? y : out.forward(y), h, c] as QTensor<PerTensorQParams>[];
}

/**
 * (a) The LSTM from its recorded modules: given integers, and given the floats that the stubs make
 * them of.
 */
function runModules(golden: Field, form: LSTMForm, check: Check): void {
  if (golden.has("out_module") || golden.maybe("embedding") !== null) return;
  const stubs = golden.get("stubs");
  const lstm = fromModules(golden, form, recordedQParams(stubs.get("x")));
  const given = golden.get("hidden_given").boolean()
    ? {
      stateInput: [recordedQParams(stubs.get("h0")), recordedQParams(stubs.get("c0"))] as const,
    }
    : {};
  const taking = new QuantizedLSTM({ ...lstm, ...given });
  for (const result of golden.get("results").list()) {
    const state = readState(result, ["h0", "c0"], (field) => field.quint8());
    const [y, [h, c]] = lstm.forward(result.get("input").quint8(), state);
    const integers = [y, h, c] as QTensor<PerTensorQParams>[];
    compareTensors(result, form.engine, integers, FROM_MODULES, check);
    const floats = outputs(new Map([["lstm", taking]]), result);
    compareTensors(result, form.engine, floats, STUBS, check);
  }
}

/** (b) Everything from the recorded ranges. */
function runObservers(golden: Field, form: LSTMForm, check: Check): void {
  const observed = prepared(golden, form);
  const lstm = observed.modules.get("lstm") as ObservedLSTM;
  setRecordedRanges(golden, form, lstm, check);
  const own = new Map(
    stubsOf(golden, observed).map(([name, observer]) => {
      const field = golden.get("stubs").get(name);
      return [name, recordedObserver(name, observer, field, form.engine, check)];
    }),
  );
  // A histogram is replaced by what has its parameters.
  Object.assign(lstm, {
    input: own.get("x"),
    ...(own.has("h0") ? { state: [own.get("h0"), own.get("c0")] } : {}),
  });
  if (own.has("out")) Object.assign(observed.modules.get("out")!, { output: own.get("out") });
  const { modules } = convert(observed);
  compareModules(golden, form, modules.get("lstm") as QuantizedLSTM, check);
  const torch = golden.maybe("out_module");
  if (torch !== null) {
    const { weight, output } = modules.get("out") as QuantizedLinear;
    const recorded = readWeight(torch.get("weight"));
    const { engine } = form;
    check.integers(LINEAR, engine, "out.weight", weight.data, recorded.data);
    check.floats(LINEAR, engine, "out.scales", weight.scales, recorded.scales);
    const scale = Math.fround(torch.get("scale").number());
    check.one(LINEAR, engine, "out.scale", output!.scale, scale);
    const zeroPoint = torch.get("zero_point").integer();
    check.one(LINEAR, engine, "out.zero_point", output!.zeroPoint, zeroPoint);
  }
  for (const result of golden.get("results").list()) {
    compareTensors(result, form.engine, outputs(modules, result), FROM_OBSERVERS, check);
  }
}

/** Every fake-quantizer of an observed model. */
function* fakeQuantizers(observed: ObservedModel): Iterable<FakeQuantize> {
  const lstm = observed.modules.get("lstm") as ObservedLSTM;
  const out = observed.modules.get("out") as ObservedLinear | undefined;
  const cells = lstm.cells.flat();
  const all: unknown[] = [lstm.input, ...lstm.state!, out?.output, ...out?.weightFakeQuant ?? []];
  for (const { observers, weightFakeQuant } of cells) {
    all.push(...Object.values(observers).flat(), ...Object.values(weightFakeQuant).flat());
  }
  for (const each of all) if (each instanceof FakeQuantize) yield each;
}

/**
 * (c) Calibrates on the recorded data: ranges and fake-quantized outputs, and how many integers
 * differ then.
 */
function runCalibration(golden: Field, form: LSTMForm, check: Check): void {
  const observed = prepared(golden, form);
  const lstm = observed.modules.get("lstm") as ObservedLSTM;
  const { engine } = form;
  const floats = check.tally.measurement(
    "observed and fake-quantized outputs, summed here in double",
  );
  golden.get("calibration").list().forEach((batch, i) => {
    for (const fake of fakeQuantizers(observed)) {
      fake.observerEnabled = batch.get("observer_enabled").boolean();
      fake.fakeQuantEnabled = batch.get("fake_quant_enabled").boolean();
    }
    const state = readState(batch, ["h0", "c0"], (field) => field.tensor());
    const y = observed.forward(
      readInput(batch.get("x")),
      state === undefined ? {} : { state: { lstm: state } },
    );
    const { data } = batch.get("y").tensor();
    y.data.forEach((value, k) => {
      const difference = Math.abs(value - data[k]!);
      floats.add(difference);
      if (!(difference <= 1e-5)) {
        check.differs(`calibration[${i}].y[${k}]`, String(data[k]), String(value));
      }
    });
  });
  for (const [path, observer] of observedParts(golden, form, lstm)) {
    compareRange(path, innerObserver(observer), golden.get("observers").get(path), engine, check);
  }
  for (const [name, observer] of stubsOf(golden, observed)) {
    compareRange(name, innerObserver(observer), golden.get("stubs").get(name), engine, check);
  }
  const integers = check.tally.measurement(`LSTM integers after calibration here, ${engine}`);
  const { modules } = convert(observed);
  for (const result of golden.get("results").list()) {
    outputs(modules, result).forEach(({ data }, i) => {
      const torch = result.get(["output", "h_n", "c_n"][i]!).quint8().data;
      torch.forEach((q, k) => integers.add(Math.abs(data[k]! - q)));
    });
  }
}

/** lstm_<engine>_stubs*.json */
export const lstmStubsKind: Kind = {
  files: /^lstm_(fbgemm|qnnpack)_stubs/,
  nameOf: (golden) => golden.get("name").string(),
  run(golden, check) {
    const form = readForm(golden);
    runModules(golden, form, check);
    runObservers(golden, form, check);
    runCalibration(golden, form, check);
  },
};
