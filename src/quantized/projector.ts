/**
 * What projects rows of values: a linear layer's whole work, and an LSTM's on inputs that its step does not take.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float_linear.ts";
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import { projectRows, SUMS_TOGETHER } from "../../kernels/lstm_cell.ts";
import { packedInput, packRows } from "../../kernels/pack.ts";
import { integerBound, prepareProjection } from "../../kernels/prepare.ts";
import { dequantizePerChannel } from "../../kernels/quantize.ts";
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
 * @param order Which weight row each place takes.
 * @param to Parameters of the outputs, one for each of as many equal blocks of rows; null gives float32.
 */
export function floatProjector(
  { data, inFeatures, outFeatures, scales, zeroPoints }: LinearWeight,
  bias: Float32Array | null,
  order: ArrayLike<number>,
  to: readonly (PerTensorQParams | null)[],
): Projector {
  const weight = new Float32Array(data.length), size = outFeatures / to.length;
  const given = new Float32Array(inFeatures), sums = new Float32Array(outFeatures);
  dequantizePerChannel(data, weight, scales, zeroPoints, data.length / scales.length);
  return (x, at, out, offset) => {
    // Locals: an engine may read what a closure holds at every use.
    const row = given, results = sums, places = order;
    for (let k = 0; k < row.length; k++) row[k] = x[at + k]!;
    linearFloat32(row, 0, weight, bias, inFeatures, outFeatures, results, 0);
    for (let block = 0; block < to.length; block++) {
      const q = to[block]!;
      if (q !== null) quantizeShifted(results, block * size, results, block * size, size, q);
    }
    for (let place = 0; place < results.length; place++) out[offset + place] = results[places[place]!]!;
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
  const given = packedInput(inFeatures), sums = new Float64Array(SUMS_TOGETHER);
  return (x, at, out, offset) => {
    const row = given;
    for (let k = 0, length = inFeatures; k < length; k++) row[k] = x[at + k]!;
    projectRows(rows, projection, row, sums, out, offset, outFeatures);
  };
}
