/**
 * Assertion helpers of the module boundary. The success path comes first; a message is only built when
 * it is thrown. TypeError for the wrong kind of value, RangeError for the wrong value.
 *
 * @module
 */

/**
 * How a value is shown in an error message: short, and telling kinds apart. It may come out of a hostile file: nothing
 * of it is called, and no depth of it is entered.
 */
export function show(value: unknown): string {
  return typeof value === "string"
    ? JSON.stringify(value.slice(0, 99))
    : Array.isArray(value)
    ? `[${value.slice(0, 20).map((v) => Object(v) === v ? "..." : String(v)).join(", ")}]`
    : Object(value) === value
    ? Object.getPrototypeOf(value)?.constructor.name ?? "object"
    : String(value);
}

type Fail = (name: string, expected: string, got: unknown) => never;

const failWith = (Kind: typeof TypeError | typeof RangeError): Fail => (name, expected, got) => {
  throw new Kind(`${name}: expected ${expected}, got ${show(got)}`);
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
  // Behind the loop: JavaScriptCore makes the texts of one inside it before it begins, at each call.
  if (i < data.length) {
    failRange(`${name}[${i}]`, expected ?? `an integer in ${min}..${max}`, data[i]);
  }
}

/** Requires every element to be finite. */
export function checkFinite(name: string, data: ArrayLike<number>): void {
  // No sum of float32 values exceeds float64's range.
  if (data instanceof Float32Array && isFinite32(data)) return;
  checkEach(name, data, -Number.MAX_VALUE, Number.MAX_VALUE, "a finite number");
}

/**
 * Fast: it meets one kind of array, and adds up four sums that do not wait for each other. It gives no sum: an
 * engine could box that.
 */
function isFinite32(data: Float32Array): boolean {
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

/** Requires options. */
export function checkGiven(options: unknown): void {
  if (!(options instanceof Object)) failType("options", "an object", options);
}

/** Requires an object that is no array. */
export function checkObject(name: string, value: unknown): Record<string, unknown> {
  if (!(value instanceof Object) || Array.isArray(value)) failRange(name, "an object", value);
  return value as Record<string, unknown>;
}

/** The object that a text of JSON stands for; `read` may throw. */
export function parseJson(name: string, read: () => string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(read());
  } catch (error) {
    failRange(name, "JSON", `${error}`);
  }
  return checkObject(name, value);
}
