/**
 * Files: safetensors, and the quantized model in one of them.
 *
 * @module
 */
export {
  parseSafetensors,
  type SafetensorsArray,
  type SafetensorsDType,
  type SafetensorsEntry,
  type SafetensorsFile,
} from "./safetensors.ts";
export { type SafetensorsInput, writeSafetensors } from "./safetensors_write.ts";
export { loadModel } from "./model_file.ts";
export { saveModel } from "./model_write.ts";
export { type LoadOptions, loadProgram } from "../runtime/program_file.ts";
export { compileModel, type CompileOptions } from "./program_write.ts";
