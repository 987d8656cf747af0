/**
 * Reading safetensors files: 8 bytes of header length, a JSON header, the
 * tensors' bytes. The reader treats every file as hostile.
 *
 * Format: https://github.com/huggingface/safetensors#format
 *
 * @module
 */
import { bytesOf, type BytesSource } from "../core/bytes.ts";
import { checkObject, failRange, isObject, parseJson, show } from "../core/errors.ts";
import { ARRAY_TYPES, decodeValues, elementBytes, knownDtypes } from "./dtypes.ts";
import type { SafetensorsArray } from "./dtypes.ts";
import { recognize } from "./recognize.ts";

/**
 * One tensor of a file: row-major, `data.length` is the product of `shape`.
 *
 * @example
 * ```ts
 * import {
 *   parseSafetensors,
 *   type SafetensorsEntry,
 *   writeSafetensors,
 * } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const file = writeSafetensors([["a", { data: Float32Array.of(1, 2), shape: [1, 2] }]]);
 * const a: SafetensorsEntry = parseSafetensors(file).tensors.get("a")!;
 * assertEquals([a.dtype, a.shape], ["F32", [1, 2]]);
 * ```
 */
export interface SafetensorsEntry {
  /** Its dtype in the file: F32, BF16, I8 and so on. PyTorch stores counts as I64. */
  dtype: string;
  /** Dimensions, outermost first; empty for a single value. */
  shape: number[];
  /**
   * Row-major: a view of the file's bytes where they are aligned for it, else a copy. F16, BF16,
   * F8_E4M3 and F8_E5M2 are widened to float32, exactly, when this is first read; BOOL is a
   * Uint8Array of 0 and 1. For an unknown dtype, reading this throws a RangeError.
   */
  readonly data: SafetensorsArray;
}

/**
 * The contents of a file.
 *
 * @example
 * ```ts
 * import {
 *   parseSafetensors,
 *   type SafetensorsFile,
 *   writeSafetensors,
 * } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const bytes = writeSafetensors([["a", { data: Float32Array.of(1), shape: [1] }]]);
 * const { tensors, metadata }: SafetensorsFile = parseSafetensors(bytes);
 * assertEquals([[...tensors.keys()], metadata], [["a"], {}]);
 * ```
 */
export interface SafetensorsFile {
  /** The tensors by name, in the order of their bytes in the file. */
  tensors: Map<string, SafetensorsEntry>;
  /** `__metadata__`, an object without a prototype; empty if there is none. */
  metadata: Record<string, string>;
}

/** A tensor, and where its bytes begin and end in a file's data. */
interface PlacedTensor {
  name: string;
  entry: SafetensorsEntry;
  begin: number;
  end: number;
}

export type { SafetensorsArray };

/** Names of dtypes, including future ones. */
const DTYPE = /^[A-Z][A-Z0-9_]{0,15}$/;

/** The reference implementation's limit on the header's length. */
export const MAX_HEADER = 100_000_000;

/** Bytes of the header's length, before the header. */
const PREFIX = 8;

/** "{", which a header begins with. */
const BRACE = 123;

/** End of the header, in a file that looks like safetensors. */
function headerEnd(bytes: Uint8Array): number {
  // Inexact above 2^53, which is refused in any case.
  const size = bytes.subarray(0, PREFIX).reduceRight((sum, byte) => sum * 256 + byte, 0);
  const end = size + PREFIX;
  const whole = bytes.length >= end;
  if (whole && bytes[PREFIX] === BRACE && size <= MAX_HEADER) return end;
  // Files of other formats often have an absurd length here.
  const known = recognize(bytes);
  const wayOn = known?.wayOn ? ` (${known.wayOn})` : "";
  if (known !== null) return failRange("bytes", `a safetensors file${wayOn}`, known.kind);
  if (size > MAX_HEADER || bytes.length > PREFIX && bytes[PREFIX] !== BRACE) {
    const start = String.fromCharCode(...bytes.subarray(0, 16));
    return failRange("bytes", "a safetensors file", `another file, which begins ${start}`);
  }
  return failRange("bytes", `a whole safetensors file of at least ${end} bytes`, bytes.length);
}

/**
 * The header of a file, each tensor and the metadata by name; its text, and where the tensors'
 * bytes start.
 */
function readHeader(
  bytes: Uint8Array,
): { header: Record<string, unknown>; text: string; start: number } {
  const start = headerEnd(bytes);
  let text = "";
  const header = parseJson("header", () => {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return text = decoder.decode(bytes.subarray(PREFIX, start));
  });
  return { header, text, start };
}

const QUOTE = '"';
const COLON = 58;
const DIGITS = { first: 48, last: 57 };

/** "-", ".", "E" and "e", which do not occur in numbers written with digits only. */
const ODD = [45, 46, 69, 101];

/**
 * Facts about a JSON text that JSON.parse hides: the number of keys, repeated ones included
 * (counted as colons outside of strings), and the first number not written with digits only, or "".
 */
function readPunctuation(json: string): { keys: number; odd: string } {
  const text = json.replace(/\\./g, "");
  let keys = 0;
  let odd = "";
  for (let at = 0; at < text.length;) {
    const quote = text.indexOf(QUOTE, at);
    const end = quote < 0 ? text.length : quote;
    let digit = false;
    for (; at < end; at++) {
      const code = text.charCodeAt(at);
      if (code === COLON) keys++;
      // Letters of true, false and null never follow a digit.
      else if ((digit || code === ODD[0]) && ODD.includes(code) && !odd) {
        odd = text.slice(at - +digit, at + 16);
      }
      digit = code >= DIGITS.first && code <= DIGITS.last;
    }
    if (quote >= 0) at = text.indexOf(QUOTE, quote + 1) + 1;
  }
  return { keys, odd };
}

/**
 * Requires that a string of the header can be encoded as UTF-8: an escape may be a lone surrogate.
 */
function checkText(what: string, text: string): void {
  if (/\p{Cs}/u.test(text)) failRange(what, "no lone surrogates", text);
}

/** Throws a RangeError that names the tensor. */
function failTensor(name: string, field: string, expected: string, got: unknown): never {
  return failRange(`tensor ${show(name)}${field}`, expected, got);
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
  checkText("tensor", name);
  if (!isObject(value) || Array.isArray(value)) return failTensor(name, "", "an object", value);
  const { dtype, shape, data_offsets: offsets } = Object(value);
  if (typeof dtype !== "string" || !DTYPE.test(dtype)) {
    return failTensor(name, "", "shape, data_offsets and a dtype such as F32", dtype);
  }
  let length = Array.isArray(shape) ? 1 : NaN;
  for (let i = 0; length < 2 ** 53 && i < shape.length; i++) {
    length *= Number.isSafeInteger(shape[i]) && shape[i] >= 0 ? shape[i] : NaN;
  }
  if (!(length < 2 ** 53)) {
    return failTensor(name, ".shape", "integers of a product below 2^53", shape);
  }
  const each = elementBytes(dtype);
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? offsets : [];
  const room = bytes.length - start;
  // The element size of an unknown dtype follows from the offsets only.
  const size = each === undefined ? end - begin : length * each;
  const isConsistent = Number.isInteger(begin) && begin >= 0 && size >= 0 && end === begin + size;
  if (!isConsistent || end > room) {
    return failTensor(name, ".data_offsets", `${size} bytes within ${room}`, offsets);
  }
  const own = bytes.subarray(start + begin, start + end);
  if (ARRAY_TYPES.has(dtype)) {
    return { name, entry: { dtype, shape, data: decodeValues(dtype, own) }, begin, end };
  }
  let data: SafetensorsArray | undefined;
  const entry: SafetensorsEntry = {
    dtype,
    shape,
    get data() {
      if (each === undefined) {
        return failTensor(name, ".dtype", `one of ${knownDtypes().join(", ")}`, dtype);
      }
      return data ??= decodeValues(dtype, own);
    },
  };
  return { name, entry, begin, end };
}

/**
 * Reads a safetensors file with tensors of any dtypes; an unknown dtype is an error only when its
 * `data` is read. {@linkcode floatTensors} converts all to float32.
 *
 * Everything is checked: the header's length, its encoding, numbers, repeated keys, each
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
 * @param source A whole file.
 * @throws {TypeError} If `source` is neither a buffer nor a view of one.
 * @throws {RangeError} If it is not a valid file.
 *
 * @example
 * ```ts
 * import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const file = writeSafetensors([
 *   ["bias", { data: new Float32Array([0.5, -1]), shape: [2] }],
 * ]);
 * const bias = parseSafetensors(file).tensors.get("bias");
 * assertEquals(bias?.dtype, "F32");
 * assertEquals(bias?.data, new Float32Array([0.5, -1]));
 * ```
 */
export function parseSafetensors(source: BytesSource): SafetensorsFile {
  const bytes = bytesOf("bytes", source);
  const { header, text, start } = readHeader(bytes);
  let known = 0;
  const metadata: Record<string, string> = Object.create(null);
  const tensors = new Map<string, SafetensorsEntry>();
  const found: PlacedTensor[] = [];
  for (const name of Object.keys(header)) {
    if (name !== "__metadata__") {
      found.push(readTensor(bytes, start, name, header[name]));
      known += 4;
      continue;
    }
    const notes = checkObject(`tensor "${name}"`, header[name]);
    known++;
    for (const key of Object.keys(notes)) {
      const value = notes[key];
      if (typeof value !== "string") failRange(`metadata ${show(key)}`, "a string", value);
      checkText("metadata", key);
      checkText(`metadata ${show(key)}`, value);
      metadata[key] = value;
      known++;
    }
  }
  const { keys, odd } = readPunctuation(text);
  if (keys !== known) {
    for (const { name } of found) {
      const fields = Object.keys(Object(header[name]));
      if (fields.length === 3) continue;
      failTensor(name, "", "shape, data_offsets and a dtype alone", fields);
    }
    failRange("header", `${known} keys, each once`, keys);
  }
  if (odd) failRange("header", "numbers of digits alone", odd);
  let at = 0;
  for (
    const { name, entry, begin, end } of found.sort((a, b) => a.begin - b.begin || a.end - b.end)
  ) {
    if (begin !== at) failRange(`tensor ${show(name)}`, `to begin at ${at}`, begin);
    at = end;
    tensors.set(name, entry);
  }
  if (at !== bytes.length - start) failRange("bytes", `${at} bytes of data`, bytes.length - start);
  return { tensors, metadata };
}
