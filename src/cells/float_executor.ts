/**
 * The cell's parts in float32.
 *
 * @module
 */
import type { Activation } from "../../kernels/numeric/float_functions.ts";
import {
  type FloatFunction,
  type FloatKernels,
  type FloatLinear,
  plainKernels,
} from "../../kernels/float/kernels.ts";
import { type Cell, type CellExecutor, type Part, rowSpan, spanOf } from "./cell.ts";

/**
 * The float32 tensors of one layer and direction; in the first four, rows are grouped by gate.
 *
 * @example
 * ```ts
 * import { GRU, LSTM } from "@splitgate/splitgate";
 * import type { FloatCellWeights } from "@splitgate/splitgate/modules";
 * const options = { inputSize: 2, hiddenSize: 3 };
 * const cells: FloatCellWeights[] = [new LSTM(options), new GRU(options)].flatMap((each) =>
 *   each.cells.flat()
 * );
 * ```
 */
export interface FloatCellWeights {
  /** [gates * hiddenSize, width of x] */
  readonly weightIh: Float32Array;
  /** [gates * hiddenSize, width of h] */
  readonly weightHh: Float32Array;
  /** [gates * hiddenSize], or null. */
  readonly biasIh: Float32Array | null;
  /** [gates * hiddenSize], or null. */
  readonly biasHh: Float32Array | null;
  /** [width of h, hiddenSize]; null where the hidden state is not projected. */
  readonly weightHr?: Float32Array | null;
}

/** A sum, a difference or a product of each two elements, rounded to float32. */
function combine(op: "add" | "sub" | "mul", a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(a.length);
  switch (op) {
    case "add":
      for (let i = 0; i < a.length; i++) out[i] = a[i]! + b[i]!;
      return out;
    case "sub":
      for (let i = 0; i < a.length; i++) out[i] = a[i]! - b[i]!;
      return out;
    case "mul":
      for (let i = 0; i < a.length; i++) out[i] = a[i]! * b[i]!;
      return out;
  }
}

/**
 * An operation of a cell's part on each element, rounded to float32: a sum, a difference, a
 * product, or a function, which does not read `b`.
 *
 * @example
 * ```ts
 * import { pointwiseFloat32 } from "./float_executor.ts";
 * import { assertEquals } from "@std/assert";
 * const a = Float32Array.of(0, 2), b = Float32Array.of(3, 4);
 * assertEquals([...pointwiseFloat32("mul", a, b)], [0, 8]);
 * assertEquals(pointwiseFloat32("sigmoid", a, b)[0], 0.5); // b is not read
 * ```
 */
export function pointwiseFloat32(
  op: "add" | "sub" | "mul" | Activation,
  a: Float32Array,
  b: Float32Array,
): Float32Array {
  if (op === "add" || op === "sub" || op === "mul") return combine(op, a, b);
  const out = a.slice();
  plainKernels.activation(op)(out, 0, out.length);
  return out;
}

/** A part's linear operator, or that of one of its gates; made on first use. */
interface MadeLinear {
  readonly apply: FloatLinear;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** The rows of a matrix or vector that belong to the given gates, out of `gates`. */
function gateRows(
  data: Float32Array,
  gates: number,
  [from, to]: readonly [number, number],
): Float32Array {
  const each = data.length / gates;
  return data.subarray(from * each, to * each);
}

/**
 * An executor of {@linkcode runCell} in float32: each part's output is rounded to float32, so that
 * a step has the bits of the module's own, fused or split. Values are row-major [batch, width];
 * outputs are new arrays.
 *
 * @param hiddenSize Width of each gate.
 * @param kernels Makes the operators.
 *
 * @example One step, gate by gate, and the module
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { runCell } from "./cell.ts";
 * import { floatExecutor } from "./float_executor.ts";
 * import { lstmCell } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   x = Float32Array.of(1, -1),
 *   zeros = new Float32Array(3);
 * const cell = lstmCell(false), executor = floatExecutor(cell, lstm.cells[0]![0]!, 3);
 * const [h] = runCell(executor, cell, true, x, [zeros, zeros]);
 * assertEquals(h, lstm.forward(tensor(x, [1, 1, 2]))[0].data);
 * ```
 */
export function floatExecutor(
  cell: Cell,
  weights: FloatCellWeights,
  hiddenSize: number,
  kernels: FloatKernels = plainKernels,
): CellExecutor<Float32Array> {
  const count = cell.gates.length;
  const { weightIh, weightHh, weightHr = null, biasIh, biasHh } = weights;
  const makeLinear = (part: Part, gate: number): MadeLinear => {
    let weight = weightHr!;
    let bias: Float32Array | null = null;
    let outFeatures = weight === null ? 0 : weight.length / hiddenSize;
    const span = rowSpan(cell, part, gate);
    if (span !== null) {
      const [whole, wholeBias] = part.weight === "ih" ? [weightIh, biasIh] : [weightHh, biasHh];
      weight = gateRows(whole, count, span);
      bias = wholeBias && gateRows(wholeBias, count, span);
      outFeatures = (span[1] - span[0]) * hiddenSize;
    }
    const inFeatures = weight.length / outFeatures;
    const apply = kernels.linear({ weight, bias, inFeatures, outFeatures });
    return { apply, inFeatures, outFeatures };
  };
  const functions = new Map<Part, FloatFunction>();
  const made = new Map<string, MadeLinear>();
  const linear = (part: Part, gate: number, x: Float32Array): Float32Array => {
    const key = `${part.name}.${gate}`;
    let own = made.get(key);
    if (own === undefined) made.set(key, own = makeLinear(part, gate));
    const { apply, inFeatures, outFeatures } = own;
    const rows = x.length / inFeatures;
    const out = new Float32Array(rows * outFeatures);
    apply(x, 0, out, 0, rows);
    return out;
  };
  return {
    apply(part: Part, gate: number, [a, b]: readonly Float32Array[]): Float32Array {
      const { op } = part;
      if (op === "linear") return linear(part, gate, a!);
      if (part.activation === undefined) return combine(op as "add" | "sub" | "mul", a!, b!);
      let own = functions.get(part);
      if (own === undefined) functions.set(part, own = kernels.activation(part.activation));
      const out = a!.slice();
      own(out, 0, out.length);
      return out;
    },
    chunk(part: Part, gate: number, value: Float32Array): Float32Array {
      const [from, to] = spanOf(cell, part);
      const width = (to - from) * hiddenSize;
      const rows = value.length / width;
      const out = new Float32Array(rows * hiddenSize);
      for (let r = 0; r < rows; r++) {
        const at = r * width + (gate - from) * hiddenSize;
        out.set(value.subarray(at, at + hiddenSize), r * hiddenSize);
      }
      return out;
    },
  };
}
