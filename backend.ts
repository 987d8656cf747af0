/**
 * For authors of kernels: what a {@linkcode Backend} is asked, how the running half of a module is
 * described, and what the portable LSTM step is made of. UNSTABLE: anything here may change with
 * any version.
 *
 * @module
 */
export * from "./kernels/numeric/activation.ts";
export * from "./kernels/numeric/float_functions.ts";
export * from "./kernels/numeric/requantize.ts";
export type { CellActivation, CellFunctions, GateActivation } from "./kernels/float/lstm.ts";
export type { Affine, Integers } from "./kernels/numeric/quantize.ts";
export type { FixedPointAdd } from "./kernels/ops/elementwise.ts";
export * from "./kernels/ops/linear.ts";
export type { GRUBinding, GRUCell } from "./kernels/packed/gru_cell.ts";
export type { GRUCellProgram } from "./kernels/packed/gru_program.ts";
export * from "./kernels/packed/lower.ts";
export * from "./kernels/packed/lstm_cell.ts";
export * from "./kernels/packed/pack.ts";
export * from "./kernels/packed/program.ts";
export type { DType, QArray } from "./src/core/dtype.ts";
export type { PerTensorQParams } from "./src/core/qparams.ts";
export type * from "./src/runtime/data.ts";
export type * from "./src/runtime/kind.ts";
export type { GRULayerProgram } from "./src/runtime/kinds/gru.ts";
export type { RecurrentCellProgram, RecurrentProgram } from "./src/runtime/recurrent.ts";
export type { FoldedTokens } from "./src/runtime/tokens.ts";
export type { ProjectingKernels, Projector, ProjectorProgram } from "./src/runtime/projector.ts";
