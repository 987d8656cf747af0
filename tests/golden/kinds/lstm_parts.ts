/**
 * lstm_parts and lstm_official: individually observed parts and torch's reference graph.
 *
 * Each case is configured as torch configured it, where torch adds to what it was asked for
 * included: an observer on a gate's pre-activation (arithmetic of torch's FX mode) and one of the
 * LSTM's own dtype on 16-bit gates. Then the sequence of operations, quantizes and dequantizes,
 * weights and all integers must be torch's. Where what torch adds is wrong, the case is also run as
 * it was asked for, which must come closer to the float LSTM.
 */
import type { LSTMPartName } from "../../../src/cells/names.ts";
import { LSTM } from "../../../src/modules/lstm/float.ts";
import { FixedQParamsObserver } from "../../../src/observer/fixed.ts";
import { dsp16BackendConfig, fbgemmBackendConfig } from "../../../src/qconfig/backend.ts";
import type { ObserverFactory } from "../../../src/observer/observer.ts";
import {
  defaultWeightObserver,
  type PartObserver,
  type PartObservers,
  type QConfig,
  qnnpackQConfig,
} from "../../../src/qconfig/qconfig.ts";
import type { PerTensorQParams } from "../../../src/core/qparams.ts";
import { convert } from "../../../src/authoring/convert.ts";
import type { ObservedModel } from "../../../src/authoring/observed_model.ts";
import { observeLSTMParts } from "../../../src/authoring/observe_parts.ts";
import type { QuantizedLSTM } from "../../../src/modules/lstm/quantized.ts";
import type { GraphNode } from "../../../src/modules/reference.ts";
import { nodeQParams } from "../../../src/reference/graph.ts";
import {
  convertToReference,
  type ReferenceModel,
  type ReferenceResult,
} from "../../../src/reference/reference.ts";
import type { QTensor, Tensor } from "../../../src/core/tensor.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";

const ROWS = {
  graph: {
    operation: "reference graph: operations, q, dq",
    torch: "_get_reference_quantized_lstm_module",
  },
  weights: { operation: "reference graph: weights", torch: "_get_reference_quantized_lstm_module" },
  values: {
    operation: "reference LSTM: output, h_n, c_n",
    torch: "_get_reference_quantized_lstm_module",
  },
} as const satisfies Record<string, Row>;

const fixed = (scale: number, zeroPoint: number): ObserverFactory =>
  FixedQParamsObserver.withArgs({ scale, zeroPoint });
const fixed16 = (scale: number, zeroPoint: number, quantMin = 0): ObserverFactory =>
  FixedQParamsObserver.withArgs({
    dtype: "qint32",
    scale,
    zeroPoint,
    quantMin,
    quantMax: quantMin + 65535,
  });
/** A 16-bit range that torch.quantize_per_tensor does not clamp to. */
const unclamped = (scale: number, zeroPoint: number): ObserverFactory =>
  FixedQParamsObserver.withArgs({ dtype: "qint32", scale, zeroPoint });

const OBS16 = {
  linearOutput: fixed16(2 ** -11, 2 ** 15),
  sigmoid: fixed16(2 ** -16, 0),
  tanh: fixed16(2 ** -15, 2 ** 15),
  cellState: fixed16(2 ** -11, 0, -(2 ** 15)),
  hiddenState: fixed(2 ** -7, 2 ** 7),
};
/**
 * As OBS16, but for the ranges: the official test's fixed observers keep FixedQParamsObserver's
 * 0..255, unused.
 */
const OFFICIAL = {
  linearOutput: unclamped(2 ** -11, 2 ** 15),
  sigmoid: unclamped(2 ** -16, 0),
  tanh: unclamped(2 ** -15, 2 ** 15),
  cellState: unclamped(2 ** -11, 0),
  hiddenState: fixed(2 ** -7, 2 ** 7),
};
const OBS8 = {
  linearOutput: fixed(2 ** -4, 2 ** 7),
  sigmoid: fixed(2 ** -8, 0),
  tanh: fixed(2 ** -7, 2 ** 7),
  cellState: fixed(2 ** -6, 2 ** 7),
  hiddenState: fixed(2 ** -7, 2 ** 7),
};

/** The observers that torch's helper was called with, and what it did with them. */
interface Setup {
  readonly asked: typeof OBS16;
  readonly activation: ObserverFactory;
  /**
   * Whether the sigmoid's and tanh's observers were dropped, because the backend does not allow
   * their dtype.
   */
  readonly dropped: boolean;
  /** The observer on a gate's pre-activation besides the linear output's own; null for none. */
  readonly preActivation:
    | { readonly sigmoid: ObserverFactory; readonly tanh: ObserverFactory }
    | null;
  /** Whether 16-bit gates are requantized to the LSTM's own dtype before they are multiplied. */
  readonly gatesRequantized: boolean;
}

function setupOf(golden: Field): Setup {
  const name = golden.get("name").string();
  const split = golden.get("split_gates").boolean();
  const wide = { sigmoid: unclamped(2 ** -16, 0), tanh: unclamped(2 ** -15, 2 ** 15) };
  if (name.startsWith("parts16_backend_")) {
    const activation = fixed(2 ** -7, 2 ** 7);
    return {
      asked: OBS16,
      activation,
      dropped: false,
      preActivation: wide,
      gatesRequantized: true,
    };
  }
  if (name.startsWith("parts16_")) {
    const activation = fixed(2 ** -7, 2 ** 7);
    return {
      asked: OBS16,
      activation,
      dropped: true,
      preActivation: null,
      gatesRequantized: false,
    };
  }
  if (name.startsWith("parts8_")) {
    const activation = fixed(2 ** -7, 2 ** 7);
    return {
      asked: OBS8,
      activation,
      dropped: false,
      preActivation: split ? null : OBS8,
      gatesRequantized: false,
    };
  }
  if (!name.startsWith("official_")) {
    golden.get("name").fail(
      "a name that begins with parts16_, parts16_backend_, parts8_ or official_",
    );
  }
  const { activation } = qnnpackQConfig;
  return {
    asked: OFFICIAL,
    activation,
    dropped: false,
    preActivation: wide,
    gatesRequantized: true,
  };
}

/** What torch made of the observers that it was called with. */
function asBuilt(
  { asked, activation, dropped, preActivation, gatesRequantized }: Setup,
): PartObservers {
  const { sigmoid: _s, tanh: _t, ...rest } = asked;
  const parts: { -readonly [key in keyof PartObservers]: PartObserver } = dropped
    ? { ...rest }
    : { ...asked };
  if (preActivation !== null) {
    const gates: LSTMPartName[] = ["input_gate", "forget_gate", "cell_gate", "output_gate"];
    for (const gate of gates) {
      parts[gate] = { inputs: [preActivation[gate === "cell_gate" ? "tanh" : "sigmoid"]] };
    }
  }
  if (gatesRequantized) {
    parts.fgate_cx = { inputs: [activation, null] };
    parts.igate_cgate = { inputs: [activation, activation] };
    parts.ogate_cy = { inputs: [activation, null] };
  }
  return parts;
}

/** One case, its tensors taken out. */
interface Case {
  readonly lstm: LSTM;
  readonly split: boolean;
  readonly qconfig: QConfig;
  readonly calibration: readonly {
    readonly x: Tensor;
    readonly state: [Tensor, Tensor] | undefined;
  }[];
  readonly x: QTensor<PerTensorQParams>;
  /** h and c [layers, batch, width]. */
  readonly state: [QTensor<PerTensorQParams>, QTensor<PerTensorQParams>] | null;
}

function loadLSTM(dict: Field, prefix: string): LSTM {
  const tensors = new Map(
    dict.keys().map((key) => [
      key.startsWith(prefix)
        ? key.slice(prefix.length)
        : dict.fail(`names that begin with ${prefix}`),
      dict.get(key).tensor(),
    ]),
  );
  const { shape: [rows, inputSize] } = tensors.get("weight_ih_l0") ?? dict.fail("a weight_ih_l0");
  const numLayers = [...tensors.keys()].filter((key) => /^weight_ih_l\d+$/.test(key)).length;
  const lstm = new LSTM({
    inputSize: inputSize!,
    hiddenSize: rows! / 4,
    numLayers,
    bias: tensors.has("bias_ih_l0"),
  });
  lstm.loadStateDict(tensors);
  return lstm;
}

function readCase(golden: Field, { activation }: Setup): Case {
  const split = golden.get("split_gates").boolean();
  const qconfig = { activation, weight: defaultWeightObserver };
  const dict = golden.get("float_state_dict");
  if (golden.has("lstm_io")) {
    const [x, h, c] = golden.get("example_inputs").list().map((each) => each.tensor());
    const io = golden.get("lstm_io");
    return {
      lstm: loadLSTM(dict, "my_lstm."),
      split,
      qconfig,
      calibration: [{ x: x!, state: [h!, c!] }],
      x: io.get("x").perTensor(),
      state: [io.get("h0").perTensor(), io.get("c0").perTensor()],
    };
  }
  const h0 = golden.maybe("h0");
  const c0 = golden.maybe("c0");
  return {
    lstm: loadLSTM(dict, ""),
    split,
    qconfig,
    calibration: golden.get("calibration").list().map((each) => {
      const h = each.maybe("h0");
      const c = each.maybe("c0");
      return {
        x: each.get("x").tensor(),
        state: h === null || c === null ? undefined : [h.tensor(), c.tensor()],
      };
    }),
    x: golden.get("input").perTensor(),
    state: h0 === null || c0 === null ? null : [h0.perTensor(), c0.perTensor()],
  };
}

function observe({ lstm, split, qconfig, calibration }: Case, parts: PartObservers): ObservedModel {
  const observed = observeLSTMParts(lstm, parts, { splitGates: split, qconfig });
  for (const { x, state } of calibration) {
    observed.forward(x, state === undefined ? {} : { state: { lstm: state } });
  }
  return observed;
}

/** One layer of a stacked state. */
function layerOf(tensor: QTensor<PerTensorQParams>, layer: number): QTensor<PerTensorQParams> {
  const [, batch, width] = tensor.shape;
  const size = batch! * width!;
  return {
    ...tensor,
    data: tensor.data.slice(layer * size, (layer + 1) * size),
    shape: [batch!, width!],
  };
}

function runReference(model: ReferenceModel, { x, state, lstm }: Case): ReferenceResult {
  const states = new Map(
    state === null ? [] : Array.from({ length: lstm.numLayers }, (_, l) => [
      `lstm.l${l}`,
      { h: layerOf(state[0], l), c: layerOf(state[1], l) },
    ]),
  );
  return model.run(x, { state: states });
}

/** A node of a recorded graph as a word, or null for what only names or takes things apart. */
function torchWord(node: Field): string | null {
  const target = node.get("target").string();
  const module = node.maybe("module_type")?.string() ?? "";
  if (target.endsWith("quantize_per_tensor")) {
    return `quantize ${node.get("dtype").dtype()} ${node.get("zero_point").integer()}`;
  }
  if (target === "dequantize") return "dequantize";
  for (
    const [end, word] of [["Linear", "linear"], ["Sigmoid", "sigmoid"], ["Tanh", "tanh"]] as const
  ) {
    if (module.endsWith(`.${end}`)) return word;
  }
  return ["torch.add", "torch.mul", "torch.tanh", "torch.sigmoid"].includes(target)
    ? target.slice(6)
    : null;
}

function ownWord(node: GraphNode): string | null {
  if (node.op === "state" || node.op === "chunk") return null;
  return node.op === "quantize" ? `quantize ${node.dtype} ${node.zeroPoint}` : node.op;
}

/**
 * A scale must be torch's. If it was calibrated, it depends on sums of the float LSTM, which
 * torch's matrix product rounds in its own order, so that the last bit may differ.
 */
function compareScale(
  check: Check,
  path: string,
  here: number,
  torch: number,
  calibrated: boolean,
): void {
  const expected = Math.fround(torch);
  const ulps = Math.abs(here - expected) / (expected * 2 ** -23);
  if (!calibrated || ulps > 8) return check.one(ROWS.graph, "either", path, here, expected);
  check.tally.measurement("Scales calibrated by the float LSTM, in units of the last place").add(
    Math.ceil(ulps),
  );
}

function compareGraph(
  cells: readonly Field[],
  model: ReferenceModel,
  check: Check,
  official: boolean,
): void {
  cells.forEach((cell, l) => {
    const nodes = model.nodes.filter((node) => node.cell === `l${l}` && ownWord(node) !== null);
    const torch = cell.list().filter((node) => torchWord(node) !== null);
    const path = `cells[${l}]`;
    if (nodes.length !== torch.length) {
      check.differs(path, `${torch.length} nodes`, `${nodes.length} nodes`);
    }
    for (let i = 0; i < Math.min(nodes.length, torch.length); i++) {
      const [here, there] = [ownWord(nodes[i]!), torchWord(torch[i]!)];
      check.one(
        ROWS.graph,
        "either",
        `${path}[${i}], torch ${there}, here ${here},`,
        here === there ? 1 : 0,
        1,
      );
      const q = nodeQParams(nodes[i]!);
      if (q !== null && here === there) {
        const calibrated = official && q.dtype === "quint8";
        compareScale(
          check,
          `${path}[${i}].scale`,
          q.scale,
          torch[i]!.get("scale").number(),
          calibrated,
        );
      }
      // torch's own quantize has no range; the observer's is compared if it has a definite one.
      if (
        q !== null && (!official || q.dtype === "quint8") && torch[i]!.maybe("observer") !== null
      ) {
        if (nodes[i]!.name.includes(".inputs[")) continue;
        check.one(
          ROWS.graph,
          "either",
          `${path}[${i}].quant_min`,
          q.quantMin,
          torch[i]!.get("quant_min").integer(),
        );
        check.one(
          ROWS.graph,
          "either",
          `${path}[${i}].quant_max`,
          q.quantMax,
          torch[i]!.get("quant_max").integer(),
        );
      }
      const weight = torch[i]!.maybe("weight")?.perTensor();
      const own = nodes[i]!.weight;
      if (weight === undefined || own === undefined) continue;
      check.floats(ROWS.weights, "either", `${path}[${i}].weight.scale`, own.scales, [
        weight.qparams.scale,
      ]);
      check.integers(ROWS.weights, "either", `${path}[${i}].weight`, own.data, weight.data);
      const bias = torch[i]!.maybe("bias");
      if (bias !== null && nodes[i]!.bias != null) {
        check.floats(
          ROWS.weights,
          "either",
          `${path}[${i}].bias`,
          nodes[i]!.bias!,
          bias.tensor().data,
        );
      }
    }
  });
}

/** Integers and parameters, or floats where torch dequantized them. */
function compareValue(
  check: Check,
  path: string,
  here: QTensor<PerTensorQParams> | Tensor,
  torch: Field,
): void {
  if (torch.has("f32")) {
    const floats = "qparams" in here ? dequantized(here) : here.data;
    check.floats(ROWS.values, "either", path, floats, torch.tensor().data);
    return;
  }
  const expected = torch.perTensor();
  check.integers(ROWS.values, "either", path, here.data, expected.data);
  const q = "qparams" in here ? here.qparams : null;
  check.one(ROWS.values, "either", `${path}.scale`, q?.scale ?? NaN, expected.qparams.scale);
  check.one(
    ROWS.values,
    "either",
    `${path}.zero_point`,
    q?.zeroPoint ?? NaN,
    expected.qparams.zeroPoint,
  );
}

function dequantized(
  { data, qparams: { scale, zeroPoint } }: QTensor<PerTensorQParams>,
): Float32Array {
  return Float32Array.from(data, (q) => scale * (q - zeroPoint));
}

function compareValues(
  golden: Field,
  { quantized, state }: ReferenceResult,
  layers: number,
  check: Check,
): void {
  compareValue(check, "output", quantized!, golden.get("output"));
  for (const key of ["h", "c"] as const) {
    const tensors = Array.from(
      { length: layers },
      (_, l) => state.get(`lstm.l${l}`)![key] as QTensor<PerTensorQParams>,
    );
    const data = Int32Array.from(tensors.flatMap((each) => [...each.data]));
    compareValue(check, `${key}_n`, { ...tensors[0]!, data }, golden.get(`${key}_n`));
  }
}

/** Output, then the final cell states: what both forms are held to the float LSTM by. */
type Floats = readonly [y: Float32Array, c: Float32Array];

/** Mean distance to the float LSTM's output and final cell state. */
function errorOf([y, c]: Floats, { lstm, x, state }: Case): number {
  const float = (q: QTensor<PerTensorQParams>): Tensor => ({
    data: dequantized(q),
    shape: q.shape,
  });
  const [expected, [, cell]] = lstm.forward(
    float(x),
    state === null ? undefined : [float(state[0]), float(state[1])],
  );
  const distance = (a: Float32Array, b: Float32Array) =>
    a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0);
  return (distance(expected.data, y) + distance(cell.data, c)) / (y.length + c.length);
}

function torchFloats(golden: Field): Floats {
  const floats = (field: Field) =>
    field.has("f32") ? field.tensor().data : dequantized(field.perTensor());
  return [floats(golden.get("output")), floats(golden.get("c_n"))];
}

function ownFloats({ output, state }: ReferenceResult): Floats {
  return [
    output.data,
    Float32Array.from(
      [...state.values()].flatMap(({ c }) => [...dequantized(c as QTensor<PerTensorQParams>)]),
    ),
  ];
}

/** Integer execution of the same configuration, measured in steps of its output. */
function measureIntegers(
  observed: ObservedModel,
  { x, state }: Case,
  reference: ReferenceResult,
  check: Check,
): void {
  const lstm = convert(observed).modules.get("lstm") as QuantizedLSTM;
  const [y] = lstm.forward(x, state ?? undefined);
  const measure = check.tally.measurement(
    "Integer execution of the parts cases against the reference graph, whole sequences, in steps of the output",
  );
  y.data.forEach((q, i) => measure.add(Math.abs(q - reference.quantized!.data[i]!)));
}

function run(golden: Field, check: Check): void {
  const setup = setupOf(golden);
  const each = readCase(golden, setup);
  const cells = golden.get("cells").list();
  if (cells.length !== each.lstm.numLayers) {
    golden.get("cells").fail(`${each.lstm.numLayers} cells`);
  }
  const observed = observe(each, asBuilt(setup));
  const model = convertToReference(observed);
  const result = runReference(model, each);
  if (golden.has("lstm_io")) compareInput(golden, model, check);
  compareGraph(cells, model, check, setup.asked === OFFICIAL);
  compareValues(golden, result, each.lstm.numLayers, check);
  measureIntegers(observed, each, result, check);

  const wrong = setup.dropped ? DROPPED : setup.preActivation === OBS8 ? PRE_ACTIVATION : null;
  if (wrong === null) return;
  if (setup.dropped) {
    // Such a backend is not silently obeyed.
    let refused = "";
    try {
      const { sigmoid, tanh } = setup.asked;
      observeLSTMParts(each.lstm, { sigmoid, tanh }, {
        splitGates: each.split,
        qconfig: each.qconfig,
        backendConfig: fbgemmBackendConfig,
      });
    } catch (error) {
      refused = (error as Error).message;
    }
    check.one(
      ROWS.graph,
      "either",
      "an error that names the part",
      refused.includes("input_gate") ? 1 : 0,
      1,
    );
    observeLSTMParts(each.lstm, setup.asked, {
      splitGates: each.split,
      backendConfig: dsp16BackendConfig,
    });
  }
  const asked = runReference(convertToReference(observe(each, setup.asked)), each);
  const [there, here] = [errorOf(torchFloats(golden), each), errorOf(ownFloats(asked), each)];
  check.tally.closeness(wrong).add(there, here);
  if (setup.dropped) return;
  check.differs(
    "as asked: mean error against the float LSTM",
    there.toPrecision(3),
    here.toPrecision(3),
  );
  if (here >= there) {
    throw new Error(`as asked: ${here} from the float LSTM, torch ${there}: not closer`);
  }
}

const DROPPED =
  "16-bit sigmoid and tanh, which torch drops without a word where the backend does not know them";
const PRE_ACTIVATION =
  "8-bit parts of fused gates, whose pre-activation torch quantizes with the sigmoid's output range";

/** The parameters that the outer graph quantizes the input with. */
function compareInput(golden: Field, model: ReferenceModel, check: Check): void {
  const node = model.nodes.find(({ name }) => name === "lstm.input.quantize")!;
  const { qparams } = golden.get("lstm_io").get("x").perTensor();
  compareScale(check, "input.scale", node.scale!, qparams.scale, true);
  check.one(ROWS.graph, "either", "input.zero_point", node.zeroPoint!, qparams.zeroPoint);
}

/** lstm_parts*.json and lstm_official*.json */
export const lstmPartsKind: Kind = {
  files: /^lstm_(parts|official)/,
  nameOf: (golden) => golden.get("name").string(),
  run,
};
