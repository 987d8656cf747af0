import { parseSafetensors, type SafetensorsEntry } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/safetensors_write.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/**
 * Tensors and module tree of a model file, without its checksum, so that changes reach the other
 * checks.
 */
export function readTree(file: Uint8Array): { tensors: Map<string, SafetensorsEntry>; tree: Json } {
  const { tensors, metadata } = parseSafetensors(file);
  const { crc32: _left, ...tree } = JSON.parse(metadata.splitgate!);
  return { tensors, tree };
}

/** A model file without a checksum. */
export function writeTree(
  tensors: Parameters<typeof writeSafetensors>[0],
  tree: unknown,
): Uint8Array<ArrayBuffer> {
  return writeSafetensors(tensors, { splitgate: JSON.stringify(tree) });
}
