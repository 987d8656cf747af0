/**
 * splitgate: quantize recurrent models to int8 and run them in plain TypeScript, equal to PyTorch
 * bit for bit.
 *
 * @module
 */
export type { Bytes } from "./src/core/bytes.ts";
export type { AbortSignalLike } from "./src/core/pacer.ts";
export type { DType, QArray } from "./src/core/dtype.ts";
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
export type { EndOptions } from "./src/modules/end_of_time.ts";
export { Flatten, type FlattenOptions } from "./src/modules/flatten/float.ts";
export { FinalHidden, type FinalHiddenOptions } from "./src/modules/final_hidden/float.ts";
export { FirstStep } from "./src/modules/first_step/float.ts";
export { Graph, type GraphChild, type GraphOptions, Sequential } from "./src/modules/graph.ts";
export { GRUCell, type GRUCellOptions } from "./src/modules/gru/cell.ts";
export { GRU, type GRUOptions } from "./src/modules/gru/float.ts";
export { HardSigmoid, type HardSigmoidOptions } from "./src/modules/hard_sigmoid/float.ts";
export { Identity } from "./src/modules/identity/float.ts";
export { LayerNorm, type LayerNormOptions } from "./src/modules/layer_norm/float.ts";
export { LeakyReLU, type LeakyReLUOptions } from "./src/modules/leaky_relu/float.ts";
export { LastStep } from "./src/modules/last_step/float.ts";
export { Linear, type LinearOptions, LinearReLU } from "./src/modules/linear/float.ts";
export { LogSoftmax } from "./src/modules/log_softmax/float.ts";
export { LSTM, type LSTMOptions } from "./src/modules/lstm/float.ts";
export { MaxOverTime } from "./src/modules/max_over_time/float.ts";
export { MaxPool1d, type MaxPool1dOptions } from "./src/modules/max_pool1d/float.ts";
export { MeanOverTime } from "./src/modules/mean_over_time/float.ts";
export { Module } from "./src/modules/module.ts";
export { ReLU } from "./src/modules/relu/float.ts";
export { Sigmoid } from "./src/modules/sigmoid/float.ts";
export { Softmax, type SoftmaxOptions } from "./src/modules/softmax/float.ts";
export { Tanh } from "./src/modules/tanh/float.ts";
export { UnitNorm, type UnitNormOptions } from "./src/modules/unit_norm/float.ts";
export { ZeroPad1d, type ZeroPad1dOptions } from "./src/modules/zero_pad1d/float.ts";

export { QConfigMapping } from "./src/qconfig/mapping.ts";
export {
  getPreset,
  PRESET_NAMES,
  type PresetName,
  RECOMMENDED_PRESET,
} from "./src/qconfig/presets.ts";
export type { QConfig } from "./src/qconfig/qconfig.ts";

export { convert } from "./src/authoring/convert.ts";
export type { LoweringOptions, QuantizedModel } from "./src/authoring/model.ts";
export type { ObservedModel } from "./src/authoring/observed_model.ts";
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

export type {
  OutputArray,
  SessionInput,
  SessionOptions,
  SessionOutput,
} from "./src/runtime/basic_session.ts";
export type { Session } from "./src/runtime/session.ts";
export { loadFloatModel, saveFloatModel } from "./src/io/float_model.ts";
export { loadModel } from "./src/io/model_file.ts";
export { saveModel } from "./src/io/model_write.ts";
export { compileModel, type CompileOptions } from "./src/io/program_write.ts";
