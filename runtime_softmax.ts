/**
 * Running halves of Softmax and LogSoftmax, for `loadProgram` of the runtime:
 * `loadProgram(bytes, { kinds: [softmax, logSoftmax] })`.
 *
 * @module
 */
export { softmax, type SoftmaxProgram } from "./src/runtime/kinds/softmax.ts";
export { logSoftmax } from "./src/runtime/kinds/log_softmax.ts";
