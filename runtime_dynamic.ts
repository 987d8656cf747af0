/**
 * Running halves of dynamically quantized modules, for `loadProgram` of the runtime:
 * `loadProgram(bytes, { kinds: [dynamicLinear, dynamicLSTM] })`.
 *
 * @module
 */
export { dynamicLinear, type DynamicLinearProgram } from "./src/runtime/kinds/dynamic_linear.ts";
export {
  type DynamicCellProgram,
  dynamicLSTM,
  type DynamicLSTMProgram,
} from "./src/runtime/kinds/dynamic_lstm.ts";
