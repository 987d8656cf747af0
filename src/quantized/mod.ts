/**
 * Integer modules and the sessions that run them.
 *
 * @module
 */
export type { Engine, LinearWeight } from "../../kernels/linear.ts";
export type { QuantizedLstmCell } from "./cell.ts";
export { QuantizedEmbedding, type QuantizedEmbeddingOptions } from "./embedding.ts";
export { QuantizedLinear, type QuantizedLinearOptions } from "./linear.ts";
export { type LstmShape, QuantizedLSTM, type QuantizedLstmOptions } from "./lstm.ts";
export { QuantizedModel, type QuantizedModule } from "./model.ts";
export { Session, type SessionInput, type SessionOptions, type SessionOutput } from "./session.ts";
