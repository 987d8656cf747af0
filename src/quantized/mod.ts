/**
 * Integer modules and the sessions that run them.
 *
 * @module
 */
export type { Engine, LinearWeight } from "../../kernels/linear.ts";
export type { LstmBackend, LstmState, PreparedLstm, PreparedModule } from "./backend.ts";
export { byParts, type PartValue, type PartWatcher } from "./by_parts.ts";
export type { QuantizedLstmCell } from "./cell.ts";
export { QuantizedEmbedding, type QuantizedEmbeddingOptions } from "./embedding.ts";
export { QuantizedLinear, type QuantizedLinearOptions } from "./linear.ts";
export type { ForwardTensor, LstmForwardOptions, LstmForwardResult } from "./forward.ts";
export { QuantizedLSTM, type QuantizedLstmOptions } from "./lstm.ts";
export { type LoweringOptions, QuantizedModel, type QuantizedModule } from "./model.ts";
export type {
  EmbeddingModule,
  LinearModule,
  LstmModule,
  LstmSource,
  TokenRows,
} from "./modules.ts";
export {
  type EmbeddingProgram,
  type Ends,
  type LinearProgram,
  type LstmCellProgram,
  type LstmImage,
  type LstmProgram,
  Program,
  type ProgramData,
  type StageProgram,
} from "./program.ts";
export type { ProjectorProgram } from "./projector.ts";
export { portable } from "./portable.ts";
export { Session, type SessionInput, type SessionOptions, type SessionOutput } from "./session.ts";
