/**
 * Running halves of dynamically quantized modules, for `loadProgram` of the runtime:
 * `loadProgram(bytes, { kinds: [dynamicLinear, dynamicLSTM] })`; `dynamicGRU` of a GRU.
 *
 * @module
 */
export { dynamicLinear, type DynamicLinearProgram } from "./src/runtime/kinds/dynamic_linear.ts";
export { dynamicGRU, type DynamicGRUProgram } from "./src/runtime/kinds/dynamic_gru.ts";
export { dynamicLSTM, type DynamicLSTMProgram } from "./src/runtime/kinds/dynamic_lstm.ts";
export type {
  DynamicCellProgram,
  DynamicRecurrentProgram,
} from "./src/runtime/dynamic_recurrent.ts";
