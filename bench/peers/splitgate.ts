/**
 * splitgate itself: fbgemm's preset, calibrated on the problem's input; reals in and out. Gates are
 * split; the portable kernels run them fused too, the SIMD kernels have one form for both.
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

/**
 * The forms run one model: where an engine puts another copy of the weights may cost or gain a
 * percent.
 */
const models = new WeakMap<Problem, QuantizedModel>();

function modelOf(problem: Problem): QuantizedModel {
  const model = models.get(problem) ?? createModel(problem);
  models.set(problem, model);
  return model;
}

function createModel({ size, weightIh, weightHh, biasIh, biasHh, input }: Problem): QuantizedModel {
  const lstm = new LSTM({ inputSize: size, hiddenSize: size });
  lstm.loadStateDict(
    new Map([
      ["weight_ih_l0", tensor(weightIh, [4 * size, size])],
      ["weight_hh_l0", tensor(weightHh, [4 * size, size])],
      ["bias_ih_l0", tensor(biasIh, [4 * size])],
      ["bias_hh_l0", tensor(biasHh, [4 * size])],
    ]),
  );
  const observed = prepare(lstm, getPreset("fbgemm"), { splitGates: true });
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

function peer(name: string, options: SessionOptions): Peer {
  return {
    name,
    tolerance: INT8_TOLERANCE,
    prepare: (problem) => Promise.resolve([createRunner(modelOf(problem), problem, options)]),
  };
}

/** splitgate on the portable kernels, its gates split and fused. */
export const splitgatePortable: PeerSource = {
  names: [PORTABLE, FUSED],
  load: () =>
    Promise.resolve([peer(PORTABLE, { splitGates: true }), peer(FUSED, { splitGates: false })]),
};

/** splitgate on the WebAssembly SIMD kernels. */
export const splitgateSimd: PeerSource = {
  names: [SIMD],
  load: async () => [peer(SIMD, { kernels: await simdKernels() })],
};
