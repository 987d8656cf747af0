/**
 * Reading safetensors files: 8 bytes of header length, a JSON header, the
 * tensors' bytes. The file is taken to be hostile.
 *
 * Format: https://github.com/huggingface/safetensors#format
 *
 * @module
 */
import { failType } from "../errors.ts";

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
  dtype: SafetensorsDType;
  shape: number[];
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
export const ARRAY_TYPES: ReadonlyMap<unknown, ArrayType> = new Map<
  unknown,
  ArrayType
>([
  ["F32", Float32Array],
  ["I32", Int32Array],
  ["U16", Uint16Array],
  ["I16", Int16Array],
  ["I8", Int8Array],
  ["U8", Uint8Array],
]);

/** The reference implementation's limit on the header's length. */
export const MAX_HEADER = 100_000_000;

// Unlike errors.ts, shows parsed JSON: cut short, and without calling a
// toString or reading a constructor that the file itself may have named.
function fail(what: string, expected: string, got: unknown): never {
  let text = "deep nesting";
  try {
    text = `${
      JSON.stringify(
        got,
        // JSON.stringify shows the infinity that 1e999 parses to as null.
        (_, v) => v === 1 / 0 || v === -1 / 0 ? `${v}` : v,
      )
    }`.slice(0, 99);
  } catch {
    // Too deep for the stack.
  }
  throw new RangeError(`${what}: expected ${expected}, got ${text}`);
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 99));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value instanceof Object && !Array.isArray(value);
}

// 1 / n also turns away -0.
function areSizes(value: unknown): value is number[] {
  return Array.isArray(value) &&
    value.every((n) => Number.isSafeInteger(n) && 1 / n > 0);
}

/**
 * Reads a safetensors file of F32, I32, U16, I16, I8 and U8 tensors.
 *
 * Everything is checked before any tensor is made: the header's length, its
 * encoding, repeated keys, each dtype, shape and byte range, and that the
 * tensors cover the data without overlap, hole or remainder. An array shares
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
  if (length < 8) fail("bytes", "at least 8 bytes", length);
  const view = new DataView(buffer, byteOffset);
  // Inexact above 2^53, where it is refused in any case.
  const headerLength = view.getUint32(0, true) +
    view.getUint32(4, true) * 2 ** 32;
  const limit = Math.min(length - 8, MAX_HEADER);
  if (headerLength > limit) {
    fail("header length", `at most ${limit}`, headerLength);
  }
  const start = 8 + headerLength;
  const dataLength = length - start;

  let text: string;
  let header: Record<string, unknown>;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes.subarray(8, start));
    header = JSON.parse(text);
  } catch (error) {
    fail("header", "JSON in UTF-8", `${error}`);
  }
  if (text[0] !== "{") fail("header", 'an object from its first "{"', text);

  const metadata: Record<string, string> = Object.create(null);
  const found: {
    name: string;
    label: string;
    dtype: SafetensorsDType;
    shape: number[];
    type: ArrayType;
    begin: number;
    end: number;
  }[] = [];
  let keys = 0;
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      if (!isObject(entry)) fail(name, "an object of strings", entry);
      keys++;
      for (const [key, value] of Object.entries(entry)) {
        if (typeof value !== "string") {
          fail(`${name} ${quote(key)}`, "a string", value);
        }
        metadata[key] = value;
        keys++;
      }
      continue;
    }
    const label = `tensor ${quote(name)}`;
    if (!isObject(entry) || Object.keys(entry).length !== 3) {
      fail(label, "an object of dtype, shape, data_offsets", entry);
    }
    const { dtype, shape, data_offsets: offsets } = entry;
    const type = ARRAY_TYPES.get(dtype);
    if (!type) {
      fail(
        `${label} dtype`,
        `one of ${[
          ...ARRAY_TYPES.keys(),
        ]} (F64, F16, BF16, I64 and others are unsupported)`,
        dtype,
      );
    }
    if (!areSizes(shape)) {
      fail(`${label} shape`, "an array of integers from 0 to 2^53 - 1", shape);
    }
    let size = 1;
    for (const n of shape) {
      size *= n;
      if (size >= 2 ** 53) {
        fail(`${label} shape`, "a product below 2^53", shape);
      }
    }
    size *= type.BYTES_PER_ELEMENT;
    if (!areSizes(offsets) || offsets.length !== 2) {
      fail(`${label} data_offsets`, "two integers from 0", offsets);
    }
    const [begin, end] = offsets;
    // A size is not negative, so this holds begin <= end too.
    if (end! - begin! !== size || end! > dataLength) {
      fail(
        `${label} data_offsets`,
        `${size} bytes (dtype x shape) within 0..${dataLength}`,
        offsets,
      );
    }
    found.push({
      name,
      label,
      dtype: dtype as SafetensorsDType,
      shape,
      type,
      begin: begin!,
      end: end!,
    });
    keys += 4;
  }
  // JSON.parse keeps the last of equal keys. With its strings taken out, the
  // text has one colon per key, so dropped ones show in the count.
  const colons = text.replace(/\\./g, "").replace(/"[^"]*"/g, "").split(":")
    .length - 1;
  if (colons !== keys) {
    fail("header", `no key twice, so ${keys} keys`, colons);
  }

  found.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { label, begin, end } of found) {
    if (begin !== at) {
      fail(
        `${label} data_offsets`,
        `to begin at ${at}, where the one before ends (no overlap, no hole)`,
        begin,
      );
    }
    at = end;
  }
  if (at !== dataLength) {
    fail("data", `${at} bytes, where the last tensor ends`, dataLength);
  }

  const tensors = new Map<string, SafetensorsEntry>();
  for (const { name, dtype, shape, type, begin, end } of found) {
    const size = type.BYTES_PER_ELEMENT;
    const from = byteOffset + start + begin;
    tensors.set(name, {
      dtype,
      shape,
      data: from % size
        ? new type(buffer.slice(from, from + end - begin))
        : new type(buffer, from, (end - begin) / size),
    });
  }
  return { tensors, metadata };
}
