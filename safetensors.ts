/**
 * Files of tensors: safetensors, read and written; the architecture that makes a model of tensors,
 * drafted from their names and shapes; tensors of any dtype as float32.
 *
 * @example Weights into a model
 * ```ts
 * import { Linear } from "@splitgate/splitgate";
 * import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const from = new Linear({ inFeatures: 2, outFeatures: 3, seed: 1 });
 * const to = new Linear({ inFeatures: 2, outFeatures: 3, seed: 2 });
 * const file = writeSafetensors(from.stateDict());
 * to.loadStateDict(parseSafetensors(file).tensors);
 * assertEquals(to.weight, from.weight);
 * ```
 *
 * @module
 */
export {
  parseSafetensors,
  type SafetensorsArray,
  type SafetensorsEntry,
  type SafetensorsFile,
} from "./src/io/safetensors.ts";
export { type SafetensorsInput, writeSafetensors } from "./src/io/safetensors_write.ts";
export { type AnyTensor, type FloatTensors, floatTensors } from "./src/io/float_tensors.ts";
export {
  type Architecture,
  type ArchitectureModule,
  architectureOf,
  readArchitecture,
} from "./src/io/architecture.ts";
export { importSafetensors, type ImportTensorsOptions } from "./src/io/import_tensors.ts";
export {
  draftArchitecture,
  type RecognizedModule,
  recognizeModules,
  type Shaped,
} from "./src/io/recognize_modules.ts";
export type { ImportedModel } from "./src/io/imported_model.ts";
