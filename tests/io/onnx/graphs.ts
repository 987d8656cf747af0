/**
 * ONNX files that tests write, by the descriptors of onnx.proto.
 *
 * @module
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
} from "onnx-buf";

type TensorInit = MessageInitShape<typeof TensorProtoSchema>;
type NodeInit = MessageInitShape<typeof NodeProtoSchema>;

/** A value that an attribute may have. */
export type Attribute = number | string | readonly number[] | readonly string[] | TensorInit;

const FLOATS = /alpha|beta|epsilon|clip|value_float|scale/;

/** An attribute; numbers are floats or integers as ONNX has them by that name. */
function attribute(name: string, value: Attribute): AttributeProto {
  const list = Array.isArray(value);
  const sample = list ? value[0] : value;
  if (typeof sample === "string") {
    const [first, ...rest] = (list ? value : [value]).map((each) =>
      new TextEncoder().encode(each as string)
    );
    return create(
      AttributeProtoSchema,
      list ? { name, type: 8, strings: [first!, ...rest] } : { name, type: 3, s: first! },
    );
  }
  if (typeof sample === "object" && !list) {
    return create(AttributeProtoSchema, { name, type: 4, t: value as TensorInit });
  }
  const numbers = (list ? value : [value]) as number[];
  if (FLOATS.test(name)) {
    return create(
      AttributeProtoSchema,
      list ? { name, type: 6, floats: numbers } : { name, type: 1, f: numbers[0]! },
    );
  }
  const ints = numbers.map(BigInt);
  return create(
    AttributeProtoSchema,
    list ? { name, type: 7, ints } : { name, type: 2, i: ints[0]! },
  );
}

/** A node. */
export function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = "",
): NodeInit {
  return {
    opType,
    domain,
    name: `${output[0]}/${opType}`,
    input: [...input],
    output: [...output],
    attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
  };
}

/** A tensor of float32 values. */
export function floats(
  name: string,
  shape: readonly number[],
  data: ArrayLike<number>,
): TensorInit {
  const bytes = new Uint8Array(Float32Array.from(data).buffer);
  return { name, dataType: 1, dims: shape.map(BigInt), rawData: bytes };
}

/** A tensor of int64 values. */
export function ints(name: string, data: readonly number[], shape = [data.length]): TensorInit {
  return { name, dataType: 7, dims: shape.map(BigInt), int64Data: data.map(BigInt) };
}

/** A tensor of int8 or uint8 values. */
export function bytes8(
  name: string,
  shape: readonly number[],
  data: Int8Array | Uint8Array,
): TensorInit {
  const dataType = data instanceof Int8Array ? 3 : 2;
  const rawData = new Uint8Array(data.slice().buffer);
  return { name, dataType, dims: shape.map(BigInt), rawData };
}

/** What a graph is made of. */
export interface GraphInit {
  /** Names and sizes of inputs; a text is a size that is known when the model runs. */
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs: readonly string[];
  readonly nodes: readonly NodeInit[];
  readonly tensors?: readonly TensorInit[];
  readonly opset?: number;
  /** Element type of the inputs: float32 by default. */
  readonly dtype?: number;
}

/** Bytes of an ONNX file. */
export function onnxFile(
  { inputs, outputs, nodes, tensors = [], opset = 18, dtype = 1 }: GraphInit,
): Uint8Array<ArrayBuffer> {
  const info = (name: string, shape?: readonly (number | string)[]) => ({
    name,
    type: {
      value: {
        case: "tensorType" as const,
        value: {
          elemType: dtype,
          shape: shape && {
            dim: shape.map((size) => ({
              value: typeof size === "number"
                ? { case: "dimValue" as const, value: BigInt(size) }
                : { case: "dimParam" as const, value: size },
            })),
          },
        },
      },
    },
  });
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    producerName: "tests",
    opsetImport: [{ domain: "", version: BigInt(opset) }, { domain: "com.microsoft", version: 1n }],
    graph: {
      name: "graph",
      node: [...nodes],
      initializer: [...tensors],
      input: Object.entries(inputs).map(([name, shape]) => info(name, shape)),
      output: outputs.map((name) => info(name)),
    },
  });
  return toBinary(ModelProtoSchema, model);
}
