/**
 * The arithmetic: pure functions over typed arrays. They assume valid input; modules validate.
 *
 * @module
 */
export * from "./requantize.ts";
export * from "./quantize.ts";
export * from "./linear.ts";
export * from "./linear_dynamic.ts";
export * from "./elementwise.ts";
export * from "./activation.ts";
export * from "./pack.ts";
export * from "./lstm_cell.ts";
export * from "./lower.ts";
export * from "./program.ts";
export * from "./embedding.ts";
export * from "./float_linear.ts";
export * from "./fake_quantize.ts";
export * from "./lstm_float.ts";
