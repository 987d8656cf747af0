/**
 * ONNX models of the problems: in float, and with DynamicQuantizeLSTM's int8 weights.
 *
 * @module
 */
import { importPackage } from "./peer.ts";
import { GATES, type LayerWeights, type Problem } from "./problem.ts";

interface OnnxProto {
  readonly onnx: {
    readonly ModelProto: {
      fromObject(model: unknown): unknown;
      encode(model: unknown): { finish(): Uint8Array };
    };
  };
}

/** TensorProto.DataType. */
const DATA_TYPES = { float32: 1, int8: 3, int64: 7 } as const;

/** AttributeProto.AttributeType INT. */
const INT = 2;

/**
 * ONNX's order of the gates, as indices into PyTorch's: input, output, forget, cell; update, reset,
 * new.
 */
const GATE_ORDER = { lstm: [0, 3, 1, 2], gru: [1, 0, 2] } as const;

function reorderGates(values: Float32Array, cell: Problem["cell"]): Float32Array {
  const block = values.length / GATES[cell];
  const out = new Float32Array(values.length);
  GATE_ORDER[cell].forEach((from, to) =>
    out.set(values.subarray(from * block, (from + 1) * block), to * block)
  );
  return out;
}

/** [rows, columns] to [columns, rows]. */
function transpose<T extends Float32Array | Int8Array>(values: T, columns: number): T {
  const rows = values.length / columns;
  return values.map((_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!) as T;
}

/** Symmetric int8 with one scale. */
function quantizeWeight(weight: Float32Array): { data: Int8Array; scale: number } {
  const scale = Math.fround(weight.reduce((m, w) => Math.max(m, Math.abs(w)), 0) / 127);
  return { data: Int8Array.from(weight, (w) => Math.round(w / scale)), scale };
}

function value(name: string, dims: readonly (number | string)[]): unknown {
  const dim = dims.map((d) => typeof d === "number" ? { dimValue: d } : { dimParam: d });
  return { name, type: { tensorType: { elemType: DATA_TYPES.float32, shape: { dim } } } };
}

/** A graph that grows by nodes. */
class GraphBuilder {
  readonly node: unknown[] = [];
  readonly initializer: unknown[] = [];

  /** Adds a tensor; gives its name. */
  constant(
    name: string,
    dims: readonly number[],
    data: Float32Array | Int8Array | BigInt64Array,
  ): string {
    const dataType = data instanceof Float32Array
      ? DATA_TYPES.float32
      : data instanceof Int8Array
      ? DATA_TYPES.int8
      : DATA_TYPES.int64;
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.initializer.push({ name, dataType, dims, rawData });
    return name;
  }

  /** Adds a node. */
  add(
    opType: string,
    input: readonly string[],
    output: readonly string[],
    { domain = "", ints = {} }: { domain?: string; ints?: Record<string, number> } = {},
  ): void {
    const attribute = Object.entries(ints).map(([name, i]) => ({ name, type: INT, i }));
    this.node.push({ name: output[0], opType, domain, input, output, attribute });
  }
}

/** The names of a layer's states, before and after: an LSTM's h and c, a GRU's h. */
export function stateNames({ cell, layers }: Problem): { before: string[]; after: string[] } {
  const states = layers.flatMap((_, index) =>
    (cell === "lstm" ? ["h", "c"] : ["h"]).map((state) => `${state}${index}`)
  );
  return { before: states, after: states.map((state) => `${state}_next`) };
}

/** Adds a recurrent layer from X [seq, 1, inputSize] to Y [seq, 1, 1, size]. */
function addLayer(
  graph: GraphBuilder,
  { cell, size }: Problem,
  layer: LayerWeights,
  [index, x, y]: readonly [index: number, x: string, y: string],
  int8: boolean,
): void {
  const rows = GATES[cell] * size;
  const name = (text: string) => `${text}${index}`;
  const weights = [
    ["W", reorderGates(layer.weightIh, cell), layer.inputSize],
    ["R", reorderGates(layer.weightHh, cell), size],
  ] as const;
  const bias = new Float32Array(2 * rows);
  bias.set(reorderGates(layer.biasIh, cell));
  bias.set(reorderGates(layer.biasHh, cell), rows);
  const b = graph.constant(name("B"), [1, 2 * rows], bias);
  const states = cell === "lstm" ? ["h", "c"] : ["h"];
  const before = states.map(name);
  const after = states.map((state) => `${name(state)}_next`);
  if (int8) {
    const quantized: string[] = [];
    const parameters: string[] = [];
    for (const [text, weight, columns] of weights) {
      const { data, scale } = quantizeWeight(weight);
      // DynamicQuantizeLSTM takes its weights transposed.
      quantized.push(graph.constant(name(text), [1, columns, rows], transpose(data, columns)));
      parameters.push(
        graph.constant(name(`${text}_scale`), [1], new Float32Array([scale])),
        graph.constant(name(`${text}_zero_point`), [1], new Int8Array(1)),
      );
    }
    const inputs = [x, ...quantized, b, "", ...before, "", ...parameters];
    const options = { domain: "com.microsoft", ints: { hidden_size: size } };
    graph.add("DynamicQuantizeLSTM", inputs, [y, ...after], options);
  } else {
    const floats = weights.map(([text, weight, columns]) =>
      graph.constant(name(text), [1, rows, columns], weight)
    );
    const ints = {
      hidden_size: size,
      ...(cell === "gru" ? { linear_before_reset: 1 } : {}),
    };
    graph.add(cell.toUpperCase(), [x, ...floats, b, "", ...before], [y, ...after], { ints });
  }
}

/**
 * A model of the problem: X [seq, 1, inputSize] and each layer's states [1, 1, size] to Y and the next
 * states. Y is [seq, 1, 1, size], or [seq, 1, outputs] after a Linear and a Sigmoid.
 *
 * @param int8 DynamicQuantizeLSTM (one symmetric scale a matrix, as onnxruntime's quantize_dynamic
 * makes it) instead of the float LSTM; what follows it stays in float.
 */
export async function createOnnxModel(problem: Problem, int8: boolean): Promise<Uint8Array> {
  const { onnx } = await importPackage<OnnxProto>("onnx-proto");
  const { size, inputSize, outputSize, layers, head } = problem;
  if (int8 && problem.cell !== "lstm") throw new RangeError("onnxruntime has no int8 GRU");
  const graph = new GraphBuilder();
  const axes = graph.constant("axes", [1], BigInt64Array.of(1n));
  let x = "X";
  layers.forEach((layer, index) => {
    const last = index === layers.length - 1 && head === undefined;
    const y = last ? "Y" : `Y${index}`;
    addLayer(graph, problem, layer, [index, x, y], int8);
    if (last) return;
    x = `X${index + 1}`;
    graph.add("Squeeze", [y, axes], [x]);
  });
  if (head !== undefined) {
    const weight = transpose(head.weight, size);
    graph.add("MatMul", [x, graph.constant("weight", [size, outputSize], weight)], ["product"]);
    graph.add("Add", ["product", graph.constant("bias", [outputSize], head.bias)], ["sum"]);
    graph.add("Sigmoid", ["sum"], ["Y"]);
  }
  const { before, after } = stateNames(problem);
  const yShape = head === undefined ? ["seq", 1, 1, size] : ["seq", 1, outputSize];
  const opsetImport = [{ domain: "", version: 14 }, { domain: "com.microsoft", version: 1 }];
  const model = {
    irVersion: 8,
    opsetImport,
    graph: {
      name: problem.kind,
      node: graph.node,
      initializer: graph.initializer,
      input: [
        value("X", ["seq", 1, inputSize]),
        ...before.map((name) => value(name, [1, 1, size])),
      ],
      output: [value("Y", yShape), ...after.map((name) => value(name, [1, 1, size]))],
    },
  };
  return onnx.ModelProto.encode(onnx.ModelProto.fromObject(model)).finish();
}
