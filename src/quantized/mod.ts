/**
 * Integer modules and the sessions that run them.
 *
 * @module
 */
export type { Engine, LinearWeight } from "../../kernels/linear.ts";
export type { LstmBackend, LstmState, LstmUse, PreparedLstm, PreparedModule, TokenRows } from "./backend.ts";
export { byParts, type PartValue, type PartWatcher } from "./by_parts.ts";
export type { QuantizedLstmCell } from "./cell.ts";
export { QuantizedEmbedding, type QuantizedEmbeddingOptions } from "./embedding.ts";
export { QuantizedLinear, type QuantizedLinearOptions } from "./linear.ts";
export type { ForwardTensor, LstmForwardOptions, LstmForwardResult } from "./forward.ts";
export { QuantizedLSTM, type QuantizedLstmOptions } from "./lstm.ts";
export { QuantizedModel, type QuantizedModule } from "./model.ts";
export type { EmbeddingModule, LinearModule, LstmModule } from "./modules.ts";
export { portable } from "./portable.ts";
export { Session, type SessionInput, type SessionOptions, type SessionOutput } from "./session.ts";
