/**
 * The containers of torch.save: zip archives, and the legacy form before torch 1.6, a series of
 * pickles followed by the storages' bytes. Of TorchScript archives the tensors are read.
 *
 * @module
 */
import { bytesOf, type BytesSource } from "../../core/bytes.ts";
import { failRange } from "../../core/errors.ts";
import { decodeValues, elementBytes, type SafetensorsArray } from "../dtypes.ts";
import type { AnyTensor } from "../float_tensors.ts";
import { unzip } from "./zip.ts";
import { Global, type PickleHost, unpickle } from "./pickle.ts";

/**
 * Elements that a tensor may have in addition to those of its storage: expanded tensors have more.
 */
const MAX_REPEATED = 2 ** 20;

const MAX_DIMENSIONS = 64;

/** The integer at the beginning of the legacy form, and the version after it. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_VERSION = 1001;

/** dtypes by the names of torch's storages, without "Storage". */
const STORAGE_DTYPES: Readonly<Record<string, string>> = {
  Double: "F64",
  Float: "F32",
  Half: "F16",
  BFloat16: "BF16",
  Long: "I64",
  Int: "I32",
  Short: "I16",
  Char: "I8",
  Byte: "U8",
  Bool: "BOOL",
  ComplexDouble: "C128",
  ComplexFloat: "C64",
  QInt32: "QInt32",
  QInt8: "QInt8",
  QUInt8: "QUInt8",
  // Untyped bytes, with a separate dtype.
  Untyped: "U8",
};

/** dtypes of untyped storages. */
const TORCH_DTYPES: Readonly<Record<string, string>> = {
  uint16: "U16",
  uint32: "U32",
  uint64: "U64",
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
};

/** Bytes of tensors, known after the whole file has been read. */
interface Storage {
  readonly key: string;
  readonly dtype: string;
  /** Number of elements. */
  readonly size: number;
  bytes: Uint8Array | null;
}

/**
 * A tensor of a checkpoint.
 *
 * @example
 * ```ts
 * import { readTorch, type TorchTensor } from "@splitgate/splitgate/import/torch";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/io/torch/files/checkpoint.pt");
 * const weight: TorchTensor = readTorch(bytes).tensors.get("fc.weight")!;
 * assertEquals([weight.dtype, weight.data.length], ["F32", weight.shape[0]! * weight.shape[1]!]);
 * ```
 */
export class TorchTensor implements AnyTensor {
  /** Its dtype's safetensors name: F32, BF16 and so on. */
  readonly dtype: string;
  /** Dimensions, outermost first; empty for a single value. */
  readonly shape: readonly number[];
  readonly #storage: Storage;
  readonly #offset: number;
  readonly #strides: readonly number[];

  /** Called by `readTorch`. */
  constructor(
    storage: Storage,
    dtype: string,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.dtype = dtype;
    this.shape = shape;
    this.#storage = storage;
    this.#offset = offset;
    this.#strides = strides;
  }

  /**
   * Its values, row-major: a view of the file if they are contiguous and have a typed array, else a
   * new copy at each access.
   *
   * @throws {RangeError} If the storage is missing or too short, or its dtype is unknown.
   */
  get data(): SafetensorsArray {
    const { dtype, shape } = this;
    const { key, bytes } = this.#storage;
    const each = elementBytes(dtype);
    if (each === undefined) return failRange("dtype", "a dtype of real numbers", dtype);
    if (bytes === null) return failRange(`storage ${key}`, "its bytes in the file", "none");
    const last = shape.reduce((sum, size, i) => sum + (size - 1) * this.#strides[i]!, this.#offset);
    const count = shape.reduce((product, size) => product * size, 1);
    const room = Math.floor(bytes.length / each);
    if (count > 0 && !(last < room && count <= room + MAX_REPEATED)) {
      return failRange(`storage ${key}`, `at least ${last + 1} elements`, room);
    }
    let stride = 1;
    let contiguous = true;
    for (let i = shape.length - 1; i >= 0; i--) {
      contiguous &&= shape[i] === 1 || this.#strides[i] === stride;
      stride *= shape[i]!;
    }
    const from = this.#offset * each;
    if (contiguous || count === 0) {
      return decodeValues(dtype, bytes.subarray(from, from + count * each));
    }
    const packed = new Uint8Array(count * each);
    const index = shape.map(() => 0);
    let at = this.#offset;
    for (let i = 0; i < count; i++) {
      packed.set(bytes.subarray(at * each, (at + 1) * each), i * each);
      for (let d = shape.length - 1; d >= 0; d--) {
        at += this.#strides[d]!;
        if (++index[d]! < shape[d]!) break;
        at -= this.#strides[d]! * shape[d]!;
        index[d] = 0;
      }
    }
    return decodeValues(dtype, packed);
  }
}

/** Requires a list of exact non-negative integers, not longer than a tensor's dimensions can be. */
function sizesOf(name: string, value: unknown): readonly number[] {
  const valid = Array.isArray(value) && value.length <= MAX_DIMENSIONS &&
    value.every((each) => Number.isSafeInteger(each) && each >= 0);
  return valid ? value as number[] : failRange(name, "a tuple of integers", value);
}

/** Parses a persistent id of protocol 0, which is a Python tuple as text. */
const ID_TEXT = /^\('storage', <class '([\w.]+)'>, '([^']*)', '[^']*', (\d+)(?:, None)?\)$/;

/** Interprets a pickle as torch would, for the supported names only. */
class TorchHost implements PickleHost {
  readonly storages = new Map<string, Storage>();

  persistent(id: unknown): unknown {
    const [, name, key, size] = ID_TEXT.exec(`${typeof id === "string" ? id : ""}`) ?? [];
    const parts = Array.isArray(id) ? id : ["storage", new Global(name ?? ""), key, "", +size!];
    if (parts[0] === "module") return parts[1];
    if ((parts[5] ?? null) !== null) {
      failRange("storage", "one that is no view of another", parts[5]);
    }
    return this.#storage(parts[1], parts[2], parts[4]);
  }

  #storage(type: unknown, key: unknown, size: unknown): Storage {
    const [, name] = /^torch\.(?:cuda\.|storage\.)?(\w+)Storage$/.exec(
      type instanceof Global ? type.name : "",
    ) ?? [];
    const dtype = Object.hasOwn(STORAGE_DTYPES, name ?? "") ? STORAGE_DTYPES[name!] : undefined;
    if (dtype === undefined || typeof key !== "string" || !Number.isSafeInteger(size)) {
      return failRange("persistent id", "a storage of torch, its key and size", name ?? type);
    }
    const known = this.storages.get(key);
    if (known !== undefined) return known;
    const storage = { key, dtype, size: size as number, bytes: null };
    this.storages.set(key, storage);
    return storage;
  }

  #tensor(storage: unknown, offset: unknown, size: unknown, stride: unknown, type?: unknown) {
    const { key, dtype } = (storage ?? {}) as Storage;
    if (storage === undefined || storage !== this.storages.get(key)) {
      return failRange("tensor", "a storage", storage);
    }
    const shape = sizesOf("tensor's shape", size);
    const strides = sizesOf("tensor's strides", stride);
    const [at] = sizesOf("tensor's offset", [offset]);
    if (
      strides.length !== shape.length || !Number.isSafeInteger(shape.reduce((a, b) => a * b, 1))
    ) {
      failRange("tensor's shape", `a stride for each of ${strides.length} sizes`, shape);
    }
    const name = type instanceof Global ? type.name.replace(/^torch\./, "") : "";
    const own = type === undefined
      ? dtype
      : Object.hasOwn(TORCH_DTYPES, name)
      ? TORCH_DTYPES[name]!
      : name;
    return new TorchTensor(storage as Storage, own, at!, shape, strides);
  }

  call(name: string, args: readonly unknown[]): unknown {
    switch (name) {
      case "collections.OrderedDict":
      case "__builtin__.dict":
      case "builtins.dict": {
        const pairs = args[0] ?? [];
        if (!Array.isArray(pairs) || !pairs.every(Array.isArray)) return undefined;
        return new Map(pairs as [unknown, unknown][]);
      }
      case "collections.defaultdict":
        return new Map();
      case "__builtin__.set":
      case "builtins.set":
        return Array.isArray(args[0]) ? new Set(args[0]) : undefined;
      case "_codecs.encode": {
        // The form of bytes in protocols before 3.
        const [text, encoding] = args;
        const latin1 = typeof text === "string" && /^latin-?1$/.test(`${encoding}`);
        return latin1 ? Uint8Array.from(text, (each) => each.charCodeAt(0)) : undefined;
      }
      case "torch.Size":
        return args[0];
      case "torch._utils._rebuild_tensor":
      case "torch._utils._rebuild_tensor_v2":
        return this.#tensor(args[0], args[1], args[2], args[3]);
      case "torch._utils._rebuild_tensor_v3":
        return this.#tensor(args[0], args[1], args[2], args[3], args[6]);
      case "torch._utils._rebuild_parameter":
      case "torch._utils._rebuild_parameter_with_state":
        return args[0];
      case "torch._tensor._rebuild_from_type_v2": {
        const [callee, , inner] = args;
        return callee instanceof Global && callee.name.startsWith("torch._utils._rebuild_") &&
            Array.isArray(inner)
          ? this.call(callee.name, inner)
          : undefined;
      }
    }
    return undefined;
  }
}

/** The contents of a file of torch.save. */
export interface Checkpoint {
  /** "zip", or "legacy" as before torch 1.6. */
  readonly format: "zip" | "legacy";
  /** The saved value: Maps, arrays, tensors, plain values, opaque ones. */
  readonly root: unknown;
}

function readZip(bytes: Uint8Array): Checkpoint {
  const entries = unzip(bytes, (name) => /(^|\/)(data\.pkl|byteorder|data\/[^/]+)$/.test(name));
  const names = [...entries.keys()];
  const [pickle, ...others] = names.filter((name) => /(^|\/)data\.pkl$/.test(name));
  if (pickle === undefined || others.length > 0) {
    failRange("bytes", "an archive of torch.save, with one data.pkl", others[0] ?? "another one");
  }
  const folder = pickle!.slice(0, -"data.pkl".length);
  const order = entries.get(`${folder}byteorder`);
  if (order !== undefined && order[0] === "b".charCodeAt(0)) {
    failRange("bytes", "little-endian numbers", "those of a big-endian machine");
  }
  const host = new TorchHost();
  const { value: root } = unpickle(entries.get(pickle!)!, 0, host);
  for (const storage of host.storages.values()) {
    storage.bytes = entries.get(`${folder}data/${storage.key}`) ?? null;
  }
  return { format: "zip", root };
}

function readLegacy(bytes: Uint8Array): Checkpoint {
  const host = new TorchHost();
  let at = 0;
  const next = () => {
    const { value, end } = unpickle(bytes, at, host);
    at = end;
    return value;
  };
  if (next() !== LEGACY_MAGIC) failRange("bytes", "what torch.save wrote", "another pickle");
  const version = next();
  if (version !== LEGACY_VERSION) failRange("bytes", `version ${LEGACY_VERSION}`, version);
  const system = next();
  if (system instanceof Map && system.get("little_endian") === false) {
    failRange("bytes", "little-endian numbers", "those of a big-endian machine");
  }
  const root = next();
  const keys = next();
  if (!Array.isArray(keys)) failRange("bytes", "the list of storages", keys);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const key of keys as unknown[]) {
    const storage = host.storages.get(key as string);
    const left = bytes.length - at;
    const count = left < 8 ? NaN : Number(view.getBigUint64(at, true));
    const size = count * (storage === undefined ? NaN : storageBytes(storage.dtype));
    at += 8;
    if (!(size <= bytes.length - at)) {
      failRange(`storage ${key}`, "a storage that is used, within the file", `${count} elements`);
    }
    storage!.bytes = bytes.subarray(at, at + size);
    at += size;
  }
  return { format: "legacy", root };
}

/** Bytes of an element of a storage, also for dtypes without a typed array. */
function storageBytes(dtype: string): number {
  const others: Readonly<Record<string, number>> = {
    C128: 16,
    C64: 8,
    QInt32: 4,
    QInt8: 1,
    QUInt8: 1,
  };
  return elementBytes(dtype) ?? others[dtype]!;
}

/**
 * Reads a file of torch.save.
 *
 * @throws {TypeError} If `source` is neither a buffer nor a view of one.
 * @throws {RangeError} If it is none, malformed, or too large for its length.
 */
export function readCheckpoint(source: BytesSource): Checkpoint {
  const bytes = bytesOf("bytes", source);
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  if (start === "PK\x03\x04") return readZip(bytes);
  // The pickle's protocol byte, or the first digits of the magic number in protocols 0 and 1.
  if (start.startsWith("\x80") || start === "L119") return readLegacy(bytes);
  return failRange("bytes", "a file of torch.save: a zip archive or pickles", start);
}
