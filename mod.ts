/**
 * splitgate: quantize and run int8 Linear, Embedding and LSTM models in plain TypeScript, equal to PyTorch bit
 * for bit.
 *
 * @module
 */
export * from "./src/dtype.ts";
export * from "./src/qparams.ts";
export * from "./src/tensor.ts";
export * from "./src/lstm_parts.ts";
export * from "./src/nn/mod.ts";
export * from "./src/observer/mod.ts";
export * from "./src/qconfig/mod.ts";
export * from "./src/quantizable/mod.ts";
export * from "./src/reference/mod.ts";
export * from "./src/tune/mod.ts";
export * from "./src/quantized/mod.ts";
export * from "./src/io/mod.ts";
