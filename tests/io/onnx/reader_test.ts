import { Buffer } from "node:buffer";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { ModelProtoSchema, TensorProtoSchema } from "onnx-buf";
import { parseOnnx } from "@splitgate/splitgate/import/onnx";
import { type Field, type Message, MODEL } from "../../../src/io/onnx/proto.ts";
import { floats, node, onnxFile } from "./graphs.ts";
import { type ModelFile, modelFiles } from "./models.ts";

/** Fields of the tables that are in a oneof or another message in onnx.proto. */
function fieldOf(message: DescMessage, number: number): DescField {
  return message.fields.find((field) => field.number === number)!;
}

function checkFields(fields: Message, message: DescMessage, seen: Set<Message>): number {
  if (seen.has(fields)) return 0;
  seen.add(fields);
  let count = 0;
  for (const [number, [name, type, repeated]] of Object.entries(fields) as [string, Field][]) {
    const field = fieldOf(message, Number(number));
    assertEquals(field.localName, name);
    assertEquals(field.fieldKind === "list", repeated === "repeated", `${message.name}.${name}`);
    count++;
    if (typeof type !== "string") {
      count += checkFields(type, field.message!, seen);
    } else {
      const scalar = "scalar" in field && field.scalar !== undefined
        ? ScalarType[field.scalar].toLowerCase()
        : "int32";
      assertEquals(scalar, type, `${message.name}.${name}`);
    }
  }
  return count;
}

Deno.test("the tables of fields are those of onnx.proto", () => {
  assertEquals(checkFields(MODEL, ModelProtoSchema, new Set()), 51);
});

Deno.test("every model file is read as onnx-buf reads it", () => {
  const files = modelFiles();
  assertEquals(files.length, 23);
  for (const { bytes } of files) {
    const { graph } = fromBinary(ModelProtoSchema, bytes);
    const { nodes, tensors, inputs, outputs } = parseOnnx(bytes);
    assertEquals(nodes.map(({ op }) => op), graph!.node.map(({ opType }) => opType));
    assertEquals(nodes.map((each) => each.inputs), graph!.node.map(({ input }) => input));
    assertEquals([...tensors.keys()], graph!.initializer.map(({ name }) => name));
    for (const proto of graph!.initializer) {
      const tensor = tensors.get(proto.name)!;
      assertEquals(tensor.shape, proto.dims.map(Number));
      assertEquals(tensor.data.length, tensor.shape.reduce((product, n) => product * n, 1));
    }
    assertEquals(inputs.map(({ name }) => name), graph!.input.map(({ name }) => name));
    assertEquals(outputs.map(({ name }) => name), graph!.output.map(({ name }) => name));
  }
});

/** A file with one tensor. */
function fileWith(tensor: Record<string, unknown>): Uint8Array {
  const file = fromBinary(
    ModelProtoSchema,
    onnxFile({ inputs: { x: [1] }, outputs: ["y"], nodes: [node("Relu", ["x"], ["y"])] }),
  );
  file.graph!.initializer.push(create(TensorProtoSchema, { name: "t", ...tensor }));
  return toBinary(ModelProtoSchema, file);
}

const read = (tensor: Record<string, unknown>) => parseOnnx(fileWith(tensor)).tensors.get("t")!;

const raw = (data: ArrayBufferView) =>
  new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));

Deno.test("every element type is read from bytes and from typed fields", () => {
  const cases: [dtype: string, dataType: number, bytes: Uint8Array, typed: object, number[]][] = [
    ["float32", 1, raw(Float32Array.of(1.5, -2)), { floatData: [1.5, -2] }, [1.5, -2]],
    ["uint8", 2, Uint8Array.of(1, 255), { int32Data: [1, 255] }, [1, 255]],
    ["int8", 3, Uint8Array.of(1, 255), { int32Data: [1, -1] }, [1, -1]],
    ["uint16", 4, raw(Uint16Array.of(1, 65535)), { int32Data: [1, 65535] }, [1, 65535]],
    ["int16", 5, raw(Int16Array.of(1, -2)), { int32Data: [1, -2] }, [1, -2]],
    ["int32", 6, raw(Int32Array.of(1, -2)), { int32Data: [1, -2] }, [1, -2]],
    ["int64", 7, raw(BigInt64Array.of(1n, -2n)), { int64Data: [1n, -2n] }, [1, -2]],
    ["bool", 9, Uint8Array.of(1, 0), { int32Data: [1, 0] }, [1, 0]],
    ["float16", 10, raw(Uint16Array.of(0x3e00, 0xc000)), { int32Data: [0x3e00, 0xc000] }, [
      1.5,
      -2,
    ]],
    ["float64", 11, raw(Float64Array.of(0.1, -2)), { doubleData: [0.1, -2] }, [0.1, -2]],
    ["uint32", 12, raw(Uint32Array.of(1, 2 ** 32 - 1)), { uint64Data: [1n, 4294967295n] }, [
      1,
      4294967295,
    ]],
    ["uint64", 13, raw(BigUint64Array.of(1n, 2n)), { uint64Data: [1n, 2n] }, [1, 2]],
    ["bfloat16", 16, raw(Uint16Array.of(0x3fc0, 0xc000)), { int32Data: [0x3fc0, 0xc000] }, [
      1.5,
      -2,
    ]],
    ["float8e4m3fn", 17, Uint8Array.of(0x3c, 0xc0), { int32Data: [0x3c, 0xc0] }, [1.5, -2]],
    ["float8e4m3fnuz", 18, Uint8Array.of(0x44, 0xc8), { int32Data: [0x44, 0xc8] }, [1.5, -2]],
    ["float8e5m2", 19, Uint8Array.of(0x3e, 0xc0), { int32Data: [0x3e, 0xc0] }, [1.5, -2]],
    ["float8e5m2fnuz", 20, Uint8Array.of(0x42, 0xc4), { int32Data: [0x42, 0xc4] }, [1.5, -2]],
    ["uint4", 21, Uint8Array.of(0xf1), { int32Data: [0xf1] }, [1, 15]],
    ["int4", 22, Uint8Array.of(0xf1), { int32Data: [0xf1] }, [1, -1]],
    ["float4e2m1", 23, Uint8Array.of(0xc3), { int32Data: [0xc3] }, [1.5, -2]],
    ["uint2", 25, Uint8Array.of(0b1101), { int32Data: [0b1101] }, [1, 3]],
    ["int2", 26, Uint8Array.of(0b1101), { int32Data: [0b1101] }, [1, -1]],
  ];
  for (const [dtype, dataType, bytes, typed, values] of cases) {
    for (const fields of [{ rawData: bytes }, typed]) {
      const tensor = read({ dims: [2n], dataType, ...fields });
      assertEquals(tensor.dtype, dtype);
      assertEquals(Array.from(tensor.data, Number), values, dtype);
    }
  }
});

Deno.test("lists of numbers are read packed, one by one, and in pieces", () => {
  /** A field of a protobuf message: one byte of tag, one of length. */
  const field = (number: number, wire: number, bytes: readonly number[]) => [
    number * 8 + wire,
    ...wire === 2 ? [bytes.length] : [],
    ...bytes,
  ];
  const one = (value: number) => [...raw(Float32Array.of(value))];
  const INT64_DATA = 7;
  const FLOAT_DATA = 4;
  const cases: [number[], number, number[]][] = [
    [field(INT64_DATA, 2, [1, 2, 0x80, 1]), 7, [1, 2, 128]],
    [[...field(INT64_DATA, 0, [1]), ...field(INT64_DATA, 2, [2, 3])], 7, [1, 2, 3]],
    [[...field(INT64_DATA, 2, [1, 2]), ...field(INT64_DATA, 2, [3])], 7, [1, 2, 3]],
    [[...field(INT64_DATA, 2, [1, 2]), ...field(INT64_DATA, 0, [3])], 7, [1, 2, 3]],
    [field(FLOAT_DATA, 2, [1, 2, 3].flatMap(one)), 1, [1, 2, 3]],
    [[1, 2, 3].flatMap((value) => field(FLOAT_DATA, 5, one(value))), 1, [1, 2, 3]],
  ];
  for (const [data, dataType, expected] of cases) {
    const tensor = [...field(1, 0, [3]), ...field(2, 0, [dataType]), ...data];
    const relu = field(1, 2, field(4, 2, [...new TextEncoder().encode("Relu")]));
    const graph = [...relu, ...field(5, 2, [...field(8, 2, [116]), ...tensor])];
    const { tensors } = parseOnnx(Uint8Array.from([...field(1, 0, [8]), ...field(7, 2, graph)]));
    assertEquals(Array.from(tensors.get("t")!.data, Number), expected);
  }
  const torn = [...field(1, 0, [3]), ...field(FLOAT_DATA, 2, [1, 2, 3])];
  const graph = field(7, 2, field(5, 2, torn));
  assertThrows(() => parseOnnx(Uint8Array.from(graph)), RangeError, "ends within a value");
});

Deno.test("special values of small floats are NaN and infinity where the type has them", () => {
  const value = (dataType: number, bits: number) =>
    read({ dims: [1n], dataType, rawData: Uint8Array.of(bits) }).data[0];
  assertEquals([0x7f, 0xff, 0x7e].map((bits) => value(17, bits)), [NaN, NaN, 448]);
  assertEquals([0x80, 0x00, 0x7f].map((bits) => value(18, bits)), [NaN, 0, 240]);
  assertEquals([0x7c, 0xfc, 0x7d].map((bits) => value(19, bits)), [Infinity, -Infinity, NaN]);
  assertEquals([0x80, 0x7f, 0x01].map((bits) => value(20, bits)), [NaN, 57344, 2 ** -17]);
});

Deno.test("a tensor that cannot be read matters only when its data is asked for", () => {
  for (
    const [fields, message] of [
      [{ dataType: 8, dims: [1n] }, 'tensors.t: expected a dtype of numbers, got "string"'],
      [{ dataType: 99, dims: [1n] }, 'got "data type 99"'],
      [{ dataType: 1, dims: [3n], floatData: [1] }, "tensors.t: expected 3 numbers for its shape"],
      [{ dataType: 1, dims: [3n], rawData: new Uint8Array(8) }, "12 bytes for its shape, got 8"],
      [{ dataType: 1, dims: [-3n] }, "tensors.t.shape: expected at most 16 dimensions"],
      [{ dataType: 1, dims: [2n ** 40n] }, "tensors.t.shape: expected at most 16 dimensions"],
    ] as const
  ) {
    const tensor = read(fields);
    assertThrows(() => tensor.data, RangeError, message);
  }
});

Deno.test("data in another file is refused by its name, or taken from the bytes that are given", () => {
  const location = { key: "location", value: "weights.bin" };
  const tensor = {
    dataType: 1,
    dims: [2n],
    dataLocation: 1,
    externalData: [location, { key: "offset", value: "4" }, { key: "length", value: "8" }],
  };
  const file = fileWith(tensor);
  assertThrows(
    () => parseOnnx(file).tensors.get("t")!.data,
    RangeError,
    'tensors.t: expected options.external to hold the bytes of "weights.bin"',
  );
  const weights = raw(Float32Array.of(9, 1.5, -2, 9));
  const { tensors } = parseOnnx(file, { external: { "weights.bin": weights } });
  assertEquals([...tensors.get("t")!.data], [1.5, -2]);
  const short = parseOnnx(file, { external: { "weights.bin": weights.subarray(0, 10) } });
  assertThrows(() => short.tensors.get("t")!.data, RangeError, "bytes 4 to 12");
  const escape = fileWith({ ...tensor, externalData: [{ key: "location", value: "__proto__" }] });
  assertThrows(() => parseOnnx(escape, { external: {} }).tensors.get("t")!.data, RangeError);
});

Deno.test("what is no ONNX file is refused by what it is", () => {
  const text = (value: string) => new TextEncoder().encode(value);
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "an empty file"],
    [text("<!doctype html><p>not found"), "an HTML page"],
    [text('{ "modelTopology": {} }'), "a JSON text"],
    [text("PK\x03\x04"), "a zip archive"],
    [onnxFile({ inputs: {}, outputs: [], nodes: [] }), "no node of a graph"],
  ];
  for (const [bytes, got] of cases) {
    const error = assertThrows(() => parseOnnx(bytes), RangeError, "bytes: expected ");
    assert(error.message.includes(got) || got === "no node of a graph", error.message);
  }
  assertThrows(() => parseOnnx("model.onnx" as never), TypeError, "bytes: expected bytes");
  assertThrows(() => parseOnnx(new Uint8Array(4), { strict: true } as never), TypeError, "strict");
});

Deno.test("a file is read from every buffer and view, at every offset", () => {
  const [{ bytes }] = modelFiles() as [ModelFile];
  const expected = parseOnnx(bytes).tensors;
  const views = Array.from({ length: 8 }, (_, offset) => {
    const shifted = Buffer.alloc(bytes.length + offset);
    shifted.set(bytes, offset);
    return shifted.subarray(offset);
  });
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  const whole = bytes.slice();
  for (const view of [...views, shared, whole.buffer, new DataView(whole.buffer)]) {
    for (const [name, { data }] of parseOnnx(view).tensors) {
      assertEquals([...data], [...expected.get(name)!.data], name);
    }
  }
});

Deno.test("a file that is cut off anywhere is refused when it is read or when its data is", () => {
  const whole = onnxFile({
    inputs: { x: ["batch", 2] },
    outputs: ["y"],
    nodes: [node("MatMul", ["x", "w"], ["y"])],
    tensors: [floats("w", [2, 2], [1, 2, 3, 4])],
  });
  let refused = 0;
  for (let size = 0; size < whole.length; size++) {
    try {
      for (const tensor of parseOnnx(whole.subarray(0, size)).tensors.values()) tensor.data;
    } catch (error) {
      assert(error instanceof RangeError, `${error}`);
      refused++;
    }
  }
  assert(refused > whole.length - 40, `${refused} of ${whole.length}`);
});

Deno.test("a model's producer is its name, with the version where there is one", () => {
  const bytes = onnxFile({
    nodes: [node("Relu", ["x"], ["y"])],
    inputs: { x: [1, 1, 2] },
    outputs: ["y"],
  });
  assertEquals(parseOnnx(bytes).producer, "tests");
  const model = fromBinary(ModelProtoSchema, bytes);
  model.producerVersion = "1.2";
  assertEquals(parseOnnx(toBinary(ModelProtoSchema, model)).producer, "tests 1.2");
});
