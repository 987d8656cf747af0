/**
 * ONNX models of the problem: the float LSTM, and DynamicQuantizeLSTM with int8 weights.
 *
 * @module
 */
import { importPackage } from "./peer.ts";
import type { Problem } from "./problem.ts";

interface OnnxProto {
  readonly onnx: {
    readonly ModelProto: {
      fromObject(model: unknown): unknown;
      encode(model: unknown): { finish(): Uint8Array };
    };
  };
}

/** TensorProto.DataType. */
const FLOAT = 1;
const INT8 = 3;

/** ONNX's order of the gates, as indices into PyTorch's: input, output, forget, cell. */
const GATE_ORDER = [0, 3, 1, 2];

function reorderGates(values: Float32Array, size: number): Float32Array {
  const block = values.length / 4;
  const out = new Float32Array(values.length);
  if (block % size !== 0) {
    throw new RangeError(`values: expected a multiple of ${4 * size}, got ${values.length}`);
  }
  GATE_ORDER.forEach((from, to) =>
    out.set(values.subarray(from * block, (from + 1) * block), to * block)
  );
  return out;
}

function tensor(
  name: string,
  dataType: number,
  dims: readonly number[],
  data: Float32Array | Int8Array,
): unknown {
  return {
    name,
    dataType,
    dims,
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

function value(name: string, dims: readonly (number | string)[]): unknown {
  const dim = dims.map((d) => typeof d === "number" ? { dimValue: d } : { dimParam: d });
  return { name, type: { tensorType: { elemType: FLOAT, shape: { dim } } } };
}

/**
 * Symmetric int8 with one scale, transposed to [columns, rows] as DynamicQuantizeLSTM takes its
 * weights.
 */
function quantizeTransposed(
  weight: Float32Array,
  columns: number,
): { data: Int8Array; scale: number } {
  const rows = weight.length / columns;
  const data = new Int8Array(weight.length);
  const scale = Math.fround(weight.reduce((m, w) => Math.max(m, Math.abs(w)), 0) / 127);
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < columns; k++) {
      data[k * rows + r] = Math.round(weight[r * columns + k]! / scale);
    }
  }
  return { data, scale };
}

/**
 * A model of the problem's layer: X [seq, 1, size], h0 and c0 [1, 1, size] to Y [seq, 1, 1, size],
 * hn and cn.
 *
 * @param int8 DynamicQuantizeLSTM (one symmetric scale a matrix, as onnxruntime's quantize_dynamic
 * makes it) instead of the float LSTM.
 */
export async function createOnnxModel(problem: Problem, int8: boolean): Promise<Uint8Array> {
  const { onnx } = await importPackage<OnnxProto>("onnx-proto");
  const { size } = problem;
  const rows = 4 * size;
  const weightIh = reorderGates(problem.weightIh, size);
  const weightHh = reorderGates(problem.weightHh, size);
  const bias = new Float32Array(2 * rows);
  bias.set(reorderGates(problem.biasIh, size));
  bias.set(reorderGates(problem.biasHh, size), rows);
  const initializer = [tensor("B", FLOAT, [1, 2 * rows], bias)];
  let input = ["X", "W", "R", "B", "", "h0", "c0"];
  if (int8) {
    for (const [name, weight] of [["W", weightIh], ["R", weightHh]] as const) {
      const { data, scale } = quantizeTransposed(weight, size);
      initializer.push(
        tensor(name, INT8, [1, size, rows], data),
        tensor(`${name}_scale`, FLOAT, [1], new Float32Array([scale])),
        tensor(`${name}_zero_point`, INT8, [1], new Int8Array(1)),
      );
    }
    input = [...input, "", "W_scale", "W_zero_point", "R_scale", "R_zero_point"];
  } else {
    initializer.push(
      tensor("W", FLOAT, [1, rows, size], weightIh),
      tensor("R", FLOAT, [1, rows, size], weightHh),
    );
  }
  const node = {
    name: "lstm",
    opType: int8 ? "DynamicQuantizeLSTM" : "LSTM",
    domain: int8 ? "com.microsoft" : "",
    input,
    output: ["Y", "hn", "cn"],
    attribute: [{ name: "hidden_size", type: 2, i: size }],
  };
  const graph = {
    name: "lstm",
    node: [node],
    initializer,
    input: [value("X", ["seq", 1, size]), value("h0", [1, 1, size]), value("c0", [1, 1, size])],
    output: [value("Y", ["seq", 1, 1, size]), value("hn", [1, 1, size]), value("cn", [1, 1, size])],
  };
  const opsetImport = [{ domain: "", version: 14 }, { domain: "com.microsoft", version: 1 }];
  return onnx.ModelProto.encode(onnx.ModelProto.fromObject({ irVersion: 8, opsetImport, graph }))
    .finish();
}
