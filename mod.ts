/**
 * splitgate: quantize recurrent models to int8 and run them in plain TypeScript, equal to PyTorch bit for bit.
 *
 * @module
 */
export {
  isPerChannel,
  perChannelAffine,
  type PerChannelQParams,
  perTensorAffine,
  type PerTensorQParams,
  type QParams,
  sameQParams,
} from "./src/core/qparams.ts";
export {
  type QTensor,
  qtensor,
  shapeSize,
  type Tensor,
  tensor,
  tokens,
  type TokenTensor,
} from "./src/core/tensor.ts";
export { Generator, type Seed } from "./src/core/generator.ts";
export * from "./src/cells/lstm_parts.ts";
export * from "./src/cells/float_executor.ts";
export * from "./src/core/dtype.ts";
export type { Topology } from "./src/core/topology.ts";
export * from "./src/modules/embedding/float.ts";
export * from "./src/modules/linear/float.ts";
export * from "./src/modules/lstm/float.ts";
export * from "./src/modules/lstm/float_cell.ts";
export * from "./src/modules/module.ts";
export {
  Graph,
  type GraphChild,
  type GraphForwardOptions,
  type GraphOptions,
  Sequential,
} from "./src/modules/graph.ts";
export * from "./src/observer/mod.ts";
export * from "./src/qconfig/mod.ts";
export { convert } from "./src/authoring/convert.ts";
export { type CellObservers } from "./src/modules/lstm/observed_cell.ts";
export { ObservedEmbedding } from "./src/modules/embedding/observed.ts";
export { ObservedLinear } from "./src/modules/linear/observed.ts";
export { type ObservedCell, ObservedLSTM } from "./src/modules/lstm/observed.ts";
export { type CellStatistics, type InputStatistics } from "./src/modules/rounding/statistics.ts";
export { type FitOptions, type Unsupported } from "./src/modules/fit_backend.ts";
export { type InputObserver, type ObservedModule } from "./src/modules/kind.ts";
export { ObservedModel } from "./src/authoring/observed_model.ts";
export { observeLstmParts, type ObserveLstmPartsOptions } from "./src/authoring/observe_parts.ts";
export { prepare, type PrepareOptions } from "./src/authoring/prepare.ts";
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
} from "./src/modules/rounding/weight_rounding.ts";
export * from "./src/reference/mod.ts";
export { type MeasuredInput, type PartLoss, PartReport, reportParts } from "./src/tune/report.ts";
export { tune, type TunedPart, type TuneOptions, type TuneResult } from "./src/tune/tune.ts";
export type { Engine, LinearWeight } from "./kernels/ops/linear.ts";
export type {
  Backend,
  ByParts,
  Call,
  Image,
  ModuleState,
  NodeProgram,
  Port,
  PreparedModule,
  RunningKind,
  Slot,
  Values,
} from "./src/runtime/kind.ts";
export { byParts, type PartValue, type PartWatcher } from "./src/modules/lstm/by_parts.ts";
export type { QuantizedLstmCell } from "./src/modules/lstm/cell.ts";
export {
  type EmbeddingModule,
  QuantizedEmbedding,
  type QuantizedEmbeddingOptions,
} from "./src/modules/embedding/quantized.ts";
export { QuantizedLinear, type QuantizedLinearOptions } from "./src/modules/linear/quantized.ts";
export type { ForwardTensor } from "./src/modules/kind.ts";
export type { LstmForwardOptions, LstmForwardResult } from "./src/modules/lstm/forward.ts";
export type { LinearModule } from "./src/modules/linear/data.ts";
export type { LstmModule } from "./src/modules/lstm/data.ts";
export { QuantizedLSTM, type QuantizedLstmOptions } from "./src/modules/lstm/quantized.ts";
export { type LoweringOptions, QuantizedModel } from "./src/authoring/model.ts";
export type { QuantizedModule } from "./src/modules/kind.ts";
export { Program } from "./src/runtime/program.ts";
export type {
  OutputPort,
  ProgramData,
  ProgramNode,
  ProgramOutput,
  RunningModel,
} from "./src/runtime/data.ts";
export {
  type OutputArray,
  Session,
  type SessionInput,
  type SessionOptions,
  type SessionOutput,
} from "./src/runtime/session.ts";
export * from "./src/io/mod.ts";
