/**
 * splitgate: quantize recurrent models to int8 and run them in plain TypeScript, equal to PyTorch
 * bit for bit.
 *
 * @module
 */
export type { Bytes } from "./src/core/bytes.ts";
export type { AbortSignalLike } from "./src/core/pacer.ts";
export { type DType, dtypeRange, type QArray } from "./src/core/dtype.ts";
export { Generator, type Seed } from "./src/core/generator.ts";
export {
  perChannelAffine,
  type PerChannelQParams,
  perTensorAffine,
  type PerTensorQParams,
  type QParams,
} from "./src/core/qparams.ts";
export {
  type QTensor,
  qtensor,
  type Tensor,
  tensor,
  tokens,
  type TokenTensor,
} from "./src/core/tensor.ts";

export { Add } from "./src/modules/add/float.ts";
export { AvgPool1d, type AvgPool1dOptions } from "./src/modules/avg_pool1d/float.ts";
export { BatchNorm1d, type BatchNorm1dOptions } from "./src/modules/batch_norm/float.ts";
export { Concat } from "./src/modules/concat/float.ts";
export { Conv1d, type Conv1dOptions, Conv1dReLU } from "./src/modules/conv1d/float.ts";
export { Dropout, type DropoutOptions } from "./src/modules/dropout/float.ts";
export { Embedding, type EmbeddingOptions } from "./src/modules/embedding/float.ts";
export type { EndForwardOptions, EndOfTime, EndOptions } from "./src/modules/end_of_time.ts";
export { Flatten, type FlattenOptions } from "./src/modules/flatten/float.ts";
export { FinalHidden, type FinalHiddenOptions } from "./src/modules/final_hidden/float.ts";
export { FirstStep } from "./src/modules/first_step/float.ts";
export {
  Graph,
  type GraphChild,
  type GraphForwardOptions,
  type GraphOptions,
  Sequential,
} from "./src/modules/graph.ts";
export type { Topology } from "./src/core/topology.ts";
export { GRUCell, type GRUCellOptions } from "./src/modules/gru/cell.ts";
export {
  GRU,
  type GRUConventions,
  type GRUOptions,
  type GRUWeights,
} from "./src/modules/gru/float.ts";
export { HardSigmoid, type HardSigmoidOptions } from "./src/modules/hard_sigmoid/float.ts";
export { Identity } from "./src/modules/identity/float.ts";
export { LayerNorm, type LayerNormOptions } from "./src/modules/layer_norm/float.ts";
export { LeakyReLU, type LeakyReLUOptions } from "./src/modules/leaky_relu/float.ts";
export { LastStep } from "./src/modules/last_step/float.ts";
export { Linear, type LinearOptions, LinearReLU } from "./src/modules/linear/float.ts";
export { LogSoftmax } from "./src/modules/log_softmax/float.ts";
export { LSTM, type LSTMOptions, type LSTMWeights } from "./src/modules/lstm/float.ts";
export type {
  CellActivation,
  CellFunctions,
  GateActivation,
  LSTMCellWeights,
} from "./kernels/float/lstm.ts";
export type { RecurrentForwardOptions } from "./src/modules/recurrent/sequence.ts";
export type { FloatRecurrent, RecurrentOptions } from "./src/modules/recurrent/float.ts";
export { MaxOverTime } from "./src/modules/max_over_time/float.ts";
export { MaxPool1d, type MaxPool1dOptions } from "./src/modules/max_pool1d/float.ts";
export { MeanOverTime } from "./src/modules/mean_over_time/float.ts";
export { Module, type StateDictEntry, type StateDictRule } from "./src/modules/module.ts";
export { byParts, type PartValue, type PartWatcher } from "./src/modules/recurrent/by_parts.ts";
export type { ActivationModule } from "./src/modules/activation.ts";
export type { PoolModule } from "./src/modules/pool.ts";
export type { Padding, WindowForwardOptions } from "./src/modules/window.ts";
export type { PointwiseModule } from "./src/modules/pointwise.ts";
export type {
  Activation,
  HardSigmoid as HardSigmoidFunction,
  LeakyReLUFunction,
} from "./kernels/numeric/float_functions.ts";
export { ReLU } from "./src/modules/relu/float.ts";
export { Sigmoid } from "./src/modules/sigmoid/float.ts";
export { Softmax, type SoftmaxOptions } from "./src/modules/softmax/float.ts";
export { Tanh } from "./src/modules/tanh/float.ts";
export { UnitNorm, type UnitNormOptions } from "./src/modules/unit_norm/float.ts";
export { ZeroPad1d, type ZeroPad1dOptions } from "./src/modules/zero_pad1d/float.ts";

export { FakeQuantize, type FakeQuantizeOptions } from "./src/observer/fake_quantize.ts";
export { FixedQParamsObserver, type FixedQParamsOptions } from "./src/observer/fixed.ts";
export {
  HistogramObserver,
  type HistogramOptions,
  type HistogramState,
} from "./src/observer/histogram.ts";
export { MinMaxObserver } from "./src/observer/min_max.ts";
export {
  MovingAverageMinMaxObserver,
  type MovingAverageOptions,
} from "./src/observer/moving_average.ts";
export {
  type CalculateOptions,
  Observer,
  type ObserverFactory,
  type ObserverOptions,
  type QScheme,
  type RangeConfig,
  type UniformObserver,
} from "./src/observer/observer.ts";
export {
  type FloatQParams,
  MovingAveragePerChannelMinMaxObserver,
  PerChannelMinMaxObserver,
  type PerChannelObserver,
  type PerChannelOptions,
} from "./src/observer/per_channel.ts";
export type { ValueStatistics } from "./src/observer/statistics.ts";
export { PlaceholderObserver } from "./src/observer/placeholder.ts";
export {
  BackendConfig,
  type BackendOp,
  dsp16BackendConfig,
  type DTypeConstraints,
  type DTypePattern,
  fbgemmBackendConfig,
  qnnpackBackendConfig,
} from "./src/qconfig/backend.ts";
export { QConfigMapping } from "./src/qconfig/mapping.ts";
export {
  getPreset,
  PRESET_NAMES,
  type PresetName,
  RECOMMENDED_PRESET,
} from "./src/qconfig/presets.ts";
export {
  defaultPerChannelQConfig,
  defaultQConfig,
  dynamicQConfig,
  type OutputObserver,
  type PartConfig,
  type PartObserver,
  type PartObservers,
  perChannelDynamicQConfig,
  type QConfig,
} from "./src/qconfig/qconfig.ts";
export type { FunctionOp } from "./src/cells/functions.ts";
export type { Cell, CellWeight, NamedPart, Part, StatePart } from "./src/cells/cell.ts";
export type { FloatCellWeights } from "./src/cells/float_executor.ts";
export { GRU_PARTS } from "./src/cells/gru_parts.ts";
export { LSTM_PARTS } from "./src/cells/lstm_parts.ts";
export {
  GRU_PART_NAMES,
  type GRUPartName,
  LSTM_PART_NAMES,
  type LSTMPartName,
  type PartName,
  type PartSlot,
} from "./src/cells/names.ts";

export type {
  InitialState,
  InputObserver,
  ObservedModule,
  QuantizedModule,
} from "./src/modules/kind.ts";
export { convert } from "./src/authoring/convert.ts";
export type { LoweringOptions, QuantizedModel } from "./src/authoring/model.ts";
export type { ObservedModel } from "./src/authoring/observed_model.ts";
export { observeLSTMParts, type ObserveLSTMPartsOptions } from "./src/authoring/observe_parts.ts";
export type { FitOptions, Unsupported } from "./src/modules/fit_backend.ts";
export { prepare, type PrepareOptions } from "./src/authoring/prepare.ts";
export {
  quantize,
  type QuantizeOptions,
  type QuantizeProgress,
  type QuantizeResult,
} from "./src/authoring/quantize.ts";
export type { ModelInput } from "./src/authoring/inputs.ts";
export { type CalibrationWarning, calibrationWarnings } from "./src/authoring/warnings.ts";
export { quantizeDynamic } from "./src/authoring/quantize_dynamic.ts";
export type { GraphNode, GraphValue } from "./src/modules/reference.ts";
export { nodeQParams } from "./src/reference/graph.ts";
export {
  convertToReference,
  type ReferenceModel,
  type ReferenceOutput,
  type ReferenceResult,
  type ReferenceRunOptions,
  type ReferenceState,
  type StateTensor,
} from "./src/reference/reference.ts";
export type { GraphWatcher } from "./src/reference/run.ts";
export { type GraphFault, verifyGraph } from "./src/reference/verify.ts";
export { type PartLoss, type PartReport, reportParts } from "./src/tune/report.ts";
export { tune, type TunedPart, type TuneOptions, type TuneResult } from "./src/tune/tune.ts";

export type { OutputPort } from "./src/runtime/data.ts";
export type { Backend, Port } from "./src/runtime/kind.ts";
export type {
  BasicSession,
  OutputArray,
  SessionInput,
  SessionOptions,
  SessionOutput,
} from "./src/runtime/basic_session.ts";
export type { Session } from "./src/runtime/session.ts";
export type { Engine, LinearWeight } from "./kernels/ops/linear.ts";
export {
  parseSafetensors,
  type SafetensorsArray,
  type SafetensorsEntry,
  type SafetensorsFile,
} from "./src/io/safetensors.ts";
export { type SafetensorsInput, writeSafetensors } from "./src/io/safetensors_write.ts";
export { type AnyTensor, type FloatTensors, floatTensors } from "./src/io/float_tensors.ts";
export {
  type Architecture,
  type ArchitectureModule,
  architectureOf,
  readArchitecture,
} from "./src/io/architecture.ts";
export { loadFloatModel, saveFloatModel } from "./src/io/float_model.ts";
export { importSafetensors, type ImportTensorsOptions } from "./src/io/import_tensors.ts";
export {
  draftArchitecture,
  type RecognizedModule,
  recognizeModules,
  type Shaped,
} from "./src/io/recognize_modules.ts";
export type { ImportedModel } from "./src/io/imported_model.ts";
export { loadModel } from "./src/io/model_file.ts";
export { saveModel } from "./src/io/model_write.ts";
export { compileModel, type CompileOptions } from "./src/io/program_write.ts";
