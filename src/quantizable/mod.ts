/**
 * Observed modules: float arithmetic with observers, from which integer modules are made.
 *
 * @module
 */
export { convert } from "./convert.ts";
export { type CellObservers } from "./observed_cell.ts";
export { ObservedEmbedding } from "./observed_embedding.ts";
export { ObservedLinear } from "./observed_linear.ts";
export { type ObservedCell, ObservedLSTM } from "./observed_lstm.ts";
export { type CellStatistics, type InputStatistics } from "./rounding_statistics.ts";
export { type Unsupported } from "./fit_backend.ts";
export {
  type InputObserver,
  type ObservedForwardOptions,
  ObservedModel,
  type ObservedModule,
} from "./observed_model.ts";
export { observeLstmParts, type ObserveLstmPartsOptions } from "./observe_parts.ts";
export { type FloatModel, prepare, type PrepareOptions } from "./prepare.ts";
export { quantizeDynamic } from "./quantize_dynamic.ts";
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
} from "./weight_rounding.ts";
