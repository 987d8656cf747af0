/** Model files of which something was changed. */
import { writeSafetensors } from "../../src/io/safetensors_write.ts";
import { readTree } from "../io/tree.ts";

/** The JSON of a model file, as far as tests change it. */
export interface ModelJson {
  readonly qparams: unknown[];
  readonly modules: Record<string, unknown>[];
}

/** A model file whose JSON is another. */
export function resaved(bytes: Uint8Array, change: (json: ModelJson) => void): Uint8Array {
  const { tensors, tree } = readTree(bytes);
  change(tree as ModelJson);
  return writeSafetensors([...tensors], { splitgate: JSON.stringify(tree) });
}
