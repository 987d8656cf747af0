/**
 * splitgate itself, calibrated on the problem's input; reals in and out. Gates are split; the portable
 * kernels run fbgemm's fused too.
 *
 * @module
 */
import {
  convert,
  getPreset,
  GRU,
  Linear,
  LSTM,
  prepare,
  type QuantizedModel,
  Sequential,
  type SessionOptions,
  Sigmoid,
  type Tensor,
  tensor,
} from "../../mod.ts";
import { simdKernels } from "../../simd.ts";
import { INT8_TOLERANCE, type Peer, type PeerSource, type Runner } from "./peer.ts";
import { GATES, KINDS, type Problem, type ProblemKind, STEPS, stepsOf } from "./problem.ts";
import { FUSED, ownName } from "./report.ts";

/** A preset that has rows. */
interface PresetRows {
  /** Error allowed to it. */
  readonly tolerance: number;
  readonly problems: readonly ProblemKind[];
}

/** The recommended preset, the one nearest to float, and PyTorch's for x86 and for ARM. */
const PRESETS = {
  accurate: { tolerance: 0.02, problems: KINDS },
  int8x16: { tolerance: 0.01, problems: KINDS },
  fbgemm: { tolerance: INT8_TOLERANCE, problems: KINDS },
  qnnpack: { tolerance: INT8_TOLERANCE, problems: ["lstm"] },
} as const satisfies Record<string, PresetRows>;

type Preset = keyof typeof PRESETS;

const NAMES = Object.keys(PRESETS) as Preset[];

/** The float model of a problem. */
export function floatModel(
  { kind, cell, size, inputSize, outputSize, layers, head }: Problem,
): Sequential {
  const options = { inputSize, hiddenSize: size, numLayers: layers.length };
  const recurrent = cell === "lstm" ? new LSTM(options) : new GRU(options);
  const rows = GATES[cell] * size;
  const state = new Map<string, Tensor>();
  layers.forEach((layer, index) => {
    state.set(`weight_ih_l${index}`, tensor(layer.weightIh, [rows, layer.inputSize]));
    state.set(`weight_hh_l${index}`, tensor(layer.weightHh, [rows, size]));
    state.set(`bias_ih_l${index}`, tensor(layer.biasIh, [rows]));
    state.set(`bias_hh_l${index}`, tensor(layer.biasHh, [rows]));
  });
  recurrent.loadStateDict(state);
  if (head === undefined) return new Sequential({ [kind]: recurrent });
  const out = new Linear({ inFeatures: size, outFeatures: outputSize });
  out.loadStateDict(
    new Map([
      ["weight", tensor(head.weight, [outputSize, size])],
      ["bias", tensor(head.bias, [outputSize])],
    ]),
  );
  return new Sequential({ [kind]: recurrent, out, sigmoid: new Sigmoid() });
}

/**
 * The forms of a preset run one model: where an engine puts another copy of the weights may cost or
 * gain a percent.
 */
const models = new WeakMap<Problem, Map<Preset, QuantizedModel>>();

function modelOf(problem: Problem, preset: Preset): QuantizedModel {
  const own = models.get(problem) ?? new Map<Preset, QuantizedModel>();
  models.set(problem, own);
  const model = own.get(preset) ?? createModel(problem, preset);
  own.set(preset, model);
  return model;
}

function createModel(problem: Problem, preset: Preset): QuantizedModel {
  const observed = prepare(floatModel(problem), getPreset(preset), { splitGates: true });
  observed.forward(tensor(problem.input, [STEPS, 1, problem.inputSize]));
  return convert(observed);
}

function createRunner(
  model: QuantizedModel,
  problem: Problem,
  options: SessionOptions,
): Runner {
  const session = model.createSession({ maxSteps: STEPS, ...options });
  const { input, outputSize } = problem;
  const xs = stepsOf(problem);
  const y = new Float32Array(outputSize);
  const ys = new Float32Array(STEPS * outputSize);
  return {
    reset: () => session.reset(),
    step: (t) => {
      session.step(xs[t]!, y);
      return y;
    },
    sequence: () => {
      session.reset();
      session.run(input, ys);
      return ys;
    },
  };
}

function peer(name: string, preset: Preset, options: SessionOptions): Peer {
  return {
    name,
    ...PRESETS[preset],
    prepare: (problem) =>
      Promise.resolve([createRunner(modelOf(problem, preset), problem, options)]),
  };
}

/** splitgate on the portable kernels, its gates split, and for one preset fused. */
export const splitgatePortable: PeerSource = {
  names: [...NAMES.map((preset) => ownName("portable", preset)), FUSED],
  load: () =>
    Promise.resolve([
      ...NAMES.map((preset) => peer(ownName("portable", preset), preset, { splitGates: true })),
      { ...peer(FUSED, "fbgemm", { splitGates: false }), problems: ["lstm"] },
    ]),
};

/** splitgate on the WebAssembly SIMD kernels. */
export const splitgateSimd: PeerSource = {
  names: NAMES.map((preset) => ownName("simd", preset)),
  load: async () => {
    const kernels = await simdKernels();
    return NAMES.map((preset) => peer(ownName("simd", preset), preset, { kernels }));
  },
};
