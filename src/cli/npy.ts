/**
 * NumPy's arrays in files.
 *
 * Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 *
 * @module
 */
import { failRange } from "../core/errors.ts";
import { decodeValues, elementBytes, type SafetensorsArray } from "../io/dtypes.ts";

/** An array of any dtype. */
export interface NpyArray {
  readonly shape: readonly number[];
  readonly data: SafetensorsArray;
}

const MAGIC = "\x93NUMPY";

/** Dtypes by NumPy's type code: the kind of number and its bytes. */
const DTYPES: Readonly<Record<string, string>> = {
  f8: "F64",
  f4: "F32",
  f2: "F16",
  i8: "I64",
  i4: "I32",
  i2: "I16",
  i1: "I8",
  u8: "U64",
  u4: "U32",
  u2: "U16",
  u1: "U8",
  b1: "BOOL",
};

/**
 * Reads a .npy file.
 *
 * @throws {RangeError} If it is not such a file, is truncated, is in Fortran order, or has another
 * dtype.
 */
export function readNpy(name: string, bytes: Uint8Array): NpyArray {
  const start = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (start !== MAGIC || bytes.length < 12) failRange(name, "a .npy file", "another one");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6]!;
  const from = version === 1 ? 10 : 12;
  const end = from + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (end > bytes.length) failRange(name, "a whole .npy file", "one that is cut off");
  const header = new TextDecoder("latin1").decode(bytes.subarray(from, end));
  const [, descr = header.trim()] = /'descr':\s*'([^']*)'/.exec(header) ?? [];
  const [, kind] = /^[<|=]([a-z]\d)$/.exec(descr) ?? [];
  const [, sizes] = /'shape':\s*\(([\d, ]*)\)/.exec(header) ?? [];
  const dtype = DTYPES[kind ?? ""];
  if (dtype === undefined || sizes === undefined) {
    failRange(name, "little-endian real numbers or booleans", descr);
  }
  if (/'fortran_order':\s*True/.test(header)) {
    failRange(name, "rows one after the other (numpy.ascontiguousarray)", "Fortran's order");
  }
  const shape = sizes!.split(",").filter((each) => each.trim() !== "").map(Number);
  const size = shape.reduce((a, b) => a * b, elementBytes(dtype!)!);
  if (!(end + size <= bytes.length)) {
    failRange(name, `${size} bytes of values`, bytes.length - end);
  }
  return { shape, data: decodeValues(dtype!, bytes.subarray(end, end + size)) };
}

/** Writes float32 values as a .npy file. */
export function writeNpy(data: Float32Array, shape: readonly number[]): Uint8Array {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${sizes}), }`;
  // The values begin at a multiple of 64 bytes.
  const length = Math.ceil((text.length + 11) / 64) * 64 - 10;
  const out = new Uint8Array(10 + length + data.byteLength);
  out.set([...MAGIC].map((each) => each.charCodeAt(0)));
  out[6] = 1;
  new DataView(out.buffer).setUint16(8, length, true);
  out.set(new TextEncoder().encode(`${text.padEnd(length - 1)}\n`), 10);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + length);
  return out;
}
