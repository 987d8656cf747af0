/**
 * Assertion helpers of the module boundary. The success path comes first; a message is only built
 * when it is thrown. TypeError for the wrong kind of value, RangeError for the wrong value.
 *
 * @module
 */
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";

/** Longest name, value or expectation in a message, in characters. */
const SHOWN = 100;
const EXPECTED = 240;

/** Text without its middle where it is longer than `limit` characters. */
function shorten(text: string, limit: number): string {
  const half = limit >> 1;
  return text.length > limit ? `${text.slice(0, half)}…${text.slice(-half)}` : text;
}

/**
 * Text that may be part of a message, wherever it comes from: short, and without characters that
 * control the terminal or the direction of writing.
 */
export function clean(text: string, limit = SHOWN): string {
  const escaped = shorten(text, limit).replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return shorten(escaped, limit);
}

/**
 * How a value is shown in an error message: short, and with its kind visible. It may come from a
 * hostile file: none of its methods is called, and nested values are not entered.
 */
export function show(value: unknown): string {
  return clean(
    typeof value === "string"
      ? JSON.stringify(shorten(value, SHOWN - 2))
      : Array.isArray(value)
      ? `[${
        value.slice(0, 20).map((v) => isObject(v) ? "..." : shorten(String(v), SHOWN)).join(", ")
      }]`
      : isObject(value)
      ? `${Object.getPrototypeOf(value)?.constructor?.name ?? "object"}`
      : String(value),
  );
}

type Fail = (name: string, expected: string, got: unknown) => never;

const failWith = (Kind: typeof TypeError | typeof RangeError): Fail => (name, expected, got) => {
  throw new Kind(`${clean(name)}: expected ${clean(expected, EXPECTED)}, got ${show(got)}`);
};

/** Throws a TypeError `name: expected ..., got ...`. */
export const failType: Fail = failWith(TypeError);

/** Throws a RangeError `name: expected ..., got ...`. */
export const failRange: Fail = failWith(RangeError);

/** Requires an integer in [min, max] and returns it. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (!(Number.isInteger(value) && (value as number) >= min && (value as number) <= max)) {
    (typeof value === "number" ? failRange : failType)(name, `an integer in ${min}..${max}`, value);
  }
  return value as number;
}

/** Requires as many elements as expected. */
export function checkLength(name: string, length: unknown, expected: number): void {
  if (length !== expected) failRange(name, `${expected} elements`, length);
}

/** Requires a boolean and returns it. */
export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") failType(name, "a boolean", value);
  return value;
}

/** Requires every element to be in [min, max], and so no NaN. */
export function checkEach(
  name: string,
  data: ArrayLike<number>,
  min: number,
  max: number,
  expected?: string,
): void {
  let i = 0;
  while (i < data.length && data[i]! >= min && data[i]! <= max) i++;
  // After the loop: inside it, JavaScriptCore would build the message's constant parts at each
  // call.
  if (i < data.length) {
    failRange(`${name}[${i}]`, expected ?? `an integer in ${min}..${max}`, data[i]);
  }
}

/** Requires every element to be finite. */
export function checkFinite(name: string, data: ArrayLike<number>): void {
  // No sum of float32 values exceeds float64's range.
  if (isFloat32Array(data) && isFinite32(data)) return;
  checkEach(name, data, -Number.MAX_VALUE, Number.MAX_VALUE, "a finite number");
}

/** Requires a finite result of a module; it overflows where the float model's does. */
export function checkResult(value: number): void {
  if (!Number.isFinite(value)) failRange("output", "finite results", value);
}

/**
 * Whether all elements are finite. Fast: it sees one kind of array, and its four sums are
 * independent of each other. It does not return a sum, which an engine could box.
 */
export function isFinite32(data: Float32Array): boolean {
  let a = 0, b = 0, c = 0, d = 0, i = 0;
  for (const end = data.length - 3; i < end; i += 4) {
    a += data[i]!;
    b += data[i + 1]!;
    c += data[i + 2]!;
    d += data[i + 3]!;
  }
  for (; i < data.length; i++) a += data[i]!;
  return (a + b + c + d) * 0 === 0;
}

/** Whether a value is an object, of any realm. */
export function isObject(value: unknown): value is object {
  return Object(value) === value;
}

/** Requires an instance of a built-in class, of any realm. */
export function checkBuiltIn(
  name: string,
  value: unknown,
  kind: "Map" | "RegExp",
  expected: string,
): void {
  if (Object.prototype.toString.call(value) !== `[object ${kind}]`) failType(name, expected, value);
}

/** Requires that no options are left after the known ones were destructured. */
export function checkNoMore(unknown: object): void {
  for (const [key, value] of Object.entries(unknown)) {
    failType(`options.${key}`, "no such option", value);
  }
}

/** Requires options. */
export function checkGiven(options: unknown): void {
  if (!isObject(options)) failType("options", "an object", options);
}

/** Requires an object that is no array. */
export function checkObject(name: string, value: unknown): Record<string, unknown> {
  if (!isObject(value) || Array.isArray(value)) failRange(name, "an object", value);
  return value as Record<string, unknown>;
}

/** Parses JSON that must be an object; `read` may throw. */
export function parseJson(name: string, read: () => string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(read());
  } catch (error) {
    failRange(name, "JSON", `${error}`);
  }
  return checkObject(name, value);
}
