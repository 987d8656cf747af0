/**
 * The cell's parts in float32.
 *
 * @module
 */
import { type Activation, floatFunction } from "../../kernels/numeric/float_functions.ts";
import { linearFloat32 } from "../../kernels/float/linear.ts";
import type { LSTMWeights } from "../../kernels/float/lstm.ts";
import type { CellExecutor, Part } from "./lstm_parts.ts";

/**
 * An operation of a cell's part on each element, rounded to float32: a sum, a product, or a
 * function, which does not read `b`.
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
  op: "add" | "mul" | Activation,
  a: Float32Array,
  b: Float32Array,
): Float32Array {
  switch (op) {
    case "add":
      return a.map((value, i) => value + b[i]!);
    case "mul":
      return a.map((value, i) => value * b[i]!);
    default:
      return a.map(floatFunction(op));
  }
}

/**
 * An executor of {@linkcode runCell} in float32: each part's output is rounded to float32, so that
 * a step has the bits of {@linkcode lstmStepFloat32}, fused or split. Values are row-major [batch,
 * width]; outputs are new arrays.
 *
 * @param weights Read at each step, not copied.
 * @param inputSize Width of x.
 * @param hiddenSize Width of c and of each gate.
 *
 * @example One step, gate by gate, and the module
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { floatExecutor } from "./float_executor.ts";
 * import { lstmParts, runCell } from "./lstm_parts.ts";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   x = Float32Array.of(1, -1),
 *   zeros = new Float32Array(3);
 * const executor = floatExecutor(lstm.cells[0]![0]!, 2, 3);
 * const { h } = runCell(executor, lstmParts(false), true, x, zeros, zeros);
 * assertEquals(h, lstm.forward(tensor(x, [1, 1, 2]))[0].data);
 * ```
 */
export function floatExecutor(
  weights: LSTMWeights,
  inputSize: number,
  hiddenSize: number,
): CellExecutor<Float32Array> {
  const projected = weights.weightHr === null ? hiddenSize : weights.weightHr.length / hiddenSize;
  const linear = (
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array | null,
    gate: number,
    inFeatures: number,
    outFeatures: number,
  ) => {
    const rows = x.length / inFeatures;
    const out = new Float32Array(rows * outFeatures);
    if (gate >= 0) {
      weight = weight.subarray(
        gate * outFeatures * inFeatures,
        (gate + 1) * outFeatures * inFeatures,
      );
      bias = bias && bias.subarray(gate * outFeatures, (gate + 1) * outFeatures);
    }
    for (let r = 0; r < rows; r++) {
      linearFloat32(x, r * inFeatures, weight, bias, inFeatures, outFeatures, out, r * outFeatures);
    }
    return out;
  };
  return {
    apply(part: Part, gate: number, [a, b]: readonly Float32Array[]): Float32Array {
      const width = gate < 0 ? 4 * hiddenSize : hiddenSize;
      switch (part.op) {
        case "linear":
          if (part.name === "igates") {
            return linear(a!, weights.weightIh, weights.biasIh, gate, inputSize, width);
          }
          if (part.name === "hgates") {
            return linear(a!, weights.weightHh, weights.biasHh, gate, projected, width);
          }
          return linear(a!, weights.weightHr!, null, -1, hiddenSize, projected);
        case "add":
        case "mul":
          return pointwiseFloat32(part.op, a!, b!);
        default:
          return pointwiseFloat32(part.activation!, a!, b!);
      }
    },
    chunk(value: Float32Array, gate: number): Float32Array {
      const rows = value.length / (4 * hiddenSize);
      const out = new Float32Array(rows * hiddenSize);
      for (let r = 0; r < rows; r++) {
        const at = (4 * r + gate) * hiddenSize;
        out.set(value.subarray(at, at + hiddenSize), r * hiddenSize);
      }
      return out;
    },
  };
}
