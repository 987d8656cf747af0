/**
 * Reading safetensors files: 8 bytes of header length, a JSON header, the
 * tensors' bytes. The file is taken to be hostile.
 *
 * Format: https://github.com/huggingface/safetensors#format
 *
 * @module
 */
import { isUint8Array } from "../../kernels/numeric/typed_array.ts";
import { checkObject, failRange, failType, parseJson, show } from "../core/errors.ts";

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
  readonly name: string;
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

/** A tensor, its name, and where its bytes begin and end in a file's data. */
interface PlacedTensor extends SafetensorsEntry {
  name: string;
  begin: number;
  end: number;
}

/** The header of a file, each tensor and the metadata by name, and where the tensors' bytes start. */
function readHeader(
  bytes: Uint8Array,
): { header: Record<string, unknown>; text: string; start: number } {
  if (!isUint8Array(bytes)) failType("bytes", "a Uint8Array", bytes);
  // Inexact above 2^53, where it is refused in any case.
  const start = bytes.subarray(0, 8).reduceRight((sum, byte) => sum * 256 + byte, 0) + 8;
  // What is no such file often says of a length beyond all reason.
  if (start > bytes.length) {
    failRange("bytes", `a safetensors file of at least ${start} bytes`, bytes.length);
  }
  let text = "";
  const header = parseJson("header", () =>
    text = bytes[8] === 123 // It must begin with "{".
      ? new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, start))
      : "");
  return { header, text, start };
}

/**
 * The tensor that a field of the header describes, within the file.
 *
 * @param start Where the tensors' bytes start.
 */
function readTensor(
  bytes: Uint8Array,
  start: number,
  name: string,
  value: unknown,
): PlacedTensor {
  const fail = (field: string, expected: string, got: unknown) =>
    failRange(`tensor ${show(name)}${field}`, expected, got);
  const { dtype, shape, data_offsets: offsets } = Object(value);
  const type = ARRAY_TYPES.get(dtype);
  if (!type) {
    return fail("", `shape, data_offsets and a dtype of ${[...ARRAY_TYPES.keys()]}`, dtype);
  }
  let length = 1;
  // 1 / n also turns away -0.
  if (
    !Array.isArray(shape) ||
    !shape.every((n) => Number.isInteger(n) && 1 / n > 0 && (length *= n) < 2 ** 53)
  ) {
    return fail(".shape", "integers of a product below 2^53", shape);
  }
  const each = type.BYTES_PER_ELEMENT;
  const size = length * each;
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? offsets : [];
  const room = bytes.length - start;
  if (!Number.isInteger(begin) || begin < 0 || end !== begin + size || end > room) {
    return fail(".data_offsets", `${size} bytes within ${room}`, offsets);
  }
  const { buffer } = bytes;
  const from = bytes.byteOffset + start + begin;
  const data = from % each
    ? new type(buffer.slice(from, from + size))
    : new type(buffer, from, length);
  return { name, dtype, shape, data, begin, end };
}

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
  const { header, text, start } = readHeader(bytes);
  let keys = 0;
  const metadata: Record<string, string> = Object.create(null);
  const tensors = new Map<string, SafetensorsEntry>();
  const found: PlacedTensor[] = [];
  for (const [name, value] of Object.entries(header)) {
    const label = `tensor ${show(name)}`;
    const fields = Object.entries(checkObject(label, value));
    keys += fields.length + 1;
    if (name === "__metadata__") {
      for (const [key, value] of fields) {
        if (typeof value !== "string") failRange(`metadata ${show(key)}`, "a string", value);
        metadata[key] = value;
      }
    } else {
      const tensor = readTensor(bytes, start, name, value);
      if (fields.length !== 3) {
        failRange(
          label,
          "shape, data_offsets and a dtype alone",
          fields.map(([key]) => key),
        );
      }
      found.push(tensor);
    }
  }
  // JSON.parse keeps the last of equal keys. With its strings taken out, the text has one colon per key, so dropped
  // ones show in the count.
  const colons = text.replace(/\\./g, "").replace(/"[^"]*"/g, "").split(":").length - 1;
  if (colons !== keys) failRange("header", `${keys} keys, each once`, colons);
  let at = 0;
  for (
    const { name, dtype, shape, data, begin, end } of found.sort((a, b) =>
      a.begin - b.begin || a.end - b.end
    )
  ) {
    if (begin !== at) failRange(`tensor ${show(name)}`, `to begin at ${at}`, begin);
    at = end;
    tensors.set(name, { dtype, shape, data });
  }
  if (at !== bytes.length - start) failRange("bytes", `${at} bytes of data`, bytes.length - start);
  return { tensors, metadata };
}
