/**
 * ONNX's element types: their names, and decoding of a tensor's bytes to a typed array. It knows
 * nothing of protobuf.
 *
 * @module
 */

/**
 * The supported element types of ONNX tensors.
 *
 * @example
 * ```ts
 * import { type OnnxDType, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assert } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const wanted: OnnxDType[] = ["float32", "int64"];
 * const { tensors } = parseOnnx(bytes);
 * assert([...tensors.values()].every(({ dtype }) => wanted.some((each) => each === dtype)));
 * ```
 */
export type OnnxDType =
  | "float32"
  | "float16"
  | "bfloat16"
  | "float64"
  | "float8e4m3fn"
  | "float8e4m3fnuz"
  | "float8e5m2"
  | "float8e5m2fnuz"
  | "float4e2m1"
  | "bool"
  | "int2"
  | "int4"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint2"
  | "uint4"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64";

/**
 * Arrays of tensor values: a Float32Array for all floating-point types except float64; 8-bit arrays
 * for bool and for integers below 8 bits.
 *
 * @example
 * ```ts
 * import { type OnnxArray, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const bias: OnnxArray = parseOnnx(bytes).tensors.get("fc.bias")!.data;
 * assertEquals(bias.length, 4);
 * ```
 */
export type OnnxArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** Bit layout of a floating-point format without a typed array. */
interface FloatFormat {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /**
   * Meaning of the largest exponent: infinities and NaN as in IEEE 754; finite numbers except one
   * NaN ("fn"); finite numbers, with NaN in place of negative zero ("fnuz"); or finite numbers
   * only.
   */
  readonly special: "ieee" | "fn" | "fnuz" | "none";
}

/** Storage of a type's elements. */
export interface ElementType {
  readonly dtype: OnnxDType;
  /** Bits of an element in the file; below 8, several share a byte. */
  readonly bits: number;
  readonly Array: {
    readonly BYTES_PER_ELEMENT: number;
    new (length: number): OnnxArray;
    new (buffer: ArrayBufferLike, byteOffset: number, length: number): OnnxArray;
  };
  /** Set if bits have to be converted to the array's values. */
  readonly format?: FloatFormat;
  readonly signed?: boolean;
}

type ArrayType = ElementType["Array"];

const plain = (dtype: OnnxDType, Array: ArrayType): ElementType => ({
  dtype,
  bits: 8 * Array.BYTES_PER_ELEMENT,
  Array,
});

const small = (dtype: OnnxDType, bits: number, signed: boolean): ElementType => ({
  dtype,
  bits,
  Array: signed ? Int8Array : Uint8Array,
  signed,
});

const float = (
  dtype: OnnxDType,
  [exponentBits, mantissaBits, bias]: readonly [number, number, number],
  special: FloatFormat["special"],
): ElementType => ({
  dtype,
  bits: 1 + exponentBits + mantissaBits,
  Array: Float32Array,
  format: { exponentBits, mantissaBits, bias, special },
});

/** Element types by TensorProto.DataType. */
const ELEMENT_TYPES: Readonly<Record<number, ElementType>> = {
  1: plain("float32", Float32Array),
  2: plain("uint8", Uint8Array),
  3: plain("int8", Int8Array),
  4: plain("uint16", Uint16Array),
  5: plain("int16", Int16Array),
  6: plain("int32", Int32Array),
  7: plain("int64", BigInt64Array),
  9: plain("bool", Uint8Array),
  10: float("float16", [5, 10, 15], "ieee"),
  11: plain("float64", Float64Array),
  12: plain("uint32", Uint32Array),
  13: plain("uint64", BigUint64Array),
  16: float("bfloat16", [8, 7, 127], "ieee"),
  17: float("float8e4m3fn", [4, 3, 7], "fn"),
  18: float("float8e4m3fnuz", [4, 3, 8], "fnuz"),
  19: float("float8e5m2", [5, 2, 15], "ieee"),
  20: float("float8e5m2fnuz", [5, 2, 16], "fnuz"),
  21: small("uint4", 4, false),
  22: small("int4", 4, true),
  23: float("float4e2m1", [2, 1, 1], "none"),
  25: small("uint2", 2, false),
  26: small("int2", 2, true),
};

/** Names of unsupported types, which have no numbers for modules. */
const OTHER_TYPES: Readonly<Record<number, string>> = {
  8: "string",
  14: "complex64",
  15: "complex128",
  24: "float8e8m0",
};

/** Storage of a DataType's elements; undefined if unsupported. */
export function elementType(dataType: number): ElementType | undefined {
  return Object.hasOwn(ELEMENT_TYPES, dataType) ? ELEMENT_TYPES[dataType] : undefined;
}

/** Name of a DataType, supported or not. */
export function dtypeName(dataType: number): string {
  return elementType(dataType)?.dtype ?? OTHER_TYPES[dataType] ?? `data type ${dataType}`;
}

/** Size of `count` elements in a file, in bytes. */
export function byteLength({ bits }: ElementType, count: number): number {
  return Math.ceil(bits * count / 8);
}

/** Decodes an element's bits. */
function decodeFloat(bits: number, format: FloatFormat): number {
  const { exponentBits, mantissaBits, bias, special } = format;
  const mantissas = 2 ** mantissaBits;
  const maxExponent = 2 ** exponentBits - 1;
  const mantissa = bits % mantissas;
  const exponent = Math.floor(bits / mantissas) & maxExponent;
  const negative = bits >= 2 ** (exponentBits + mantissaBits);
  const sign = negative ? -1 : 1;
  if (special === "fnuz" && negative && exponent === 0 && mantissa === 0) return NaN;
  if (exponent === maxExponent) {
    if (special === "ieee") return mantissa === 0 ? sign * Infinity : NaN;
    if (special === "fn" && mantissa === mantissas - 1) return NaN;
  }
  if (exponent === 0) return sign * mantissa / mantissas * 2 ** (1 - bias);
  return sign * (1 + mantissa / mantissas) * 2 ** (exponent - bias);
}

/** Decodes elements, one number each. */
export function fromBits(type: ElementType, bits: ArrayLike<number>): OnnxArray {
  const { format } = type;
  const out = new type.Array(bits.length) as Float32Array;
  for (let i = 0; i < bits.length; i++) {
    out[i] = format === undefined ? bits[i]! : decodeFloat(bits[i]!, format);
  }
  return out;
}

/** Unpacks elements below 8 bits, from the lowest bits of each byte up. */
function unpack(bytes: Uint8Array, { bits, signed }: ElementType, count: number): Uint8Array {
  const perByte = 8 / bits;
  const out = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const value = bytes[Math.floor(i / perByte)]! >> (bits * (i % perByte)) & (2 ** bits - 1);
    out[i] = signed && value >= 2 ** (bits - 1) ? value - 2 ** bits : value;
  }
  return out;
}

/** Values from a tensor's little-endian bytes: a view if they are aligned, else a copy. */
export function fromBytes(type: ElementType, bytes: Uint8Array, count: number): OnnxArray {
  if (type.bits < 8) {
    const small = unpack(bytes, type, count);
    return type.signed ? new Int8Array(small.buffer) : fromBits(type, small);
  }
  const Storage = type.format === undefined
    ? type.Array
    : type.bits === 16
    ? Uint16Array as ArrayType
    : Uint8Array as ArrayType;
  const aligned = bytes.byteOffset % Storage.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  const data = new Storage(aligned.buffer, aligned.byteOffset, count);
  return type.format === undefined ? data : fromBits(type, data as Uint16Array);
}
