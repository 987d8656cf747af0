/**
 * The part of ONNX's protobuf messages that importing needs: bytes in, plain objects out. Fields
 * that are not in these tables are skipped: documentation, stack traces, training.
 *
 * `onnx-buf` covers all of onnx.proto, but its descriptors and their reader take 19 KB gzipped,
 * this file 3; a test compares these tables with its descriptors.
 *
 * @module
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** Protobuf's scalar types used here, named after BinaryReader's methods. */
type Scalar = "string" | "bytes" | "float" | "double" | "int32" | "int64" | "uint64";

/** A field: its name, its type, and whether there may be several. */
export type Field = readonly [name: string, type: Scalar | Message, repeated?: "repeated"];

/** The fields of a message by number. */
export interface Message {
  readonly [number: number]: Field;
}

/** StringStringEntryProto. */
export interface EntryProto {
  readonly key: string;
  readonly value: string;
}

/** TensorProto. */
export interface TensorProto {
  readonly dims: ArrayLike<bigint>;
  readonly dataType: number;
  readonly floatData: ArrayLike<number>;
  readonly int32Data: ArrayLike<number>;
  readonly int64Data: ArrayLike<bigint>;
  readonly name: string;
  readonly rawData: Uint8Array;
  readonly doubleData: ArrayLike<number>;
  readonly uint64Data: ArrayLike<bigint>;
  readonly externalData: readonly EntryProto[];
  readonly dataLocation: number;
}

/** AttributeProto. */
export interface AttributeProto {
  readonly name: string;
  readonly f: number;
  readonly i: bigint;
  readonly s: Uint8Array;
  readonly t?: TensorProto;
  readonly floats: ArrayLike<number>;
  readonly ints: ArrayLike<bigint>;
  readonly strings: readonly Uint8Array[];
  readonly tensors: readonly TensorProto[];
  readonly type: number;
}

/** NodeProto. */
export interface NodeProto {
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly name: string;
  readonly opType: string;
  readonly attribute: readonly AttributeProto[];
  readonly domain: string;
}

/** ValueInfoProto. */
export interface ValueInfoProto {
  readonly name: string;
  readonly type?: {
    readonly tensorType?: {
      readonly elemType: number;
      readonly shape?: {
        readonly dim: readonly { readonly dimValue?: bigint; readonly dimParam: string }[];
      };
    };
  };
}

/** GraphProto. */
export interface GraphProto {
  readonly node: readonly NodeProto[];
  readonly name: string;
  readonly initializer: readonly TensorProto[];
  readonly input: readonly ValueInfoProto[];
  readonly output: readonly ValueInfoProto[];
  readonly valueInfo: readonly ValueInfoProto[];
}

/** ModelProto. */
export interface ModelProto {
  readonly irVersion: bigint;
  readonly producerName: string;
  readonly producerVersion: string;
  readonly graph?: GraphProto;
  readonly opsetImport: readonly { readonly domain: string; readonly version: bigint }[];
  readonly metadataProps: readonly EntryProto[];
}

const ENTRY: Message = { 1: ["key", "string"], 2: ["value", "string"] };

const TENSOR: Message = {
  1: ["dims", "int64", "repeated"],
  2: ["dataType", "int32"],
  4: ["floatData", "float", "repeated"],
  5: ["int32Data", "int32", "repeated"],
  7: ["int64Data", "int64", "repeated"],
  8: ["name", "string"],
  9: ["rawData", "bytes"],
  10: ["doubleData", "double", "repeated"],
  11: ["uint64Data", "uint64", "repeated"],
  13: ["externalData", ENTRY, "repeated"],
  14: ["dataLocation", "int32"],
};

const ATTRIBUTE: Message = {
  1: ["name", "string"],
  2: ["f", "float"],
  3: ["i", "int64"],
  4: ["s", "bytes"],
  5: ["t", TENSOR],
  7: ["floats", "float", "repeated"],
  8: ["ints", "int64", "repeated"],
  9: ["strings", "bytes", "repeated"],
  10: ["tensors", TENSOR, "repeated"],
  20: ["type", "int32"],
};

const NODE: Message = {
  1: ["input", "string", "repeated"],
  2: ["output", "string", "repeated"],
  3: ["name", "string"],
  4: ["opType", "string"],
  5: ["attribute", ATTRIBUTE, "repeated"],
  7: ["domain", "string"],
};

const DIMENSION: Message = { 1: ["dimValue", "int64"], 2: ["dimParam", "string"] };

const VALUE_INFO: Message = {
  1: ["name", "string"],
  2: ["type", {
    1: ["tensorType", {
      1: ["elemType", "int32"],
      2: ["shape", { 1: ["dim", DIMENSION, "repeated"] }],
    }],
  }],
};

const GRAPH: Message = {
  1: ["node", NODE, "repeated"],
  2: ["name", "string"],
  5: ["initializer", TENSOR, "repeated"],
  11: ["input", VALUE_INFO, "repeated"],
  12: ["output", VALUE_INFO, "repeated"],
  13: ["valueInfo", VALUE_INFO, "repeated"],
};

/** The fields of ModelProto. */
export const MODEL: Message = {
  1: ["irVersion", "int64"],
  2: ["producerName", "string"],
  3: ["producerVersion", "string"],
  7: ["graph", GRAPH],
  8: ["opsetImport", { 1: ["domain", "string"], 2: ["version", "int64"] }, "repeated"],
  14: ["metadataProps", ENTRY, "repeated"],
};

/** Default values of omitted fields. dim_value has none, since it may be 0. */
const DEFAULTS: Readonly<Record<Scalar, unknown>> = {
  string: "",
  bytes: new Uint8Array(0),
  float: 0,
  double: 0,
  int32: 0,
  int64: 0n,
  uint64: 0n,
};

/** Wire types of scalars; varint by default. */
const WIRE: Readonly<Record<string, WireType>> = {
  string: WireType.LengthDelimited,
  bytes: WireType.LengthDelimited,
  float: WireType.Bit32,
  double: WireType.Bit64,
};

/** Arrays for packed lists, by type. */
const LISTS = {
  float: Float32Array,
  double: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
};

/** Number of elements of a packed list: each varint ends with its only byte below 128. */
function packedLength(bytes: Uint8Array, wire: WireType): number {
  if (wire === WireType.Bit32) return bytes.length / 4;
  if (wire === WireType.Bit64) return bytes.length / 8;
  return bytes.reduce((count, byte) => byte < 128 ? count + 1 : count, 0);
}

/** A packed list of numbers. */
function readPacked(bytes: Uint8Array, type: keyof typeof LISTS, wire: WireType) {
  const count = packedLength(bytes, wire);
  if (!Number.isInteger(count)) throw new RangeError("a list ends within a value");
  // A copy, which is aligned.
  if (wire !== WireType.Varint) return new LISTS[type](bytes.slice().buffer);
  const list = new LISTS[type](count);
  const reader = new BinaryReader(bytes);
  for (let i = 0; i < count; i++) (list as unknown as unknown[])[i] = reader[type]();
  if (reader.pos !== bytes.length) throw new RangeError("a list ends within a value");
  return list;
}

/** The list of a field as an array, to which values can be added; packed lists are converted. */
function growing(out: Record<string, unknown>, name: string): unknown[] {
  const list = out[name];
  return Array.isArray(list) ? list : (out[name] = [...list as Iterable<unknown>]) as unknown[];
}

/**
 * Largest numbers of messages and list values in a file; beyond them a file is meant to exhaust
 * memory.
 */
const MAX_VALUES = 2 ** 24;

/** Reads nested messages, and counts them. */
class MessageReader {
  #left = MAX_VALUES;

  read(message: Message, bytes: Uint8Array): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    for (const [name, type, repeated] of Object.values(message) as Field[]) {
      if (repeated) out[name] = [];
      else if (typeof type === "string" && name !== "dimValue") out[name] = DEFAULTS[type];
    }
    const reader = new BinaryReader(bytes);
    while (reader.pos < bytes.length) {
      const [number, wire] = reader.tag();
      const field = message[number];
      if (field === undefined) reader.skip(wire, number);
      else this.#readField(reader, field, { wire, out });
    }
    return out;
  }

  #readField(
    reader: BinaryReader,
    [name, type, repeated]: Field,
    { wire, out }: { readonly wire: WireType; readonly out: Record<string, unknown> },
  ): void {
    if (--this.#left < 0) throw new RangeError(`more than ${MAX_VALUES} values`);
    const expected = typeof type === "string"
      ? WIRE[type] ?? WireType.Varint
      : WireType.LengthDelimited;
    if (repeated && wire === WireType.LengthDelimited && wire !== expected) {
      const list = readPacked(reader.bytes(), type as keyof typeof LISTS, expected);
      this.#left -= list.length;
      // Usually in one piece.
      if ((out[name] as unknown[]).length === 0) out[name] = list;
      else for (const value of list) growing(out, name).push(value);
      return;
    }
    if (wire !== expected) throw new RangeError(`${name} has the wire type ${wire}`);
    const value = typeof type === "string" ? reader[type]() : this.read(type, reader.bytes());
    if (repeated) growing(out, name).push(value);
    else out[name] = value;
  }
}

/**
 * Reads a model.
 *
 * @throws {Error} If the bytes are no message of these fields.
 */
export function readModel(bytes: Uint8Array): ModelProto {
  return new MessageReader().read(MODEL, bytes) as unknown as ModelProto;
}
