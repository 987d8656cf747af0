/**
 * Quantization to your own measure, as torch.ao.quantization has it: observers, what QConfigs are
 * built of, the parts of recurrent cells by name, and targets to hold a model to. Presets and
 * `QConfigMapping` are in the main entry.
 *
 * @example Ranges without outliers, for every activation
 * ```ts
 * import { getPreset, LSTM, prepare, type QConfig } from "@splitgate/splitgate";
 * import { MovingAverageMinMaxObserver } from "@splitgate/splitgate/qconfig";
 * import { assert } from "@std/assert";
 * const qconfig: QConfig = {
 *   ...getPreset("fbgemm"),
 *   activation: MovingAverageMinMaxObserver.withArgs({ dtype: "quint8", reduceRange: true }),
 * };
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), qconfig);
 * assert(observed.modules.get("lstm")!.output instanceof MovingAverageMinMaxObserver);
 * ```
 *
 * @module
 */
export { dtypeRange } from "./src/core/dtype.ts";
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
export {
  defaultPerChannelQConfig,
  defaultQConfig,
  dynamicQConfig,
  type OutputObserver,
  type PartConfig,
  type PartObserver,
  type PartObservers,
  perChannelDynamicQConfig,
} from "./src/qconfig/qconfig.ts";
export {
  GRU_PART_NAMES,
  type GRUPartName,
  LSTM_PART_NAMES,
  type LSTMPartName,
  type PartName,
  type PartSlot,
} from "./src/cells/names.ts";
export { observeLSTMParts, type ObserveLSTMPartsOptions } from "./src/authoring/observe_parts.ts";
export type { FitOptions, Unsupported } from "./src/modules/fit_backend.ts";
