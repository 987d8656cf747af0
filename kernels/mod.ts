/**
 * The operators: pure functions over typed arrays that the caller owns, each as torch 2.8.0
 * computes it. They assume valid input; modules validate. The building blocks of the LSTM's fast
 * step are in `@splitgate/splitgate/backend`.
 *
 * @module
 */
export { activateFloat32, activateInt8, reluInt8 } from "./numeric/activation.ts";
export {
  type Activation,
  expFloat32,
  type HardSigmoid,
  hardSigmoidFloat32,
  leakyReluFloat32,
  type LeakyReLUFunction,
  logFloat32,
  reluFloat32,
  sigmoidFloat32,
  tanhFloat32,
} from "./numeric/float_functions.ts";
export * from "./numeric/quantize.ts";
export { dequantizeValue, quantizeValue } from "./numeric/requantize.ts";
export { type FloatLayer, linearFloat32 } from "./float/linear.ts";
export * from "./ops/concat.ts";
export {
  conv1dFloat32,
  conv1dInt8,
  type Convolution,
  type ConvolutionParameters,
} from "./ops/convolution.ts";
export * from "./ops/elementwise.ts";
export * from "./ops/embedding.ts";
export * from "./ops/fake_quantize.ts";
export {
  type Engine,
  linearInt8,
  linearInt8Float32,
  type LinearParameters,
  type LinearWeight,
} from "./ops/linear.ts";
export * from "./ops/linear_dynamic.ts";
export * from "./ops/normalize.ts";
export * from "./ops/over_time.ts";
export {
  type AveragePool,
  avgPool1dFloat32,
  avgPool1dInt8,
  maxPool1d,
  type PooledIntegers,
} from "./ops/pooling.ts";
export * from "./ops/softmax.ts";
export { type Window, windowSteps } from "./ops/window.ts";
