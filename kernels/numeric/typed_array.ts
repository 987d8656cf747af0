/**
 * Type tests of typed arrays that also accept arrays from another realm (a vm context, Jest, an
 * iframe), whose constructors differ from ours.
 *
 * @module
 */

/** The common base class of this realm's typed arrays. */
const TypedArray: { [Symbol.hasInstance](value: unknown): boolean } = /* @__PURE__ */ Object
  .getPrototypeOf(Int8Array);

/** The kind of a typed array, such as `"Float32Array"`; undefined for anything else. */
export function typedArrayKind(value: unknown): string | undefined {
  return ArrayBuffer.isView(value) ? (value as Uint8Array)[Symbol.toStringTag] : undefined;
}

/**
 * Whether a value is a typed array of the given kind from another realm. Called last: for arrays of
 * this realm `instanceof` is faster and makes no string in any engine.
 */
export function isForeign(value: unknown, kind: string): boolean {
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
 * A copy of a typed array, made in this realm and in memory of its own. Any other value is returned
 * unchanged.
 */
export function copyArray<T>(value: T): T {
  const kinds: Record<string, (new (from: ArrayLike<number>) => unknown) | undefined> = {
    Int8Array,
    Uint8Array,
    Uint16Array,
    Int32Array,
    Float32Array,
  };
  // Not slice: for a Node Buffer it shares memory instead of copying.
  const Kind = kinds[typedArrayKind(value) ?? ""];
  return Kind === undefined ? value : new Kind(value as ArrayLike<number>) as T;
}
