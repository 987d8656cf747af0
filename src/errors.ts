/**
 * Assertion helpers of the module boundary. The success path comes first; a message is only built when
 * it is thrown. TypeError for the wrong kind of value, RangeError for the wrong value.
 *
 * @module
 */

/** How a value is shown in an error message: short, and telling kinds apart. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.join(", ")}]`;
  if (ArrayBuffer.isView(value)) {
    return `${value.constructor.name}(${value.byteLength} bytes)`;
  }
  if (typeof value === "object" && value !== null) {
    return value.constructor?.name ?? "object";
  }
  return String(value);
}

/** Throws a TypeError `name: expected ..., got ...`. */
export function failType(name: string, expected: string, got: unknown): never {
  throw new TypeError(`${name}: expected ${expected}, got ${show(got)}`);
}

/** Throws a RangeError `name: expected ..., got ...`. */
export function failRange(name: string, expected: string, got: unknown): never {
  throw new RangeError(`${name}: expected ${expected}, got ${show(got)}`);
}

/** Requires an integer in [min, max] and returns it. */
export function checkInteger(
  name: string,
  value: unknown,
  min: number,
  max: number,
): number {
  if (typeof value !== "number") {
    failType(name, `an integer in ${min}..${max}`, value);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    failRange(name, `an integer in ${min}..${max}`, value);
  }
  return value;
}

/** Requires a boolean and returns it. */
export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") failType(name, "a boolean", value);
  return value;
}

/** Requires every element to be finite. */
export function checkFinite(name: string, data: Float32Array): void {
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i])) {
      failRange(`${name}[${i}]`, "a finite number", data[i]);
    }
  }
}
