/**
 * The running half of GRU, for `loadProgram` of the runtime:
 * `loadProgram(bytes, { kinds: [gru] })`.
 *
 * @module
 */
export { gru, type GRUProgram } from "./src/runtime/kinds/gru.ts";
