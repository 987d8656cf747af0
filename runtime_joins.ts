/**
 * Running halves of modules that join values, for `loadProgram` of the runtime:
 * `loadProgram(bytes, { kinds: [add, concat] })`.
 *
 * @module
 */
export { add, type AddProgram } from "./src/runtime/kinds/add.ts";
export { concat } from "./src/runtime/kinds/concat.ts";
