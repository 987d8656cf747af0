/**
 * Python's pickles, read without executing them: an interpreter of their stack machine that makes
 * plain values. Python names stay names; calls of them are answered by the host or become
 * {@linkcode Opaque} values.
 *
 * Format: https://github.com/python/cpython/blob/main/Lib/pickletools.py, protocols 0 to 5.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";

/** A class or function of Python, by its name. */
export class Global {
  /** Qualified name: `collections.OrderedDict`. */
  readonly name: string;

  /** Keeps the name. */
  constructor(name: string) {
    this.name = name;
  }
}

/** The result of a call that the host does not support. */
export class Opaque {
  /** The callee. */
  readonly name: string;
  /** Its arguments. */
  readonly args: readonly unknown[];
  /** The object's state: most often a Map of its attributes. */
  state: unknown = null;
  /** Its items, if it is a kind of dictionary. */
  readonly items = new Map<unknown, unknown>();

  /** Keeps both. */
  constructor(name: string, args: readonly unknown[]) {
    this.name = name;
    this.args = args;
  }
}

/** The host: gives meaning to a pickle's external references. */
export interface PickleHost {
  /** The value of a persistent id. */
  persistent(id: unknown): unknown;
  /** The result of calling a name; undefined if unsupported. */
  call(name: string, args: readonly unknown[]): unknown;
}

/** A pickle's value, and the index of the first byte after it. */
export interface Unpickled {
  readonly value: unknown;
  readonly end: number;
}

/** Bounds on the time for a hostile pickle, and on memory beyond its own bytes. */
const MAX_OPERATIONS = 2 ** 21;
const MAX_OBJECTS = 2 ** 18;

/** Largest numbers of bytes and digits of an integer. */
const MAX_INTEGER = 1024;

/** Marks the beginning of a group of values on the stack. */
const MARK = Symbol("mark");

const PROTOCOLS = 5;

const EMPTY: readonly unknown[] = Object.freeze([]);

/**
 * By operation: bytes of the length or index that follows it, or number of values that it takes.
 */
const WIDTHS: Readonly<Record<string, number>> = {
  C: 1,
  U: 1,
  h: 1,
  q: 1,
  "\x8a": 1,
  "\x8c": 1,
  B: 4,
  T: 4,
  X: 4,
  j: 4,
  r: 4,
  "\x8b": 4,
  "\x8d": 8,
  "\x8e": 8,
  "\x96": 8,
  "\x85": 1,
  "\x86": 2,
  "\x87": 3,
};

function fromHex(_whole: string, hex: string): string {
  return String.fromCharCode(parseInt(hex, 16));
}

/** Integers as numbers if exact, else as bigints. */
function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Parses a Python string literal. */
function unquote(text: string): string {
  const [, body] = /^(?:'([^]*)'|"([^]*)")$/.exec(text)?.filter((each) => each !== undefined) ?? [];
  if (body === undefined) return failRange("pickle", "a string between quotes", text);
  const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r" };
  return body.replace(
    /\\(?:x([0-9a-f]{2})|([ntr\\'"]))/gi,
    (whole, hex: string, code: string) => hex ? fromHex(whole, hex) : escapes[code] ?? code,
  );
}

/** Decodes little-endian two's complement integers. */
function longOf(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[i]!);
  return integer(bytes.length > 0 ? BigInt.asIntN(8 * bytes.length, value) : 0n);
}

/** The stack machine. */
class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #host: PickleHost;
  #at: number;
  #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  #objects = 0;

  constructor(bytes: Uint8Array, at: number, host: PickleHost) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#host = host;
    this.#at = at;
  }

  #fail(expected: string, got: unknown): never {
    return failRange(`pickle at byte ${this.#at}`, expected, got);
  }

  /** Counts a value that may take more memory than its bytes in the file. */
  #made<T>(value: T): T {
    if (++this.#objects > MAX_OBJECTS) this.#fail(`at most ${MAX_OBJECTS} objects`, "more");
    return value;
  }

  #skip(size: number): number {
    const at = this.#at;
    if (!(size <= this.#bytes.length - at)) this.#fail(`${size} bytes`, this.#bytes.length - at);
    this.#at += size;
    return at;
  }

  #take(size: number): Uint8Array {
    const at = this.#skip(size);
    return this.#bytes.subarray(at, at + size);
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  #line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0) this.#fail("a line", "the end of the file");
    const text = this.#text(end - this.#at, false);
    this.#at++;
    return text;
  }

  #text(size: number, utf8 = true): string {
    const bytes = this.#take(size);
    // Python's surrogatepass writes invalid UTF-8; no supported name contains it.
    if (utf8) return new TextDecoder().decode(bytes);
    let text = "";
    for (let i = 0; i < size; i += 8192) {
      text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    }
    return text;
  }

  #decimal(text: string): number | bigint {
    const digits = text.replace(/L$/, "");
    if (!/^-?\d+$/.test(digits) || digits.length > MAX_INTEGER) this.#fail("an integer", text);
    return integer(BigInt(digits));
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(): unknown {
    if (this.#stack.length === 0) this.#fail("a value on the stack", "none");
    const value = this.#stack.pop();
    if (value === MARK) this.#fail("a value on the stack", "a mark");
    return value;
  }

  #top(): unknown {
    const value = this.#pop();
    this.#push(value);
    return value;
  }

  /** The values after the last mark. */
  #group(): unknown[] {
    const at = this.#stack.lastIndexOf(MARK);
    if (at < 0) this.#fail("a mark on the stack", "none");
    const group = this.#stack.splice(at);
    group.shift();
    return group;
  }

  #tuple(size: number): void {
    const values: unknown[] = [];
    for (let i = 0; i < size; i++) values.unshift(this.#pop());
    this.#push(this.#made(values));
  }

  #call(callee: unknown, args: unknown): void {
    if (!Array.isArray(args)) this.#fail("arguments", args);
    if (!(callee instanceof Global)) {
      // A method or an instance of something opaque.
      const name = callee instanceof Opaque ? callee.name : this.#fail("something to call", callee);
      this.#push(this.#made(new Opaque(name, args as unknown[])));
      return;
    }
    const value = this.#host.call(callee.name, args as unknown[]);
    this.#push(
      this.#made(value === undefined ? new Opaque(callee.name, args as unknown[]) : value),
    );
  }

  #setItems(values: readonly unknown[]): void {
    if (values.length % 2 !== 0) this.#fail("keys and values", values.length);
    const target = this.#top();
    const map = target instanceof Opaque ? target.items : target;
    if (!(map instanceof Map)) this.#fail("a dictionary", target);
    for (let i = 0; i < values.length; i += 2) {
      (map as Map<unknown, unknown>).set(values[i], values[i + 1]);
    }
  }

  #append(values: readonly unknown[]): void {
    const target = this.#top();
    // The items of an opaque list are opaque, too.
    if (target instanceof Opaque) return;
    if (target instanceof Set) values.forEach((value) => target.add(value));
    else if (Array.isArray(target) && target !== EMPTY) {
      for (const each of values) target.push(each);
    } else this.#fail("a list", target);
  }

  #put(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #get(index: number): void {
    if (!this.#memo.has(index)) this.#fail("a value that was kept", index);
    this.#push(this.#memo.get(index));
  }

  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    if (target instanceof Opaque) target.state = state;
  }

  #global(module: unknown, name: unknown): Global {
    if (typeof module !== "string" || typeof name !== "string") this.#fail("names", name);
    return this.#made(new Global(`${module}.${name}`));
  }

  run(): Unpickled {
    for (let i = 0; i < MAX_OPERATIONS; i++) {
      const code = String.fromCharCode(this.#byte());
      if (code === ".") return { value: this.#pop(), end: this.#at };
      this.#step(code);
    }
    return this.#fail(`at most ${MAX_OPERATIONS} operations`, "more");
  }

  /** A length or an index: of 1, 4 or 8 bytes. */
  #unsigned(bytes: number): number {
    if (bytes === 1) return this.#byte();
    const at = this.#skip(bytes);
    return bytes === 4 ? this.#view.getUint32(at, true) : Number(this.#view.getBigUint64(at, true));
  }

  #step(code: string): void {
    const width = WIDTHS[code]!;
    switch (code) {
      case "(":
        return this.#push(MARK);
      case "0":
        if (this.#stack.at(-1) === MARK) this.#stack.pop();
        else this.#pop();
        return;
      case "1":
        this.#group();
        return;
      case "2":
        return this.#push(this.#top());
      case "N":
        return this.#push(null);
      case "\x88":
      case "\x89":
        return this.#push(code === "\x88");
      case "I":
      case "L": {
        const text = this.#line();
        return this.#push(/^0[01]$/.test(text) ? text === "01" : this.#decimal(text));
      }
      case "J":
        return this.#push(this.#view.getInt32(this.#skip(4), true));
      case "K":
        return this.#push(this.#byte());
      case "M":
        return this.#push(this.#view.getUint16(this.#skip(2), true));
      case "\x8a":
      case "\x8b": {
        const size = this.#unsigned(width);
        if (size > MAX_INTEGER) this.#fail(`an integer of at most ${MAX_INTEGER} bytes`, size);
        return this.#push(longOf(this.#take(size)));
      }
      case "F":
        return this.#push(Number(this.#line()));
      case "G":
        return this.#push(this.#view.getFloat64(this.#skip(8)));
      case "S":
        return this.#push(unquote(this.#line()));
      case "V":
        return this.#push(this.#line().replace(/\\u([0-9a-f]{4})/gi, fromHex));
      case "T":
      case "U":
        return this.#push(this.#text(this.#unsigned(width), false));
      case "X":
      case "\x8c":
      case "\x8d":
        return this.#push(this.#text(this.#unsigned(width)));
      case "B":
      case "C":
      case "\x8e":
      case "\x96":
        return this.#push(this.#made(this.#take(this.#unsigned(width))));
      case "P":
      case "Q": {
        const id = code === "P" ? this.#line() : this.#pop();
        return this.#push(this.#made(this.#host.persistent(id)));
      }
      case "]":
        return this.#push(this.#made([]));
      case "}":
        return this.#push(this.#made(new Map()));
      case "\x8f":
        return this.#push(this.#made(new Set()));
      case ")":
        return this.#push(EMPTY);
      case "l":
      case "t":
        return this.#push(this.#made(this.#group()));
      case "\x85":
      case "\x86":
      case "\x87":
        return this.#tuple(width);
      case "\x91":
        return this.#push(this.#made(new Set(this.#group())));
      case "d": {
        const items = this.#group();
        this.#push(this.#made(new Map()));
        return this.#setItems(items);
      }
      case "a":
        return this.#append([this.#pop()]);
      case "e":
      case "\x90":
        return this.#append(this.#group());
      case "s": {
        const value = this.#pop();
        return this.#setItems([this.#pop(), value]);
      }
      case "u":
        return this.#setItems(this.#group());
      case "b":
        return this.#build();
      case "c":
        return this.#push(this.#global(this.#line(), this.#line()));
      case "\x93": {
        const name = this.#pop();
        return this.#push(this.#global(this.#pop(), name));
      }
      case "i": {
        const made = this.#global(this.#line(), this.#line());
        return this.#call(made, this.#group());
      }
      case "o": {
        const [callee, ...args] = this.#group();
        return this.#call(callee, args);
      }
      case "R":
      case "\x81":
      case "\x92": {
        if (code === "\x92") this.#pop(); // names of arguments
        const args = this.#pop();
        return this.#call(this.#pop(), args);
      }
      case "g":
      case "h":
      case "j":
        return this.#get(code === "g" ? Number(this.#line()) : this.#unsigned(width));
      case "p":
      case "q":
      case "r":
        return this.#put(code === "p" ? Number(this.#line()) : this.#unsigned(width));
      case "\x94":
        return this.#put(this.#memo.size);
      case "\x80": {
        const protocol = this.#byte();
        if (protocol > PROTOCOLS) this.#fail(`protocol 0..${PROTOCOLS}`, protocol);
        return;
      }
      case "\x95": // a frame's length
        this.#skip(8);
        return;
    }
    this.#fail("an operation of a pickle", code);
  }
}

/**
 * Reads a pickle.
 *
 * @param bytes The bytes that contain it.
 * @param at Index of its first byte.
 * @returns Its value: null, booleans, numbers (bigints where these are not exact), strings,
 * Uint8Arrays, arrays for lists and tuples, Maps, Sets, {@linkcode Global}, {@linkcode Opaque}, and
 * the host's values.
 * @throws {RangeError} If it is malformed or too large.
 */
export function unpickle(bytes: Uint8Array, at: number, host: PickleHost): Unpickled {
  return new Machine(bytes, at, host).run();
}
