/**
 * Reading ONNX files: bytes in, tensors and graph as plain data out. It knows nothing of modules,
 * and treats every file as hostile.
 *
 * Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 *
 * @module
 */
import { bytesOf, type BytesSource } from "../../core/bytes.ts";
import { checkGiven, checkNoMore, failRange, failType, isObject } from "../../core/errors.ts";
import { recognize } from "../recognize.ts";
import {
  byteLength,
  dtypeName,
  type ElementType,
  elementType,
  fromBits,
  fromBytes,
  type OnnxArray,
} from "./dtypes.ts";
import {
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  readModel,
  type TensorProto,
  type ValueInfoProto,
} from "./proto.ts";

/**
 * A tensor of a file: an initializer, or a constant of a node.
 *
 * @example
 * ```ts
 * import { type OnnxTensor, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const bias: OnnxTensor = parseOnnx(bytes).tensors.get("fc.bias")!;
 * assertEquals([bias.dtype, bias.shape], ["float32", [4]]);
 * ```
 */
export interface OnnxTensor {
  /** Its name, or the names of its node and attribute. */
  readonly name: string;
  /**
   * Element type: an {@linkcode OnnxDType}, or the name of an unsupported one such as `"string"`.
   */
  readonly dtype: string;
  /** Dimensions, outermost first; empty for a single value. */
  readonly shape: readonly number[];
  /**
   * Row-major: a view of the file's bytes if they are aligned, else a copy made on first use.
   *
   * @throws {RangeError} If the values cannot be read: strings, complex numbers, data in an
   * external file that was not given, or data that does not match `shape`.
   */
  readonly data: OnnxArray;
}

/**
 * An attribute's value; null for unsupported ones: graphs, sparse tensors, types.
 *
 * @example
 * ```ts
 * import { type OnnxAttribute, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assert } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const gru = parseOnnx(bytes).nodes.find(({ op }) => op === "GRU")!;
 * const size: OnnxAttribute | undefined = gru.attributes.get("hidden_size");
 * assert(typeof size === "number");
 * ```
 */
export type OnnxAttribute =
  | number
  | string
  | OnnxTensor
  | readonly number[]
  | readonly string[]
  | readonly OnnxTensor[]
  | null;

/**
 * A node of the graph.
 *
 * @example
 * ```ts
 * import { type OnnxNode, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assert } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const nodes: readonly OnnxNode[] = parseOnnx(bytes).nodes;
 * for (const { op, inputs, outputs } of nodes) console.log(`${outputs} = ${op}(${inputs})`);
 * assert(nodes.some(({ op }) => op === "GRU"));
 * ```
 */
export interface OnnxNode {
  /** Its name; may be empty. */
  readonly name: string;
  /** Its operator, such as `"LSTM"`. */
  readonly op: string;
  /** Domain of the operator; empty for ONNX's own. */
  readonly domain: string;
  /** Names of its input tensors; empty for omitted ones. */
  readonly inputs: readonly string[];
  /** Names of its output tensors; empty for omitted ones. */
  readonly outputs: readonly string[];
  /** Attributes by name. */
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
}

/**
 * Type and shape of an input, an output or an intermediate value.
 *
 * @example
 * ```ts
 * import { type OnnxValueInfo, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const [x]: readonly OnnxValueInfo[] = parseOnnx(bytes).inputs;
 * assertEquals([x!.name, x!.dtype, x!.shape], ["x", "float32", [12, 16, 7]]);
 * ```
 */
export interface OnnxValueInfo {
  /** The tensor's name. */
  readonly name: string;
  /** Element type; null if unknown, or if the value is no tensor. */
  readonly dtype: string | null;
  /**
   * Dimensions: a size, the name of a symbolic size, or null for each; null altogether if the rank
   * is unknown.
   */
  readonly shape: readonly (number | string | null)[] | null;
}

/**
 * The contents of an ONNX file.
 *
 * @example
 * ```ts
 * import { type OnnxModel, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const { producer, opsets, nodes }: OnnxModel = parseOnnx(bytes);
 * console.log(`${producer}, operators of version ${opsets.get("")}, ${nodes.length} nodes`);
 * ```
 */
export interface OnnxModel {
  /** Version of the format. */
  readonly irVersion: number;
  /** Name and version of the producer. */
  readonly producer: string;
  /** Version of each operator set, by domain. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Name of the graph. */
  readonly name: string;
  /** Inputs of the graph, without the initializers that older files list among them. */
  readonly inputs: readonly OnnxValueInfo[];
  /** Outputs of the graph. */
  readonly outputs: readonly OnnxValueInfo[];
  /** Intermediate values with known types. */
  readonly values: ReadonlyMap<string, OnnxValueInfo>;
  /** Its nodes, each after those that it reads. */
  readonly nodes: readonly OnnxNode[];
  /** Initializers by name: the weights. */
  readonly tensors: ReadonlyMap<string, OnnxTensor>;
  /** `metadata_props`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Options of {@linkcode parseOnnx}.
 *
 * @example
 * ```ts
 * import { type OnnxOptions, parseOnnx } from "@splitgate/splitgate/import/onnx";
 * const bytes = await Deno.readFile("tests/models/onnx-made/gru2-linear-legacy.onnx");
 * const options: OnnxOptions = {
 *   external: { "weights.bin": new Uint8Array() }, // other files that hold tensors, by name
 * };
 * parseOnnx(bytes, options);
 * ```
 */
export interface OnnxOptions {
  /** Contents of external data files, by their names in the model. */
  readonly external?: { readonly [location: string]: BytesSource };
}

/** Dimensions of a tensor, and elements. */
const MAX_RANK = 16;
const MAX_ELEMENTS = 2 ** 31 - 1;

/** TensorProto.DataLocation of data in another file. */
const EXTERNAL = 1;

/** The largest DataType whose values float_data, double_data, int64_data and uint64_data hold. */
const TYPED_FIELDS: Readonly<
  Record<number, "floatData" | "doubleData" | "int64Data" | "uint64Data">
> = { 1: "floatData", 7: "int64Data", 11: "doubleData", 12: "uint64Data", 13: "uint64Data" };

/** An integer of the file; if float64 cannot hold it exactly, it is an error where it is used. */
const toNumber = (value: bigint): number => Number(value);

const decoder = new TextDecoder();

/** A tensor whose values are decoded on first use. */
class LazyTensor implements OnnxTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly #proto: TensorProto;
  readonly #options: OnnxOptions;
  #data: OnnxArray | undefined;

  constructor(name: string, proto: TensorProto, options: OnnxOptions) {
    this.name = name;
    this.dtype = dtypeName(proto.dataType);
    this.shape = Array.from(proto.dims, toNumber);
    this.#proto = proto;
    this.#options = options;
  }

  get data(): OnnxArray {
    return this.#data ??= this.#read();
  }

  #read(): OnnxArray {
    const { name, shape } = this;
    const proto = this.#proto;
    const at = `tensors.${name}`;
    const type = elementType(proto.dataType);
    if (type === undefined) return failRange(at, "a dtype of numbers", this.dtype);
    const count = shape.reduce((product, n) => product * n, 1);
    if (
      shape.length > MAX_RANK || !(count <= MAX_ELEMENTS) ||
      shape.some((n) => !(Number.isSafeInteger(n) && n >= 0))
    ) failRange(`${at}.shape`, `at most ${MAX_RANK} dimensions and 2^31 elements`, shape);
    if (proto.dataLocation === EXTERNAL) return this.#readExternal(at, type, count);
    if (proto.rawData.length > 0) return readBytes(at, type, proto.rawData, count);
    const field = TYPED_FIELDS[proto.dataType] ?? "int32Data";
    const values: ArrayLike<number | bigint> = proto[field];
    // Below 8 bits each number is a byte with several elements.
    const stored = type.bits < 8 ? byteLength(type, count) : count;
    if (values.length !== stored) failRange(at, `${stored} numbers for its shape`, values.length);
    if (type.bits < 8) return fromBytes(type, Uint8Array.from(values as ArrayLike<number>), count);
    if (field === "int32Data") return fromBits(type, values as ArrayLike<number>);
    const out = new type.Array(count);
    const whole = type.dtype.endsWith("int64");
    for (let i = 0; i < count; i++) {
      (out as (number | bigint)[] & OnnxArray)[i] = whole ? values[i]! : Number(values[i]);
    }
    return out;
  }

  #readExternal(at: string, type: ElementType, count: number): OnnxArray {
    const entries = new Map(this.#proto.externalData.map(({ key, value }) => [key, value]));
    const location = entries.get("location") ?? "";
    const { external = {} } = this.#options;
    if (!Object.hasOwn(external, location)) {
      const way = `options.external to hold the bytes of ${JSON.stringify(location)}`;
      failRange(at, `${way}, where its data is`, Object.keys(external));
    }
    const file = bytesOf(`options.external.${location}`, external[location]!);
    const offset = Number(entries.get("offset") ?? 0);
    const length = Number(entries.get("length") ?? byteLength(type, count));
    if (!Number.isSafeInteger(offset) || offset < 0 || !(offset + length <= file.length)) {
      const range = `bytes ${offset} to ${offset + length} of ${JSON.stringify(location)}`;
      failRange(at, `${range}, where its data is`, `${file.length} bytes`);
    }
    return readBytes(at, type, file.subarray(offset, offset + length), count);
  }
}

function readBytes(at: string, type: ElementType, bytes: Uint8Array, count: number): OnnxArray {
  const expected = byteLength(type, count);
  if (bytes.length !== expected) failRange(at, `${expected} bytes for its shape`, bytes.length);
  return fromBytes(type, bytes, count);
}

/** AttributeProto.AttributeType. */
const ATTRIBUTE = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  floats: 6,
  ints: 7,
  strings: 8,
  tensors: 9,
};

function readAttribute(owner: string, proto: AttributeProto, options: OnnxOptions): OnnxAttribute {
  const tensor = (each: TensorProto): OnnxTensor =>
    new LazyTensor(each.name || `${owner}.${proto.name}`, each, options);
  switch (proto.type) {
    case ATTRIBUTE.float:
      return proto.f;
    case ATTRIBUTE.int:
      return toNumber(proto.i);
    case ATTRIBUTE.string:
      return decoder.decode(proto.s);
    case ATTRIBUTE.tensor:
      return proto.t === undefined ? null : tensor(proto.t);
    case ATTRIBUTE.floats:
      return Array.from(proto.floats);
    case ATTRIBUTE.ints:
      return Array.from(proto.ints, toNumber);
    case ATTRIBUTE.strings:
      return proto.strings.map((each) => decoder.decode(each));
    case ATTRIBUTE.tensors:
      return proto.tensors.map(tensor);
    default:
      return null;
  }
}

function readValueInfo({ name, type }: ValueInfoProto): OnnxValueInfo {
  const tensor = type?.tensorType;
  if (tensor === undefined) return { name, dtype: null, shape: null };
  const { elemType, shape } = tensor;
  const dims = shape?.dim.map(({ dimValue, dimParam }) =>
    dimValue === undefined ? dimParam || null : toNumber(dimValue)
  );
  return { name, dtype: dtypeName(elemType), shape: dims ?? null };
}

function readGraph(
  graph: GraphProto,
  options: OnnxOptions,
): Omit<OnnxModel, "irVersion" | "producer" | "opsets" | "metadata"> {
  const tensors = new Map<string, OnnxTensor>();
  for (const proto of graph.initializer) {
    tensors.set(proto.name, new LazyTensor(proto.name, proto, options));
  }
  const nodes = graph.node.map((node, i): OnnxNode => {
    const owner = node.name || `node ${i}`;
    return {
      name: node.name,
      op: node.opType,
      domain: node.domain === "ai.onnx" ? "" : node.domain,
      inputs: node.input,
      outputs: node.output,
      attributes: new Map(
        node.attribute.map((each) => [each.name, readAttribute(owner, each, options)]),
      ),
    };
  });
  const values = graph.valueInfo.map(readValueInfo);
  return {
    name: graph.name,
    inputs: graph.input.filter(({ name }) => !tensors.has(name)).map(readValueInfo),
    outputs: graph.output.map(readValueInfo),
    values: new Map(values.map((value) => [value.name, value])),
    nodes,
    tensors,
  };
}

/**
 * Reads an ONNX file. Tensors are decoded on first use of their `data`.
 *
 * @param source The file's bytes; tensors may be views of them.
 * @returns The graph and its tensors, as plain data.
 * @throws {TypeError} If `source` is no buffer or view of one, or an option is unknown.
 * @throws {RangeError} If it is no ONNX model, or truncated.
 *
 * @example
 * ```ts
 * import { parseOnnx } from "@splitgate/splitgate/import/onnx";
 * import { assertEquals } from "@std/assert";
 * const url = new URL("../../../tests/models/onnx-made/gru2-linear-legacy.onnx", import.meta.url);
 * const { inputs, outputs, tensors } = parseOnnx(await Deno.readFile(url));
 * assertEquals(inputs, [{ name: "x", dtype: "float32", shape: [12, 16, 7] }]);
 * assertEquals(outputs[0]!.name, "y");
 * assertEquals(tensors.get("fc.bias")!.data.length, 4);
 * ```
 */
export function parseOnnx(source: BytesSource, options: OnnxOptions = {}): OnnxModel {
  const given = bytesOf("bytes", source);
  // Strings cannot be decoded from shared memory.
  const shared = Object.prototype.toString.call(given.buffer) === "[object SharedArrayBuffer]";
  const bytes = shared ? given.slice() : given;
  checkGiven(options);
  const { external, ...unknown } = options;
  checkNoMore(unknown);
  if (external !== undefined && !isObject(external)) {
    failType("options.external", "an object of bytes by name", external);
  }
  let proto: ModelProto;
  try {
    proto = readModel(bytes);
  } catch (error) {
    const known = recognize(bytes)?.kind;
    const got = known === undefined || known === "an ONNX model" ? `${error}` : known;
    return failRange("bytes", "a whole ONNX model", got);
  }
  const { graph } = proto;
  if (graph === undefined || graph.node.length === 0) {
    const known = recognize(bytes)?.kind;
    return failRange("bytes", "an ONNX model with a graph", known ?? "no node of a graph");
  }
  const [producer, version] = [proto.producerName, proto.producerVersion];
  return {
    irVersion: toNumber(proto.irVersion),
    producer: version === "" ? producer : `${producer} ${version}`,
    opsets: new Map(
      proto.opsetImport.map((
        { domain, version },
      ) => [domain === "ai.onnx" ? "" : domain, toNumber(version)]),
    ),
    metadata: new Map(proto.metadataProps.map(({ key, value }) => [key, value])),
    ...readGraph(graph, options),
  };
}
