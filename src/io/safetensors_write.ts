/**
 * Writing safetensors files.
 *
 * @module
 */
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import type { Bytes } from "../core/bytes.ts";
import { checkInteger, failRange, failType } from "../core/errors.ts";
import { ARRAY_TYPES, type SafetensorsArray } from "./dtypes.ts";
import { MAX_HEADER } from "./safetensors.ts";

/**
 * A tensor to write: row-major, `data.length` is the product of `shape`.
 *
 * @example
 * ```ts
 * import { type SafetensorsInput, writeSafetensors } from "@splitgate/splitgate/safetensors";
 * const x: SafetensorsInput = { data: new Float32Array(24), shape: [2, 4, 3] };
 * writeSafetensors([["x", x]]); // data for the command, say
 * ```
 */
export interface SafetensorsInput {
  /** Row-major; the kind of array is the dtype in the file. */
  data: SafetensorsArray;
  /** Dimensions, outermost first; their product is the length of `data`. */
  shape: readonly number[];
}

const DTYPES = [...ARRAY_TYPES];

// Plain code unit order: the same in every locale.
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

// JSON of a string. A lone surrogate has no UTF-8 form.
function quote(what: string, value: unknown): string {
  if (typeof value !== "string") failType(what, "a string", value);
  if (/\p{Cs}/u.test(value)) {
    failRange(what, "a string without lone surrogates", value);
  }
  return JSON.stringify(value);
}

/**
 * Writes tensors as one safetensors file. Equal input gives equal bytes, in
 * whatever order the tensors and the metadata come.
 *
 * The dtype follows from the array: BigUint64Array U64, BigInt64Array I64, Float64Array F64,
 * Float32Array F32, Uint32Array U32, Int32Array I32, Uint16Array U16, Int16Array I16, Int8Array I8,
 * Uint8Array U8. Tensors are
 * laid out in this order of dtypes, then by name, and the header is padded
 * with spaces to a multiple of 8 bytes, so that each tensor is aligned to its
 * elements. This is the layout of the reference implementation,
 * https://github.com/huggingface/safetensors/blob/main/safetensors/src/tensor.rs.
 * Names and metadata keys are compared by UTF-16 code units. Empty metadata
 * is left out.
 *
 * @param tensors Pairs of name and tensor, for instance a Map.
 * @param metadata Strings to keep in the header under `__metadata__`.
 * @throws {TypeError} If a name or metadata value is no string, an array is
 * of another kind, or an argument has the wrong type.
 * @throws {RangeError} If a name comes twice, is `__metadata__`, a string has
 * a lone surrogate, a shape's product is not the array's length, or the header
 * would be longer than 100 MB.
 *
 * @example
 * ```ts
 * import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const weight = { data: new Int8Array([1, -2, 3, 4]), shape: [2, 2] };
 * const file = writeSafetensors([["weight", weight]], { format: "1" });
 * const { tensors, metadata } = parseSafetensors(file);
 * assertEquals(tensors.get("weight"), { dtype: "I8", ...weight });
 * assertEquals(metadata.format, "1");
 * ```
 */
export function writeSafetensors(
  tensors: Iterable<readonly [name: string, tensor: SafetensorsInput]>,
  metadata: Readonly<Record<string, string>> = {},
): Bytes {
  if (typeof tensors?.[Symbol.iterator] !== "function") {
    failType("tensors", "an iterable of [name, { data, shape }]", tensors);
  }
  if (
    typeof metadata !== "object" || metadata === null || Array.isArray(metadata)
  ) failType("metadata", "an object of strings", metadata);

  const seen = new Set<string>();
  const entries = [];
  for (const pair of tensors) {
    if (!Array.isArray(pair)) {
      failType("tensors", "pairs [name, { data, shape }]", pair);
    }
    const [name, tensor] = pair;
    const key = quote("tensor name", name);
    if (name === "__metadata__") {
      failRange("tensor name", "a name that is not reserved", name);
    }
    if (seen.has(name)) failRange("tensor name", "each name once", name);
    seen.add(name);
    const data = tensor?.data;
    const rank = DTYPES.findIndex(([, type]) => type.name === typedArrayKind(data));
    if (rank < 0) {
      failType(
        `tensor ${key} data`,
        "a Float32Array, Float64Array, Int8Array, Uint8Array, Int16Array, Uint16Array, " +
          "Int32Array, Uint32Array, BigInt64Array or BigUint64Array",
        data,
      );
    }
    if (!Array.isArray(tensor.shape)) {
      failType(`tensor ${key} shape`, "an array of integers", tensor.shape);
    }
    // A copy without holes and without -0.
    const shape = Array.from(
      tensor.shape,
      (n, i) => checkInteger(`tensor ${key} shape[${i}]`, n, 0, 2 ** 53 - 1) + 0,
    );
    let size = 1;
    for (const n of shape) {
      size *= n;
      // Readers would refuse these: [2^30, 2^30, 0] has a product of 0.
      if (size >= 2 ** 53) {
        failRange(`tensor ${key} shape`, "a product below 2^53", shape);
      }
    }
    if (size !== data.length) {
      failRange(`tensor ${key} shape`, `a product of ${data.length}`, shape);
    }
    entries.push({ name, key, data, shape, rank });
  }
  entries.sort((a, b) => a.rank - b.rank || compare(a.name, b.name));

  // Put together by hand: an object would move keys like "0" to the front.
  const fields: string[] = [];
  const notes = Object.entries(metadata).sort(([a], [b]) => compare(a, b)).map((
    [key, value],
  ) =>
    quote("metadata key", key) + ":" +
    quote(`metadata ${JSON.stringify(key)}`, value)
  );
  if (notes.length > 0) fields.push(`"__metadata__":{${notes}}`);
  let end = 0;
  for (const { key, data, shape, rank } of entries) {
    const begin = end;
    end += data.byteLength;
    fields.push(
      `${key}:{"dtype":"${DTYPES[rank]![0]}","shape":[${shape}],` +
        `"data_offsets":[${begin},${end}]}`,
    );
  }
  const header = new TextEncoder().encode(`{${fields}}`);
  const start = 8 + Math.ceil(header.length / 8) * 8;
  if (start - 8 > MAX_HEADER) {
    failRange("header", `at most ${MAX_HEADER} bytes`, start - 8);
  }

  const file = new Uint8Array(start + end);
  new DataView(file.buffer).setUint32(0, start - 8, true);
  file.set(header, 8);
  file.fill(0x20, 8 + header.length, start);
  let at = start;
  for (const { data } of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
