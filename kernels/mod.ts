/**
 * The arithmetic: pure functions over typed arrays. They assume valid input; modules validate.
 *
 * @module
 */
export * from "./numeric/requantize.ts";
export * from "./numeric/quantize.ts";
export * from "./ops/linear.ts";
export * from "./ops/linear_dynamic.ts";
export * from "./ops/elementwise.ts";
export * from "./numeric/float_functions.ts";
export * from "./numeric/activation.ts";
export * from "./packed/pack.ts";
export * from "./packed/lstm_cell.ts";
export * from "./packed/lower.ts";
export * from "./packed/program.ts";
export * from "./ops/embedding.ts";
export * from "./float/linear.ts";
export * from "./ops/fake_quantize.ts";
export * from "./float/lstm.ts";
export * from "./ops/softmax.ts";
export * from "./ops/concat.ts";
export * from "./ops/normalize.ts";
export * from "./ops/over_time.ts";
