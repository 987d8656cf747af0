/**
 * HDF5 as Keras writes it: groups, strings in attributes, dense arrays. jsfive reads the container;
 * this file bounds its work on damaged and hostile files, and gives its errors messages. It knows
 * nothing of Keras.
 *
 * @module
 */
import { File } from "jsfive";
import { failRange } from "../../core/errors.ts";
import { SMALL_FLOATS } from "../small_floats.ts";

/** A dense array of a file. */
export interface Hdf5Array {
  /** Dtype in NumPy's notation: `<f4`, `>i8`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Row-major values, rounded to float32. */
  readonly data: Float32Array;
}

/** A group, or an array, which has no children. */
export interface Hdf5Node {
  /** Path from the root, each name preceded by a slash. */
  readonly path: string;
  readonly isArray: boolean;
  /** Names of children, in the file's order. */
  names(): string[];
  /** A child by name or by path; undefined if missing. */
  get(path: string): Hdf5Node | undefined;
  /** Strings of an attribute; undefined if missing. */
  texts(attribute: string): string[] | undefined;
  /** Reads the array. */
  read(): Hdf5Array;
}

/** The part of jsfive's object headers used here. */
interface Header {
  readonly is_dataset: boolean;
  readonly shape: number[];
  readonly dtype: unknown;
  find_msg_type(type: number): { get(field: string): number }[];
  unpack_attribute(offset: number): [name: string, value: unknown];
  _get_data_message_properties(
    offset: number,
  ): [version: number, _: number, layout: number, at: number];
}

/** The part of jsfive's groups and datasets used here. */
interface Item {
  readonly _dataobjects: Header;
  readonly _links: Record<string, unknown>;
  get(name: string): Item;
}

const SIGNATURE = [137, 72, 68, 70, 13, 10, 26, 10];
const LAYOUT_MESSAGE = 8;
const ATTRIBUTE_MESSAGE = 12;
const COMPACT = 0;
const CONTIGUOUS = 1;

/** Largest number of strings in an attribute; Keras splits longer lists. */
const MAX_TEXTS = 65536;

/**
 * Bounds on work: steps allowed for any file, file bytes for each further step, and the largest
 * total.
 */
const FREE_STEPS = 20000;
const BYTES_A_STEP = 32;
const MAX_STEPS = 200000;

/** Copied bytes that count as one step. */
const COPIED_A_STEP = 16;

/** Nodes of B-trees ("TREE") and symbol tables ("SNOD") give the number of entries that follow. */
const COUNTED = /^(TREE|SNOD)$/;
const COUNT_AT = 6;

/** Bytes read of an indirect block ("FHIB"), whatever size it declares. */
const INDIRECT = "FHIB";

/** For each type, the bytes of a value and a reader of little-endian values. */
const TYPES: Readonly<
  Record<string, readonly [size: number, read: (bytes: ArrayBuffer) => ArrayLike<number>]>
> = {
  f2: [2, (bytes) => SMALL_FLOATS.get("F16")!.widen(new Uint8Array(bytes))],
  f4: [4, (bytes) => new Float32Array(bytes)],
  f8: [8, (bytes) => new Float64Array(bytes)],
  i1: [1, (bytes) => new Int8Array(bytes)],
  i2: [2, (bytes) => new Int16Array(bytes)],
  i4: [4, (bytes) => new Int32Array(bytes)],
  i8: [8, (bytes) => Array.from(new BigInt64Array(bytes), Number)],
  u1: [1, (bytes) => new Uint8Array(bytes)],
  u2: [2, (bytes) => new Uint16Array(bytes)],
  u4: [4, (bytes) => new Uint32Array(bytes)],
  u8: [8, (bytes) => Array.from(new BigUint64Array(bytes), Number)],
};

/** Calls jsfive and converts whatever it throws to a RangeError. */
function guarded<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    return failRange(path, "a readable HDF5 file, as Keras writes it", `${error}`);
  }
}

/**
 * A copy of a file whose reading consumes steps and fails when they run out. jsfive copies each
 * structure's signature before it reads on; that copy is intercepted to see how much work follows.
 */
function metered(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = Uint8Array.from(bytes);
  const view = new DataView(buffer);
  let left = Math.min(FREE_STEPS + bytes.length / BYTES_A_STEP, MAX_STEPS);
  const slice = (from: number, to: number): ArrayBuffer => {
    const copy = ArrayBuffer.prototype.slice.call(buffer, from, to) as ArrayBuffer;
    left -= 1 + copy.byteLength / COPIED_A_STEP;
    if (copy.byteLength === SIGNATURE_BYTES) {
      const signature = String.fromCharCode(...new Uint8Array(copy));
      if (COUNTED.test(signature)) left -= view.getUint16(from + COUNT_AT, true) / 2;
      if (signature === INDIRECT) left -= bytes.length / 16;
    }
    if (left < 0) throw new RangeError("a file that is damaged: its structure never ends");
    return copy;
  };
  Object.defineProperty(buffer, "slice", { value: slice });
  return buffer;
}

const SIGNATURE_BYTES = 4;

/** Type classes of strings of fixed and of variable length. */
const TEXT = 3;
const VARIABLE = 9;

/** Number of strings of an attribute, without reading them; NaN if it holds something else. */
function textCount(view: DataView, at: number): number {
  const version = view.getUint8(at);
  const [header, multiple] = version === 1 ? [8, 8] : [9, 1];
  const padded = (offset: number) =>
    Math.ceil(view.getUint16(at + offset, true) / multiple) * multiple;
  const type = at + header + padded(2);
  const kind = view.getUint8(type) & 15;
  const isText = kind === TEXT || kind === VARIABLE && (view.getUint8(type + 1) & 15) === 1;
  const space = type + padded(4);
  const dimensions = view.getUint8(space + 1);
  const first = space + (view.getUint8(space) === 1 ? 8 : 4);
  let count = 1;
  for (let i = 0; i < dimensions; i++) count *= Number(view.getBigUint64(first + 8 * i, true));
  // An empty list is stored as float64.
  return isText || count === 0 ? count : NaN;
}

/** State shared by the nodes of a file. */
interface Source {
  readonly view: DataView;
  /** Bytes of arrays that may still be read: in all no more than the file's size. */
  left: number;
}

class Node implements Hdf5Node {
  readonly #source: Source;
  readonly #item: Item;
  readonly path: string;

  constructor(source: Source, item: Item, path: string) {
    this.#source = source;
    this.#item = item;
    this.path = path;
  }

  get isArray(): boolean {
    return this.#item._dataobjects.is_dataset;
  }

  names(): string[] {
    return this.isArray ? [] : Object.keys(this.#item._links);
  }

  get(path: string): Hdf5Node | undefined {
    let node: Node | undefined;
    for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
      node = (node ?? this).#child(name);
      if (node === undefined) return undefined;
    }
    return node ?? this;
  }

  #child(name: string): Node | undefined {
    const { _links: links } = this.#item;
    // Soft links are strings; Keras makes none.
    if (this.isArray || !Object.hasOwn(links, name) || typeof links[name] !== "number") return;
    const path = `${this.path}/${name}`;
    return new Node(this.#source, guarded(path, () => this.#item.get(name)), path);
  }

  texts(attribute: string): string[] | undefined {
    const { view } = this.#source;
    const header = this.#item._dataobjects;
    const name = `${this.path || "/"}.${attribute}`;
    const wanted = new TextEncoder().encode(attribute);
    for (const message of header.find_msg_type(ATTRIBUTE_MESSAGE)) {
      const at = message.get("offset_to_message");
      // Only the requested attributes are read: others may be of any type.
      const value = guarded(name, () => {
        const start = at + (view.getUint8(at) === 1 ? 8 : 9);
        const length = view.getUint16(at + 2, true);
        const same = wanted.every((byte, i) => view.getUint8(start + i) === byte);
        if (!same || ![0, 1].includes(length - wanted.length)) return;
        const count = textCount(view, at);
        if (!(count <= MAX_TEXTS)) throw new RangeError(`an attribute of ${count} texts`);
        return count === 0 ? [] : header.unpack_attribute(at)[1];
      });
      if (value === undefined) continue;
      const texts = Array.isArray(value) ? value : [value];
      return texts.map((text) => {
        if (typeof text !== "string") failRange(name, "a text", text);
        return text.replace(/\0+$/, "");
      });
    }
  }

  read(): Hdf5Array {
    const { view } = this.#source;
    const header = this.#item._dataobjects;
    const { shape, dtype, layout, start } = guarded(this.path, () => {
      const at = header.find_msg_type(LAYOUT_MESSAGE)[0]!.get("offset_to_message");
      const [, , layout, data] = header._get_data_message_properties(at);
      const start = layout === COMPACT ? data + 2 : Number(view.getBigUint64(data, true));
      return { shape: header.shape, dtype: header.dtype, layout, start };
    });
    const type = typeof dtype === "string" ? TYPES[dtype.slice(1)] : undefined;
    if (type === undefined) failRange(this.path, "an array of numbers", dtype);
    if (layout !== COMPACT && layout !== CONTIGUOUS) {
      const expected = "an array in one piece, as Keras writes them (h5repack -l CONTI joins it)";
      failRange(this.path, expected, "one in chunks");
    }
    const [size, read] = type;
    const length = shape.reduce((product, n) => product * n, 1);
    if (!(start + length * size <= view.byteLength)) {
      failRange(this.path, `${length * size} bytes within the file`, `them at ${start}`);
    }
    this.#source.left -= length * size;
    if (this.#source.left < 0) failRange(this.path, "bytes of its own", "those of another array");
    const bytes = new Uint8Array(view.buffer, start, length * size).slice();
    if ((dtype as string)[0] === ">") {
      for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
    }
    const data = Float32Array.from(read(bytes.buffer));
    return { dtype: dtype as string, shape, data };
  }
}

/**
 * Opens a file.
 *
 * @throws {RangeError} If it is no HDF5 file, or damaged.
 */
export function openHdf5(bytes: Uint8Array): Hdf5Node {
  const known = SIGNATURE.every((byte, i) => bytes[i] === byte);
  if (!known) failRange("bytes", "an HDF5 file", "another file");
  const buffer = metered(bytes);
  const file = guarded("bytes", () => new File(buffer) as Item);
  return new Node({ view: new DataView(buffer), left: bytes.length }, file, "");
}
