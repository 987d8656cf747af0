/**
 * What projects rows of values: a linear layer's whole work, and an LSTM's on inputs that its step does not take.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float_linear.ts";
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import { projectRows, SUMS_TOGETHER } from "../../kernels/lstm_cell.ts";
import { packedLength, packRows } from "../../kernels/pack.ts";
import { integerBound, prepareProjection } from "../../kernels/prepare.ts";
import type { PerTensorQParams } from "../qparams.ts";
import { quantizeShifted } from "./shifted.ts";

/** Projects the row that begins at `at`, and writes the result from `offset` on. */
export type Projector = (
  x: ArrayLike<number>,
  at: number,
  out: Float64Array | Float32Array,
  offset: number,
) => void;

/**
 * A projector of float32 rows, on dequantized weights.
 *
 * @param order Which weight row each place takes; what follows the first outFeatures places is not looked at.
 * @param to Parameters of the outputs, by place modulo 4; null gives float32.
 */
export function floatProjector(
  { data, inFeatures, outFeatures, scales, zeroPoints }: LinearWeight,
  bias: Float32Array | null,
  order: ArrayLike<number>,
  to: readonly (PerTensorQParams | null)[],
): Projector {
  const weight = new Float32Array(data.length), biases = new Float32Array(outFeatures);
  const given = new Float32Array(inFeatures), sums = new Float32Array(outFeatures);
  for (let place = 0, at = 0; place < outFeatures; place++) {
    const row = order[place]!, channel = Math.floor(row * scales.length / outFeatures);
    const scale = scales[channel]!, zeroPoint = zeroPoints[channel]!, from = row * inFeatures;
    // As dequantizeValue: stored in float32, the product is rounded once.
    for (let k = 0; k < inFeatures; k++) weight[at++] = scale * (data[from + k]! - zeroPoint);
    if (bias !== null) biases[place] = bias[row]!;
  }
  return (x, at, out, offset) => {
    for (let k = 0; k < inFeatures; k++) given[k] = x[at + k]!;
    linearFloat32(given, 0, weight, bias && biases, inFeatures, outFeatures, sums, 0);
    for (let place = 0; place < outFeatures; place++) {
      const q = to[place & 3]!;
      if (q === null) out[offset + place] = sums[place]!;
      else quantizeShifted(sums, place, out, offset + place, 1, q);
    }
  };
}

/** A projector of rows of any parameters, or null for float32; else as {@linkcode floatProjector}. */
export function projector(
  engine: Engine,
  weight: LinearWeight,
  bias: Float32Array | null,
  order: ArrayLike<number>,
  input: PerTensorQParams | null,
  to: readonly (PerTensorQParams | null)[],
): Projector {
  if (input === null) return floatProjector(weight, bias, order, to);
  const rows = packRows(weight, order, integerBound(input)), { inFeatures, outFeatures } = weight;
  const projection = prepareProjection(engine, weight, bias, order, input, to);
  const given = new Float64Array(packedLength(inFeatures)), sums = new Float64Array(SUMS_TOGETHER);
  return (x, at, out, offset) => {
    for (let k = 0; k < inFeatures; k++) given[k] = x[at + k]!;
    projectRows(rows, projection, given, sums, out, offset, outFeatures);
  };
}
