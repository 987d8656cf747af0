/** ONNX files with other messages. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema } from "onnx-buf";
import type { Random } from "../mutations.ts";

/** Sizes of which a product is more than any memory. */
const HUGE = [-1n, 0n, 1n, 3n, 2n ** 31n, 2n ** 40n, -(2n ** 63n), 2n ** 63n - 1n];

const OPERATORS = [
  "Add",
  "Concat",
  "ConstantOfShape",
  "Expand",
  "Flatten",
  "Gather",
  "Gemm",
  "LSTM",
  "MatMul",
  "Mul",
  "Reshape",
  "Shape",
  "Slice",
  "Softmax",
  "Squeeze",
  "Transpose",
  "Unsqueeze",
];

/**
 * A copy of a file with one to three changes of its nodes, attributes and tensors.
 *
 * @param other A file whose nodes, attributes and tensors may take the place of its own.
 */
export function mutateMessage(
  file: Uint8Array<ArrayBuffer>,
  draw: Random,
  other?: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const pick = <T>(list: readonly T[]): T => list[draw(list.length)]!;

  const model = fromBinary(ModelProtoSchema, file);
  const graph = model.graph!;
  const lender = other === undefined ? undefined : fromBinary(ModelProtoSchema, other).graph!;
  const names = [
    "",
    ...graph.node.flatMap(({ output }) => output),
    ...graph.initializer.map(({ name }) => name),
    ...graph.input.map(({ name }) => name),
  ];
  for (let times = 1 + draw(3); times > 0; times--) {
    const node = pick(graph.node);
    const tensors = [
      ...graph.initializer,
      ...graph.node.flatMap(({ attribute }) => attribute.flatMap(({ t }) => t ? [t] : [])),
    ];
    const tensor = tensors.length > 0 ? pick(tensors) : undefined;
    const attribute = node.attribute.length > 0 ? pick(node.attribute) : undefined;
    if (lender !== undefined && draw(2) === 0) {
      borrow(graph, lender, draw);
      continue;
    }
    const kind = draw(9);
    if (kind === 0) node.opType = pick(OPERATORS);
    else if (kind === 1 && node.input.length > 0) node.input[draw(node.input.length)] = pick(names);
    else if (kind === 2) node.input.push(pick(names));
    else if (kind === 3) node.input.pop();
    else if (kind === 4 && attribute) {
      attribute.i = pick(HUGE);
      attribute.ints = attribute.ints.map((value) => draw(2) === 0 ? pick(HUGE) : value);
    } else if (kind === 5 && tensor && tensor.dims.length > 0) {
      tensor.dims[draw(tensor.dims.length)] = pick(HUGE);
    } else if (kind === 6 && tensor) tensor.dataType = draw(28);
    else if (kind === 7 && tensor && tensor.rawData.length >= 8) {
      // Shapes and axes are tensors, too.
      new DataView(tensor.rawData.buffer, tensor.rawData.byteOffset).setBigInt64(
        0,
        pick(HUGE),
        true,
      );
    } else graph.node.splice(draw(graph.node.length), 1, pick(graph.node));
  }
  return toBinary(ModelProtoSchema, model);
}

/** Puts something of another graph where something of the same sort stands. */
function borrow(graph: GraphProto, lender: GraphProto, draw: Random): void {
  const pick = <T>(list: readonly T[]): T => list[draw(list.length)]!;
  const node = pick(graph.node);
  const lent = pick(lender.node);
  const kind = draw(5);
  if (kind === 0) {
    // What it computes, of the tensors that are read here.
    node.opType = lent.opType;
    node.attribute = lent.attribute;
  } else if (kind === 1 && lent.attribute.length > 0) {
    const attribute = pick(lent.attribute);
    node.attribute = [...node.attribute.filter(({ name }) => name !== attribute.name), attribute];
  } else if (kind === 2 && node.attribute.length > 0) {
    const attribute = pick(node.attribute);
    attribute.i = BigInt(draw(6) - 2);
    attribute.f = [0, 0.5, 1, -1, NaN][draw(5)]!;
    attribute.ints = attribute.ints.map(() => BigInt(draw(6) - 2));
    if (attribute.strings.length > 0) attribute.strings.splice(draw(attribute.strings.length), 1);
  } else if (kind === 3 && graph.initializer.length > 0 && lender.initializer.length > 0) {
    const own = pick(graph.initializer);
    const { dims, dataType, rawData } = pick(lender.initializer);
    Object.assign(own, { dims, dataType, rawData });
  } else if (graph.input.length > 0) {
    const type = pick(graph.input).type?.value;
    if (type?.case !== "tensorType" || type.value.shape === undefined) return;
    const dim = pick(type.value.shape.dim);
    if (dim !== undefined) dim.value = { case: "dimValue", value: BigInt(1 + draw(4)) };
  }
}
