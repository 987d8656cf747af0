/**
 * Reading ONNX files, and importing them as float models.
 *
 * @module
 */
export {
  type OnnxAttribute,
  type OnnxModel,
  type OnnxNode,
  type OnnxOptions,
  type OnnxTensor,
  type OnnxValueInfo,
  parseOnnx,
} from "./reader.ts";
export type { OnnxArray, OnnxDType } from "./dtypes.ts";
export {
  type ImportedOnnx,
  importOnnx,
  type OnnxImportOptions,
  type OnnxState,
} from "./importer.ts";
