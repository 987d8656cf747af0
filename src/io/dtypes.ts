/**
 * Dtypes of tensors in files, by their safetensors names, and the arrays that hold their values.
 *
 * @module
 */
import { SMALL_FLOATS } from "./small_floats.ts";

/**
 * The arrays that hold U64, I64, F64, F32, U32, I32, U16, I16, I8 and U8, in this order.
 *
 * @example
 * ```ts
 * import { parseSafetensors, type SafetensorsArray } from "@splitgate/splitgate/safetensors";
 * import { writeSafetensors } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const file = writeSafetensors([["ids", { data: BigInt64Array.of(1n, 2n), shape: [2] }]]);
 * const ids: SafetensorsArray = parseSafetensors(file).tensors.get("ids")!.data; // I64
 * assertEquals(Array.from<bigint | number, number>(ids, Number), [1, 2]);
 * ```
 */
export type SafetensorsArray =
  | BigUint64Array
  | BigInt64Array
  | Float64Array
  | Float32Array
  | Uint32Array
  | Int32Array
  | Uint16Array
  | Int16Array
  | Int8Array
  | Uint8Array;

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
  ["U64", BigUint64Array],
  ["I64", BigInt64Array],
  ["F64", Float64Array],
  ["F32", Float32Array],
  ["U32", Uint32Array],
  ["I32", Int32Array],
  ["U16", Uint16Array],
  ["I16", Int16Array],
  ["I8", Int8Array],
  ["U8", Uint8Array],
  ["BOOL", Uint8Array],
]);

/** Bytes of an element; undefined for an unknown dtype. */
export function elementBytes(dtype: string): number | undefined {
  return ARRAY_TYPES.get(dtype)?.BYTES_PER_ELEMENT ?? SMALL_FLOATS.get(dtype)?.bytes;
}

/** Every known dtype. */
export function knownDtypes(): string[] {
  return [...ARRAY_TYPES.keys(), ...SMALL_FLOATS.keys()] as string[];
}

/**
 * The values of some bytes: a view if they are aligned for it, else a copy; floats smaller than
 * float32 are widened to it.
 *
 * @param dtype A known dtype; the bytes are a whole number of elements.
 */
export function decodeValues(dtype: string, bytes: Uint8Array): SafetensorsArray {
  const small = SMALL_FLOATS.get(dtype);
  if (small !== undefined) return small.widen(bytes);
  const type = ARRAY_TYPES.get(dtype)!;
  const { buffer, byteOffset, length } = bytes;
  const each = type.BYTES_PER_ELEMENT;
  return byteOffset % each
    ? new type(buffer.slice(byteOffset, byteOffset + length))
    : new type(buffer, byteOffset, length / each);
}
