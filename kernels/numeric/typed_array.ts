/**
 * Telling typed arrays by what they are: one from another realm (a vm context, Jest, an iframe) is
 * as good as our own, though it is an instance of other constructors.
 *
 * @module
 */

/** What all typed arrays of this realm are instances of. */
const TypedArray: { [Symbol.hasInstance](value: unknown): boolean } = /* @__PURE__ */ Object
  .getPrototypeOf(Int8Array);

/** What kind of typed array a value is, `"Float32Array"` for one; undefined for anything else. */
export function typedArrayKind(value: unknown): string | undefined {
  return ArrayBuffer.isView(value) ? (value as Uint8Array)[Symbol.toStringTag] : undefined;
}

/**
 * Whether a value is a typed array of another realm, of the kind that is named. Asked last, for
 * what is of this realm is told by `instanceof` faster, and in every engine without a string.
 */
function isForeign(value: unknown, kind: string): boolean {
  return !(value instanceof (TypedArray as never)) && typedArrayKind(value) === kind;
}

/** Whether a value is a Float32Array, of any realm. */
export function isFloat32Array(value: unknown): value is Float32Array {
  return value instanceof Float32Array || isForeign(value, "Float32Array");
}

/** Whether a value is an Int32Array, of any realm. */
export function isInt32Array(value: unknown): value is Int32Array {
  return value instanceof Int32Array || isForeign(value, "Int32Array");
}

/** Whether a value is an Int8Array, of any realm. */
export function isInt8Array(value: unknown): value is Int8Array {
  return value instanceof Int8Array || isForeign(value, "Int8Array");
}

/** Whether a value is a Uint8Array, of any realm. */
export function isUint8Array(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || isForeign(value, "Uint8Array");
}

/**
 * A copy of an array in this realm and in memory that nobody shares. What is no such array is given
 * back as it is.
 */
export function copyArray<T>(value: T): T {
  const kinds: Record<string, (new (from: ArrayLike<number>) => unknown) | undefined> = {
    Int8Array,
    Uint8Array,
    Uint16Array,
    Int32Array,
    Float32Array,
  };
  // Not slice, which copies nothing where the array is a Buffer.
  const Kind = kinds[typedArrayKind(value) ?? ""];
  return Kind === undefined ? value : new Kind(value as ArrayLike<number>) as T;
}
