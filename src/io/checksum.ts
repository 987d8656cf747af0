/**
 * The checksum of a model file: of its module tree and each tensor's name, dtype, shape and bytes,
 * in any order. It is the first field of the tree's JSON; scripts/export_torch.py writes it, too.
 *
 * @module
 */
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import { crc32 } from "../core/crc32.ts";
import { failRange, show } from "../core/errors.ts";
import { ARRAY_TYPES } from "./dtypes.ts";
import type { SafetensorsInput } from "./safetensors_write.ts";

type Tensors = Iterable<readonly [name: string, tensor: SafetensorsInput]>;

/** The dtype in which a kind of array is stored. */
const DTYPES = new Map([...ARRAY_TYPES].reverse().map(([dtype, { name }]) => [name, dtype]));

/** The sum of a CRC-32 of the tree and one of each tensor. */
function checksum(tree: string, tensors: Tensors): string {
  const encoder = new TextEncoder();
  let sum = crc32(encoder.encode(tree));
  for (const [name, { data, shape }] of tensors) {
    const label = `${name}\0${DTYPES.get(typedArrayKind(data)!)}\0${shape}\0`;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    sum = sum + crc32(bytes, crc32(encoder.encode(label))) | 0;
  }
  return (sum >>> 0).toString(16).padStart(8, "0");
}

/** A tree's JSON, an object, with the checksum as its first field. */
export function withChecksum(tree: string, tensors: Tensors): string {
  return `{"crc32":"${checksum(tree, tensors)}",${tree.slice(1)}`;
}

/**
 * Requires that a tree's checksum, if there is one, matches the tree and the tensors; returns the
 * tree without it.
 */
export function takeChecksum(text: string, tensors: Tensors): string {
  const [field, expected] = /^\{"crc32":"([^"]*)",/.exec(text) ?? [];
  if (field === undefined) return text;
  const tree = `{${text.slice(field.length)}`;
  const got = checksum(tree, tensors);
  if (got !== expected) {
    failRange("bytes", `a file of checksum ${show(expected)}, as it was written`, got);
  }
  return tree;
}
