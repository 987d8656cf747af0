/**
 * splitgate itself: fbgemm's preset, and those of its own, calibrated on the problem's input; reals
 * in and out. Gates are split; the portable kernels run fbgemm's fused too, the SIMD kernels have one
 * form for both.
 *
 * @module
 */
import {
  convert,
  getPreset,
  LSTM,
  prepare,
  type QuantizedModel,
  type SessionOptions,
  tensor,
} from "../../mod.ts";
import { simdKernels } from "../../simd.ts";
import { INT8_TOLERANCE, type Peer, type PeerSource, type Runner } from "./peer.ts";
import { type Problem, STEPS } from "./problem.ts";
import { FUSED, PORTABLE, SIMD } from "./report.ts";

/** Presets of splitgate's own that have rows: the recommended one, and the one nearest to float. */
const OWN_PRESETS = ["accurate", "int8x16"] as const;

type Preset = "fbgemm" | typeof OWN_PRESETS[number];

/** Error allowed to a preset. */
const TOLERANCES: Readonly<Record<Preset, number>> = {
  fbgemm: INT8_TOLERANCE,
  accurate: 0.02,
  int8x16: 0.01,
};

/**
 * The forms of a preset run one model: where an engine puts another copy of the weights may cost or gain a
 * percent.
 */
const models = new WeakMap<Problem, Map<Preset, QuantizedModel>>();

function modelOf(problem: Problem, preset: Preset): QuantizedModel {
  const own = models.get(problem) ?? new Map<Preset, QuantizedModel>();
  models.set(problem, own);
  const model = own.get(preset) ?? createModel(problem, preset);
  own.set(preset, model);
  return model;
}

function createModel(
  { size, weightIh, weightHh, biasIh, biasHh, input }: Problem,
  preset: Preset,
): QuantizedModel {
  const lstm = new LSTM({ inputSize: size, hiddenSize: size });
  lstm.loadStateDict(
    new Map([
      ["weight_ih_l0", tensor(weightIh, [4 * size, size])],
      ["weight_hh_l0", tensor(weightHh, [4 * size, size])],
      ["bias_ih_l0", tensor(biasIh, [4 * size])],
      ["bias_hh_l0", tensor(biasHh, [4 * size])],
    ]),
  );
  const observed = prepare(lstm, getPreset(preset), { splitGates: true });
  observed.forward(tensor(input, [STEPS, 1, size]));
  return convert(observed);
}

function createRunner(
  model: QuantizedModel,
  { size, input }: Problem,
  options: SessionOptions,
): Runner {
  const session = model.createSession({ maxSteps: STEPS, ...options });
  const xs = Array.from({ length: STEPS }, (_, t) => input.slice(t * size, (t + 1) * size));
  const y = new Float32Array(size);
  const ys = new Float32Array(STEPS * size);
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
    tolerance: TOLERANCES[preset],
    prepare: (problem) =>
      Promise.resolve([createRunner(modelOf(problem, preset), problem, options)]),
  };
}

/** Names of the rows of splitgate's own presets. */
const ownNames = (name: string): string[] => OWN_PRESETS.map((preset) => `${name} ${preset}`);

/** Peers of splitgate's own presets. */
const ownPeers = (name: string, options: SessionOptions): Peer[] =>
  OWN_PRESETS.map((preset) => peer(`${name} ${preset}`, preset, options));

/** splitgate on the portable kernels, its gates split and fused. */
export const splitgatePortable: PeerSource = {
  names: [PORTABLE, FUSED, ...ownNames(PORTABLE)],
  load: () =>
    Promise.resolve([
      peer(PORTABLE, "fbgemm", { splitGates: true }),
      peer(FUSED, "fbgemm", { splitGates: false }),
      ...ownPeers(PORTABLE, { splitGates: true }),
    ]),
};

/** splitgate on the WebAssembly SIMD kernels. */
export const splitgateSimd: PeerSource = {
  names: [SIMD, ...ownNames(SIMD)],
  load: async () => {
    const kernels = await simdKernels();
    return [peer(SIMD, "fbgemm", { kernels }), ...ownPeers(SIMD, { kernels })];
  },
};
