/**
 * Reading safetensors files: 8 bytes of header length, a JSON header, the
 * tensors' bytes. The file is taken to be hostile.
 *
 * Format: https://github.com/huggingface/safetensors#format
 *
 * @module
 */
import { checkObject, failRange, failType, parseJson, show } from "../errors.ts";

/** The safetensors dtypes that are read and written. */
export type SafetensorsDType = "F32" | "I32" | "U16" | "I16" | "I8" | "U8";

/** The arrays that hold F32, I32, U16, I16, I8 and U8, in this order. */
export type SafetensorsArray =
  | Float32Array
  | Int32Array
  | Uint16Array
  | Int16Array
  | Int8Array
  | Uint8Array;

/** One tensor of a file: row-major, `data.length` is the product of `shape`. */
export interface SafetensorsEntry {
  /** As the file names it: F32, I8, I32 and so on. */
  dtype: SafetensorsDType;
  /** Dimensions, outermost first; empty for a single value. */
  shape: number[];
  /** Row-major: a view of the file's bytes where they are aligned for it, else a copy. */
  data: SafetensorsArray;
}

/** What a file holds. */
export interface SafetensorsFile {
  /** The tensors by name, in the order of their bytes in the file. */
  tensors: Map<string, SafetensorsEntry>;
  /** `__metadata__`, an object without a prototype; empty if there is none. */
  metadata: Record<string, string>;
}

interface ArrayType {
  readonly BYTES_PER_ELEMENT: number;
  new (
    buffer: ArrayBufferLike,
    byteOffset?: number,
    length?: number,
  ): SafetensorsArray;
}

/** dtype -> array, in the order in which the reference writes dtypes. */
export const ARRAY_TYPES: ReadonlyMap<unknown, ArrayType> = new Map<unknown, ArrayType>([
  ["F32", Float32Array],
  ["I32", Int32Array],
  ["U16", Uint16Array],
  ["I16", Int16Array],
  ["I8", Int8Array],
  ["U8", Uint8Array],
]);

/**
 * Reads a safetensors file of F32, I32, U16, I16, I8 and U8 tensors.
 *
 * Everything is checked: the header's length, its encoding, repeated keys, each
 * dtype, shape and byte range, and that the tensors cover the data without
 * overlap, hole or remainder. An array shares
 * the memory of `bytes` where its offset is aligned to its elements and is a
 * copy elsewhere. Stored numbers are little-endian, as is every platform that
 * this package supports.
 *
 * Method: the checks of the reference implementation,
 * https://github.com/huggingface/safetensors/blob/main/safetensors/src/tensor.rs,
 * which ignores unknown fields of an entry where this function refuses them.
 *
 * @param bytes A whole file.
 * @throws {TypeError} If `bytes` is no Uint8Array.
 * @throws {RangeError} If it is not a valid file, or holds another dtype.
 *
 * @example
 * ```ts
 * import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const file = writeSafetensors([
 *   ["bias", { data: new Float32Array([0.5, -1]), shape: [2] }],
 * ]);
 * const bias = parseSafetensors(file).tensors.get("bias");
 * assertEquals(bias?.dtype, "F32");
 * assertEquals(bias?.data, new Float32Array([0.5, -1]));
 * ```
 */
export function parseSafetensors(bytes: Uint8Array): SafetensorsFile {
  if (!(bytes instanceof Uint8Array)) failType("bytes", "a Uint8Array", bytes);
  const { buffer, byteOffset, length } = bytes;
  // Inexact above 2^53, where it is refused in any case.
  const start = bytes.subarray(0, 8).reduceRight((sum, byte) => sum * 256 + byte, 0) + 8;
  if (start > length) failRange("bytes", `at least ${start} bytes`, length);
  let text = "", keys = 0, total = 0, at = 0;
  const header = parseJson("header", () =>
    text = bytes[8] === 123 // It must begin with "{".
      ? new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, start))
      : "");
  const metadata: Record<string, string> = Object.create(null), tensors = new Map<string, SafetensorsEntry>();
  const found: [name: string, dtype: SafetensorsDType, shape: number[], begin: number, size: number][] = [];
  for (const [name, value] of Object.entries(header)) {
    const label = `tensor ${show(name)}`, entry = checkObject(label, value), fields = Object.entries(entry);
    keys += fields.length + 1;
    if (name === "__metadata__") {
      for (const [key, value] of fields) {
        if (typeof value !== "string") failRange(`metadata ${show(key)}`, "a string", value);
        metadata[key] = value;
      }
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = entry, type = ARRAY_TYPES.get(dtype);
    if (!type || fields.length !== 3) {
      failRange(label, `shape, data_offsets and a dtype of ${[...ARRAY_TYPES.keys()]}`, dtype);
    }
    let size = 1;
    // 1 / n also turns away -0.
    if (!Array.isArray(shape) || !shape.every((n) => Number.isInteger(n) && 1 / n > 0 && (size *= n) < 2 ** 53)) {
      failRange(`${label}.shape`, "integers of a product below 2^53", shape);
    }
    size *= type.BYTES_PER_ELEMENT;
    if (
      !Array.isArray(offsets) || offsets.length !== 2 || !Number.isInteger(offsets[0]) ||
      offsets[1] !== offsets[0] + size
    ) failRange(`${label}.data_offsets`, `${size} bytes`, offsets);
    total += size;
    found.push([name, dtype as SafetensorsDType, shape, offsets[0], size]);
  }
  // JSON.parse keeps the last of equal keys. With its strings taken out, the text has one colon per key, so dropped
  // ones show in the count.
  const colons = text.replace(/\\./g, "").replace(/"[^"]*"/g, "").split(":").length - 1;
  if (colons !== keys) failRange("header", `${keys} keys, each once`, colons);
  if (total !== length - start) failRange("bytes", `${total} bytes of data`, length - start);
  for (const [name, dtype, shape, begin, size] of found.sort((a, b) => a[3] - b[3] || a[4] - b[4])) {
    if (begin !== at) failRange(`tensor ${show(name)}`, `to begin at ${at}`, begin);
    at += size;
    const type = ARRAY_TYPES.get(dtype)!, each = type.BYTES_PER_ELEMENT, from = byteOffset + start + begin;
    const data = from % each ? new type(buffer.slice(from, from + size)) : new type(buffer, from, size / each);
    tensors.set(name, { dtype, shape, data });
  }
  return { tensors, metadata };
}
