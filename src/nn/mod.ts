/**
 * Float modules with PyTorch's names, shapes and default initialization.
 *
 * @module
 */
export * from "./embedding.ts";
export * from "./float_executor.ts";
export { Generator, type Seed } from "./generator.ts";
export * from "./linear.ts";
export * from "./lstm.ts";
export * from "./lstm_cell.ts";
export * from "./module.ts";
export * from "./sequential.ts";
