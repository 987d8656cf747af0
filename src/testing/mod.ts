/**
 * Fuzzing of models with fast-check, a peer dependency: arbitraries, invariants, and one call that
 * checks a model of your own.
 *
 * @example
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertModel } from "@splitgate/splitgate/testing";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("accurate"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * await assertModel(convert(observed), { runs: 20, seed: 7 });
 * ```
 *
 * @module
 */
export type { Arbitrary } from "./arbitrary.ts";
export {
  batches,
  calibrationData,
  channelQParams,
  chunkings,
  type DrawnModel,
  dtypes,
  lengths,
  qconfigs,
  qparams,
  qtensors,
  quantizedModels,
  states,
  stepCounts,
  tensors,
} from "./arbitraries.ts";
export { type CaseRun, type ExecutorCase, executorCases } from "./executor_cases.ts";
export {
  assertModel,
  fuzzModel,
  type FuzzOptions,
  type FuzzReport,
  type FuzzResult,
  type InvariantName,
  INVARIANTS,
  ModelFault,
} from "./fuzz.ts";
export {
  type GraphCase,
  graphCases,
  graphInput,
  graphOf,
  type NodeCase,
  observedGraph,
  qconfigOf,
  type SameWidth,
} from "./graphs.ts";
export { integersMatchReference, requantizeIsExact } from "./integers.ts";
export {
  batchedEqualsSingle,
  chunkedEqualsWhole,
  compiledEqualsModel,
  fastEqualsByParts,
  fusedEqualsSplit,
  type Invariant,
  portableEqualsSimd,
  refusedLeavesStateUnchanged,
  saveLoadIsIdentity,
  stateRoundTrips,
  type Tools,
  withinErrorOfFloat,
} from "./invariants.ts";
export {
  DRAWN_KINDS,
  type DrawnModule,
  floatModels,
  modelOfKind,
  type ModuleSizes,
  moduleSizes,
  weights,
  type WeightStyle,
  weightStyles,
} from "./modules.ts";
export {
  anyFloat32,
  anyScale,
  edgeLadder,
  ladderInteger,
  uniform,
  uniformFloat32,
} from "./numbers.ts";
export {
  type LSTMCase as FloatLSTMCase,
  lstmCases as floatLSTMCases,
  ownParts,
  partObservers,
  slotObserver,
} from "./observed_lstms.ts";
export {
  type Bits,
  type LSTMCase as QuantizedLSTMCase,
  lstmCases as quantizedLSTMCases,
} from "./quantized_lstms.ts";
export { KERNEL_SIZES } from "./sizes.ts";
export { type Trial, type TrialOptions, trials, type Values } from "./trial.ts";
export type { Difference, Verdict } from "./verdict.ts";
