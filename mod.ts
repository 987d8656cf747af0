/**
 * splitgate: quantize and run int8 Linear, Embedding and LSTM models in plain TypeScript, equal to PyTorch bit
 * for bit.
 *
 * @module
 */
export * from "./src/core/dtype.ts";
export * from "./src/core/qparams.ts";
export * from "./src/core/tensor.ts";
export * from "./src/cells/lstm_parts.ts";
export * from "./src/modules/embedding/float.ts";
export * from "./src/cells/float_executor.ts";
export { Generator, type Seed } from "./src/core/generator.ts";
export * from "./src/modules/linear/float.ts";
export * from "./src/modules/lstm/float.ts";
export * from "./src/modules/lstm/float_cell.ts";
export * from "./src/modules/module.ts";
export * from "./src/modules/sequential.ts";
export * from "./src/observer/mod.ts";
export * from "./src/qconfig/mod.ts";
export { convert } from "./src/authoring/convert.ts";
export { type CellObservers } from "./src/modules/lstm/observed_cell.ts";
export { ObservedEmbedding } from "./src/modules/embedding/observed.ts";
export { ObservedLinear } from "./src/modules/linear/observed.ts";
export { type ObservedCell, ObservedLSTM } from "./src/modules/lstm/observed.ts";
export { type CellStatistics, type InputStatistics } from "./src/authoring/rounding_statistics.ts";
export { type Unsupported } from "./src/authoring/fit_backend.ts";
export {
  type InputObserver,
  type ObservedForwardOptions,
  ObservedModel,
  type ObservedModule,
} from "./src/authoring/observed_model.ts";
export {
  observeLstmParts,
  type ObserveLstmPartsOptions,
} from "./src/modules/lstm/observe_parts.ts";
export { type FloatModel, prepare, type PrepareOptions } from "./src/authoring/prepare.ts";
export { quantizeDynamic } from "./src/authoring/quantize_dynamic.ts";
export {
  accumulateGram,
  type CodedRows,
  descendIntegers,
  type RoundedTokenTable,
  type RoundingOptions,
  roundTokenTable,
  roundWeightRows,
  type TokenProjection,
  type TokenTableOptions,
} from "./src/authoring/weight_rounding.ts";
export * from "./src/reference/mod.ts";
export {
  type MeasuredInput,
  type PartLoss,
  PartReport,
  reportParts,
} from "./src/authoring/report.ts";
export { tune, type TunedPart, type TuneOptions, type TuneResult } from "./src/authoring/tune.ts";
export type { Engine, LinearWeight } from "./kernels/ops/linear.ts";
export type {
  LstmBackend,
  LstmState,
  PreparedLstm,
  PreparedModule,
} from "./src/runtime/backend.ts";
export { byParts, type PartValue, type PartWatcher } from "./src/modules/lstm/by_parts.ts";
export type { QuantizedLstmCell } from "./src/modules/lstm/cell.ts";
export {
  QuantizedEmbedding,
  type QuantizedEmbeddingOptions,
} from "./src/modules/embedding/quantized.ts";
export { QuantizedLinear, type QuantizedLinearOptions } from "./src/modules/linear/quantized.ts";
export type {
  ForwardTensor,
  LstmForwardOptions,
  LstmForwardResult,
} from "./src/modules/lstm/forward.ts";
export { QuantizedLSTM, type QuantizedLstmOptions } from "./src/modules/lstm/quantized.ts";
export {
  type LoweringOptions,
  QuantizedModel,
  type QuantizedModule,
} from "./src/authoring/model.ts";
export type {
  EmbeddingModule,
  LinearModule,
  LstmModule,
  LstmSource,
  TokenRows,
} from "./src/authoring/modules.ts";
export {
  type EmbeddingProgram,
  type Ends,
  type LinearProgram,
  type LstmCellProgram,
  type LstmImage,
  type LstmProgram,
  Program,
  type ProgramData,
  type StageProgram,
} from "./src/runtime/program.ts";
export type { ProjectorProgram } from "./src/runtime/projector.ts";
export { portable } from "./src/runtime/portable.ts";
export {
  Session,
  type SessionInput,
  type SessionOptions,
  type SessionOutput,
} from "./src/runtime/session.ts";
export * from "./src/io/mod.ts";
