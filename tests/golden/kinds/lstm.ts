/**
 * lstm_<engine>: the eager flow, torch.ao.nn.quantizable.LSTM to torch.ao.nn.quantized.LSTM.
 *
 * Each case is run three times: (a) from the recorded integer modules, (b) from the recorded
 * observers through `convert`, (c) from the recorded calibration data through `prepare`, `forward`
 * and `convert`.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../../kernels/ops/linear.ts";
import type { CellFunctions } from "../../../kernels/float/lstm.ts";
import { functionsOf } from "../../../src/cells/functions.ts";
import { LSTM_GATES, LSTM_PARTS, type LSTMQParams } from "../../../src/cells/lstm_parts.ts";
import type { LSTMPartName } from "../../../src/cells/names.ts";
import { LSTM } from "../../../src/modules/lstm/float.ts";
import { FakeQuantize } from "../../../src/observer/fake_quantize.ts";
import { FixedQParamsObserver } from "../../../src/observer/fixed.ts";
import { HistogramObserver } from "../../../src/observer/histogram.ts";
import { MinMaxObserver } from "../../../src/observer/min_max.ts";
import { MovingAverageMinMaxObserver } from "../../../src/observer/moving_average.ts";
import type { Observer } from "../../../src/observer/observer.ts";
import {
  defaultPerChannelWeightObserver,
  defaultWeightObserver,
  type QConfig,
} from "../../../src/qconfig/qconfig.ts";
import { getPreset } from "../../../src/qconfig/presets.ts";
import { perTensorAffine, type PerTensorQParams } from "../../../src/core/qparams.ts";
import { convert } from "../../../src/authoring/convert.ts";
import type { ObservedLSTM } from "../../../src/modules/lstm/observed.ts";
import { prepare } from "../../../src/authoring/prepare.ts";
import type { QuantizedLSTMCell } from "../../../src/modules/lstm/data.ts";
import { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import type { QTensor, Tensor } from "../../../src/core/tensor.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import { type Field, Malformed } from "../read.ts";
import { readWeight } from "./linear.ts";

const TORCH = "torch.ao.nn.quantized.LSTM";
const FROM_MODULES: Row = {
  operation: "LSTM, integers given: outputs of every step, h_n, c_n",
  torch: TORCH,
};
const QPARAMS: Row = {
  operation: "LSTM, qparams of every part from the recorded observers",
  torch: `${TORCH}.from_observed`,
};
const WEIGHTS: Row = {
  operation: "LSTM, int8 weights and scales",
  torch: `${TORCH}.from_observed`,
};
const FROM_OBSERVERS: Row = {
  operation: "LSTM, converted from the recorded observers: outputs, h_n, c_n",
  torch: TORCH,
};

/** The LSTM that a case is about. */
export interface LSTMForm {
  readonly engine: Engine;
  readonly lstm: LSTM;
  readonly splitGates: boolean;
}

/** The case as it is given, shared by its three runs. */
interface Case extends LSTMForm {
  readonly x: QTensor<PerTensorQParams>;
  readonly state: readonly [QTensor<PerTensorQParams>, QTensor<PerTensorQParams>] | undefined;
}

/** The functions of a case's gates and cell gates, where they are not a sigmoid and a tanh. */
function readFunctions(golden: Field): Partial<CellFunctions> {
  const gate = golden.maybe("gate_activation");
  const candidate = golden.maybe("activation");
  return {
    ...gate && { gateActivation: gate.oneOf("sigmoid", "hardSigmoid") },
    ...candidate && { activation: candidate.oneOf("tanh", "sigmoid"), cellActivation: "tanh" },
  };
}

/** The float LSTM that a case starts from. */
export function readFloatLSTM(golden: Field): LSTM {
  const flag = (key: string) => golden.get(key).boolean();
  const lstm = new LSTM({
    inputSize: golden.get("input_size").integer(),
    hiddenSize: golden.get("hidden_size").integer(),
    numLayers: golden.get("num_layers").integer(),
    bias: flag("bias"),
    batchFirst: flag("batch_first"),
    bidirectional: flag("bidirectional"),
    ...readFunctions(golden),
  });
  const weights = golden.get("float_state_dict");
  lstm.loadStateDict(new Map(weights.keys().map((key) => [key, weights.get(key).tensor()])));
  return lstm;
}

/** Reads what a case's LSTM is. */
export function readForm(golden: Field): LSTMForm {
  return {
    engine: golden.get("engine").oneOf("fbgemm", "qnnpack"),
    lstm: readFloatLSTM(golden),
    splitGates: golden.get("split_gates").boolean(),
  };
}

function readCase(golden: Field): Case {
  const h0 = golden.maybe("h0");
  const c0 = golden.maybe("c0");
  if ((h0 === null) === golden.get("hidden_given").boolean()) {
    golden.get("hidden_given").fail("what h0 says");
  }
  return {
    ...readForm(golden),
    x: golden.get("input").quint8(),
    state: h0 === null || c0 === null ? undefined : [h0.quint8(), c0.quint8()],
  };
}

/** Every layer and direction, with the path of its cell in torch. */
function cellPaths({ lstm }: LSTMForm): string[][] {
  return Array.from(
    { length: lstm.numLayers },
    (_, l) =>
      (lstm.bidirectional ? ["fw", "bw"] : ["fw"]).map((way) => `layers.${l}.layer_${way}.cell`),
  );
}

/** The paths of one part's modules: one, or four of a gated part with split gates. */
function partPaths(cell: string, part: LSTMPartName, split: boolean): string[] {
  const gated = LSTM_PARTS.find(({ name }) => name === part)!.gated;
  return split && gated ? LSTM_GATES.map((gate) => `${cell}.${part}.${gate}`) : [`${cell}.${part}`];
}

export function recordedQParams(module: Field): PerTensorQParams {
  try {
    const scale = module.get("scale").number();
    const zeroPoint = module.get("zero_point").integer();
    return perTensorAffine({ dtype: "quint8", scale, zeroPoint });
  } catch (error) {
    throw error instanceof Malformed
      ? error
      : new Malformed(`${module.path}: ${(error as Error).message}`);
  }
}

/** One weight of the four gates' rows, from one recorded module or four. */
function joinWeights(parts: readonly LinearWeight[]): LinearWeight {
  const join = <T extends Int8Array | Float32Array | Int32Array>(
    arrays: readonly T[],
    out: T,
  ): T => {
    let at = 0;
    for (const array of arrays) {
      out.set(array, at);
      at += array.length;
    }
    return out;
  };
  const sum = (of: (part: LinearWeight) => number) =>
    parts.reduce((total, part) => total + of(part), 0);
  const { inFeatures, perChannel } = parts[0]!;
  return {
    data: join(parts.map(({ data }) => data), new Int8Array(sum(({ data }) => data.length))),
    outFeatures: sum(({ outFeatures }) => outFeatures),
    inFeatures,
    perChannel,
    scales: join(
      parts.map(({ scales }) => scales),
      new Float32Array(sum(({ scales }) => scales.length)),
    ),
    zeroPoints: join(
      parts.map(({ zeroPoints }) => zeroPoints),
      new Int32Array(sum((p) => p.zeroPoints.length)),
    ),
  };
}

function readLinear(
  modules: readonly Field[],
): { weight: LinearWeight; bias: Float32Array | null } {
  const biases = modules.map((module) => module.maybe("bias")?.tensor().data ?? null);
  return {
    weight: joinWeights(modules.map((module) => readWeight(module.get("weight")))),
    bias: biases.some((bias) => bias === null)
      ? null
      : Float32Array.from(biases.flatMap((bias) => [...bias!])),
  };
}

/** An integer cell made of the recorded modules. */
function recordedCell(cell: string, modules: Field, split: boolean): QuantizedLSTMCell {
  const parts: Record<string, unknown> = {};
  for (const { name, gated } of LSTM_PARTS) {
    if (name === "tanh_cy") {
      // A function call in torch, not a module; its parameters are fixed.
      parts[name] = perTensorAffine({ dtype: "quint8", scale: 2 / 256, zeroPoint: 128 });
      continue;
    }
    const each = partPaths(cell, name, split).map((path) => recordedQParams(modules.get(path)));
    parts[name] = !gated ? each[0] : split ? each : Array(4).fill(each[0]);
  }
  const ih = readLinear(partPaths(cell, "igates", split).map((path) => modules.get(path)));
  const hh = readLinear(partPaths(cell, "hgates", split).map((path) => modules.get(path)));
  return {
    weightIh: ih.weight,
    weightHh: hh.weight,
    biasIh: ih.bias,
    biasHh: hh.bias,
    weightHr: null,
    parts: parts as unknown as LSTMQParams,
  };
}

/** (a) The integer LSTM that torch made, put together from its recorded modules. */
export function fromModules(
  golden: Field,
  given: LSTMForm,
  input: PerTensorQParams,
): QuantizedLSTM {
  const { inputSize, hiddenSize, numLayers, bias, batchFirst, bidirectional } = given.lstm;
  const modules = golden.get("modules");
  return new QuantizedLSTM({
    ...functionsOf(given.lstm),
    inputSize,
    hiddenSize,
    numLayers,
    bias,
    batchFirst,
    bidirectional,
    engine: given.engine,
    splitGates: given.splitGates,
    input,
    torchInitialState: true,
    cells: cellPaths(given).map((layer) =>
      layer.map((cell) => recordedCell(cell, modules, given.splitGates))
    ),
  });
}

/**
 * The QConfig that a case's name refers to: torch's default; MinMaxObserver, with reduced range
 * under fbgemm, and weights per tensor; MovingAverageMinMaxObserver with the default's weights.
 */
function qconfigOf(golden: Field, { engine, x }: Case): QConfig {
  const name = golden.get("qconfig").oneOf("default", "minmax", "mavg");
  const fbgemm = engine === "fbgemm";
  const { scale, zeroPoint } = x.qparams;
  const common = { engine, input: FixedQParamsObserver.withArgs({ scale, zeroPoint }) } as const;
  if (name === "default") return { ...getPreset(engine), ...common };
  return name === "minmax"
    ? {
      ...common,
      activation: MinMaxObserver.withArgs({ reduceRange: fbgemm }),
      weight: defaultWeightObserver,
    }
    : {
      ...common,
      activation: MovingAverageMinMaxObserver.withArgs({}),
      weight: fbgemm ? defaultPerChannelWeightObserver : defaultWeightObserver,
    };
}

/**
 * The observers that torch has modules with observers for: not those of sigmoid and tanh, whose
 * parameters are fixed.
 */
export function observedParts(
  golden: Field,
  given: LSTMForm,
  observed: ObservedLSTM,
): [path: string, observer: Observer][] {
  const found: [string, Observer][] = [];
  const recorded = golden.get("observers");
  cellPaths(given).forEach((layer, l) =>
    layer.forEach((cell, d) => {
      for (const { name } of LSTM_PARTS) {
        partPaths(cell, name, given.splitGates).forEach((path, gate) => {
          if (!recorded.has(path)) return;
          const observer = observed.cells[l]![d]!.observers[name];
          found.push([path, (Array.isArray(observer) ? observer[gate] : observer) as Observer]);
        });
      }
    })
  );
  if (found.length !== recorded.keys().length) {
    recorded.fail(`${found.length} observers of an LSTM's parts`);
  }
  return found;
}

/** Puts another observer in an observed LSTM's place for a part. */
export function replaceObserver(
  given: LSTMForm,
  observed: ObservedLSTM,
  path: string,
  observer: Observer,
): void {
  cellPaths(given).forEach((layer, l) =>
    layer.forEach((cell, d) => {
      const observers = observed.cells[l]![d]!.observers as unknown as Record<string, unknown>;
      for (const { name, gated } of LSTM_PARTS) {
        partPaths(cell, name, given.splitGates).forEach((each, gate) => {
          if (each !== path) return;
          if (!gated) observers[name] = observer;
          else if (!given.splitGates) observers[name] = Array(4).fill(observer);
          else (observers[name] as Observer[])[gate] = observer;
        });
      }
    })
  );
}

function prepared(
  golden: Field,
  given: Case,
): { model: ReturnType<typeof prepare>; lstm: ObservedLSTM } {
  const model = prepare(given.lstm, qconfigOf(golden, given), { splitGates: given.splitGates });
  return { model, lstm: model.modules.get("lstm") as ObservedLSTM };
}

/** An observer inside a fake-quantizer, or the observer itself. */
export function innerObserver(observer: Observer): Observer {
  return observer instanceof FakeQuantize ? observer.observer : observer;
}

/**
 * Gives an observer the recorded range, from which it must compute torch's qparams. The range of a
 * histogram does not determine its qparams, so a replacement returns the recorded ones.
 */
export function recordedObserver(
  path: string,
  observer: Observer,
  field: Field,
  family: Engine,
  check: Check,
): Observer {
  const torch = recordedQParams(field);
  const inner = innerObserver(observer);
  if (field.get("class").string() !== inner.kind) field.get("class").fail(inner.kind);
  if (inner instanceof HistogramObserver) {
    const { dtype, scale, zeroPoint } = torch;
    return new FixedQParamsObserver({ dtype, scale, zeroPoint });
  }
  observer.setRange(field.get("min_val").number(), field.get("max_val").number());
  const { scale, zeroPoint } = observer.calculateQParams() as PerTensorQParams;
  check.one(QPARAMS, family, `${path}.scale`, scale, torch.scale);
  check.one(QPARAMS, family, `${path}.zero_point`, zeroPoint, torch.zeroPoint);
  return observer;
}

/** Gives the observers of an LSTM's parts the ranges that were recorded. */
export function setRecordedRanges(
  golden: Field,
  given: LSTMForm,
  lstm: ObservedLSTM,
  check: Check,
): void {
  const recorded = golden.get("observers");
  for (const [path, observer] of observedParts(golden, given, lstm)) {
    const own = recordedObserver(path, observer, recorded.get(path), given.engine, check);
    if (own !== observer) replaceObserver(given, lstm, path, own);
  }
}

/** Compares a converted LSTM's parameters and weights with the recorded modules'. */
export function compareModules(
  golden: Field,
  given: LSTMForm,
  converted: QuantizedLSTM,
  check: Check,
): void {
  const modules = golden.get("modules");
  cellPaths(given).forEach((layer, l) =>
    layer.forEach((cell, d) => compareCell(given, cell, converted.cells[l]![d]!, modules, check))
  );
}

/** (b) What `convert` makes of the float weights and the recorded observers. */
function fromObservers(golden: Field, given: Case, check: Check): QuantizedLSTM {
  const { model, lstm } = prepared(golden, given);
  setRecordedRanges(golden, given, lstm, check);
  const converted = convert(model).modules.get("lstm") as QuantizedLSTM;
  compareModules(golden, given, converted, check);
  return converted;
}

function compareCell(
  given: LSTMForm,
  cell: string,
  made: QuantizedLSTMCell,
  modules: Field,
  check: Check,
): void {
  const { engine, splitGates } = given;
  const torch = recordedCell(cell, modules, splitGates);
  for (const { name, gated } of LSTM_PARTS) {
    partPaths(cell, name, splitGates).forEach((path, gate) => {
      const [here, there] = [made, torch].map(({ parts }) =>
        (gated ? (parts[name] as PerTensorQParams[])[gate] : parts[name]) as PerTensorQParams
      );
      check.one(QPARAMS, engine, `${path}.scale`, here!.scale, there!.scale);
      check.one(QPARAMS, engine, `${path}.zero_point`, here!.zeroPoint, there!.zeroPoint);
    });
  }
  for (const kind of ["Ih", "Hh"] as const) {
    const part = kind === "Ih" ? "igates" : "hgates";
    const here = made[`weight${kind}`];
    const there = torch[`weight${kind}`];
    check.integers(WEIGHTS, engine, `${cell}.${part}.weight`, here.data, there.data);
    check.floats(WEIGHTS, engine, `${cell}.${part}.scales`, here.scales, there.scales);
    check.integers(
      WEIGHTS,
      engine,
      `${cell}.${part}.zero_points`,
      here.zeroPoints,
      there.zeroPoints,
    );
    // Under qnnpack torch makes a bias of zeros where there is none.
    const bias = torch[`bias${kind}`] ?? [];
    check.floats(
      WEIGHTS,
      engine,
      `${cell}.${part}.bias`,
      made[`bias${kind}`] ?? new Float32Array(bias.length),
      bias,
    );
  }
}

/** What an LSTM gives for the case's input: output, h_n, c_n. */
function outputs(lstm: QuantizedLSTM, { x, state }: Case): QTensor<PerTensorQParams>[] {
  const [y, [h, c]] = lstm.forward(x, state);
  return [y, h, c] as QTensor<PerTensorQParams>[];
}

const RESULTS = ["output", "h_n", "c_n"] as const;

function compareOutputs(
  golden: Field,
  given: Case,
  lstm: QuantizedLSTM,
  row: Row,
  check: Check,
): void {
  compareTensors(golden, given.engine, outputs(lstm, given), row, check);
}

/** Compares what an LSTM gives with the recorded `output`, `h_n` and `c_n`. */
export function compareTensors(
  golden: Field,
  family: Engine,
  tensors: readonly QTensor<PerTensorQParams>[],
  row: Row,
  check: Check,
): void {
  tensors.forEach((here, i) => {
    const torch = golden.get(RESULTS[i]!).quint8();
    if (here.shape.join() !== torch.shape.join()) {
      check.differs(`${RESULTS[i]}.shape`, `[${torch.shape}]`, `[${here.shape}]`);
    }
    check.one(row, family, `${RESULTS[i]}.scale`, here.qparams.scale, torch.qparams.scale);
    check.one(
      row,
      family,
      `${RESULTS[i]}.zero_point`,
      here.qparams.zeroPoint,
      torch.qparams.zeroPoint,
    );
    check.integers(row, family, RESULTS[i]!, here.data, torch.data);
  });
}

/** How far a range observed here may be from torch's, as a share of its larger end. */
const RANGE_TOLERANCE = 1e-6;

/** Compares a range that was observed here with torch's. */
export function compareRange(
  path: string,
  observer: Observer,
  field: Field,
  family: Engine,
  check: Check,
): void {
  const ranges = check.tally.measurement(
    `ranges observed in calibration, ${family} (relative to the larger end)`,
  );
  const torch = [
    Math.fround(field.get("min_val").number()),
    Math.fround(field.get("max_val").number()),
  ];
  const unit = Math.max(Math.abs(torch[0]!), Math.abs(torch[1]!)) || 1;
  [observer.minVal as number, observer.maxVal as number].forEach((here, end) => {
    const difference = Math.abs(here - torch[end]!) / unit;
    ranges.add(difference);
    if (!(difference <= RANGE_TOLERANCE)) {
      check.differs(
        `${path}.${end === 0 ? "min_val" : "max_val"} (calibrated)`,
        String(torch[end]),
        String(here),
      );
    }
  });
}

/** (c) Calibrates on the recorded data and measures what the order of float sums changes. */
function fromCalibration(golden: Field, given: Case, check: Check): void {
  const { model, lstm } = prepared(golden, given);
  const { tally } = check;
  const family = given.engine;
  golden.get("calibration").list().forEach((batch, i) => {
    const h0 = batch.maybe("h0")?.tensor();
    const c0 = batch.maybe("c0")?.tensor();
    const [y] = lstm.forward(batch.get("x").tensor(), h0 && c0 ? [h0, c0] : undefined);
    if (i === 0) compareFloats(golden.get("float_output_first_calibration").tensor(), y, check);
  });
  for (const [path, observer] of observedParts(golden, given, lstm)) {
    compareRange(path, observer, golden.get("observers").get(path), family, check);
  }
  const integers = tally.measurement(`LSTM integers after calibration here, ${family}`);
  outputs(convert(model).modules.get("lstm") as QuantizedLSTM, given).forEach(({ data }, i) => {
    const torch = golden.get(RESULTS[i]!).quint8().data;
    for (let k = 0; k < torch.length; k++) integers.add(Math.abs(data[k]! - torch[k]!));
  });
}

function compareFloats(torch: Tensor, here: Tensor, check: Check): void {
  const measured = check.tally.measurement("float LSTM outputs, summed here in double");
  if (torch.data.length !== here.data.length) {
    check.differs("float output", `[${torch.shape}]`, `[${here.shape}]`);
  }
  for (let i = 0; i < torch.data.length; i++) {
    measured.add(Math.abs(torch.data[i]! - here.data[i]!));
  }
}

/** A case that torch refused must be refused here too. */
function refused(golden: Field, given: Case, lstm: QuantizedLSTM, row: Row, check: Check): void {
  golden.get("error").string();
  let refusals = 0;
  try {
    outputs(lstm, given);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    refusals = 1;
  }
  check.one(row, given.engine, "error", refusals, 1);
}

/** lstm_<engine>*.json */
export const lstmKind: Kind = {
  files: /^lstm_(fbgemm|qnnpack)(?!_stubs)/,
  nameOf: (golden) => golden.get("name").string(),
  run(golden, check) {
    const given = readCase(golden);
    const compare = golden.has("error") ? refused : compareOutputs;
    compare(golden, given, fromModules(golden, given, given.x.qparams), FROM_MODULES, check);
    compare(golden, given, fromObservers(golden, given, check), FROM_OBSERVERS, check);
    if (!golden.has("error")) fromCalibration(golden, given, check);
  },
};
