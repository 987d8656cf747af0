/**
 * Observers: from the values that a tensor takes to its quantization parameters, as torch 2.8.0 calculates them.
 *
 * @module
 */
export {
  type CalculateOptions,
  calculateQParams,
  Observer,
  type ObserverFactory,
  type ObserverOptions,
  type QScheme,
  type RangeConfig,
  UniformObserver,
} from "./observer.ts";
export { MinMaxObserver } from "./min_max.ts";
export { MovingAverageMinMaxObserver, type MovingAverageOptions } from "./moving_average.ts";
export {
  type FloatQParams,
  MovingAveragePerChannelMinMaxObserver,
  type MovingAveragePerChannelOptions,
  PerChannelMinMaxObserver,
  PerChannelObserver,
  type PerChannelOptions,
} from "./per_channel.ts";
export { HistogramObserver, type HistogramOptions, type HistogramState } from "./histogram.ts";
export { FixedQParamsObserver, type FixedQParamsOptions } from "./fixed.ts";
export { PlaceholderObserver } from "./placeholder.ts";
export { FakeQuantize, type FakeQuantizeOptions } from "./fake_quantize.ts";
