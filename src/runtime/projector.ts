/**
 * Projection of rows: the work of a linear layer, and an LSTM's input projection where its fast
 * step does not do it.
 *
 * @module
 */
import { type Projection, projectRows, SUMS_TOGETHER } from "../../kernels/packed/lstm_cell.ts";
import {
  dotRows,
  packedInput,
  packedLength,
  packRows,
  sumsLength,
  type WeightRows,
} from "../../kernels/packed/pack.ts";
import { clamp, MAX_FLOAT32 } from "../../kernels/numeric/requantize.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { quantizeCentered } from "./centered.ts";

/** The program of a projector. */
export interface ProjectorProgram {
  /** Its weights. */
  readonly rows: WeightRows;
  /** Maps sums of integers to outputs; null where inputs are float32. */
  readonly projection: Projection | null;
  /**
   * For float32 inputs: scales and biases of the rows, and parameters of the outputs by row modulo
   * their number.
   */
  readonly float: {
    readonly scales: Float32Array;
    readonly bias: Float32Array | null;
    readonly to: readonly (PerTensorQParams | null)[];
  } | null;
}

/** Projects the row that begins at `at`, and writes the result from `offset` on. */
export type Projector = (
  x: ArrayLike<number>,
  at: number,
  out: Float64Array | Float32Array,
  offset: number,
) => void;

/** Kernels that can project rows in modules which they do not run as a whole. */
export interface ProjectingKernels {
  /**
   * A projector of integers less their zero point, which {@linkcode projectorFor} asks for; null
   * where the kernels do not run it. Absent where they run none.
   *
   * @param input Parameters of the integers.
   * @internal
   */
  projector?(program: ProjectorProgram, input: PerTensorQParams): Projector | null;
}

/**
 * A projector of integers less their zero point or, on dequantized weights, of float32 values.
 *
 * @param saturates Whether overflowing float32 results of float32 inputs saturate, as in a cell's
 * part. Results of integer inputs never overflow: modules refuse such parameters.
 */
export function makeProjector(
  { rows, projection, float }: ProjectorProgram,
  saturates = true,
): Projector {
  const { data, count, length } = rows;
  if (projection !== null) {
    const packed = packRows(rows);
    const given = packedInput(length);
    const sums = new Float64Array(SUMS_TOGETHER);
    return (x, at, out, offset) => {
      // Local variables: an engine may reload a closure's variables at every use.
      const row = given;
      for (let k = 0, size = length; k < size; k++) row[k] = x[at + k]!;
      projectRows(packed, projection, row, sums, out, offset, count);
    };
  }
  const { scales, bias, to } = float!;
  const size = packedLength(length);
  const weight = new Float32Array(data.length);
  for (let i = 0; i < weight.length; i++) weight[i] = scales[(i / size) | 0]! * data[i]!;
  // One row to an array: its sum is added up in order, as a float32 product's is.
  const packed = packRows({ ...rows, data: weight, columns: 0 });
  const given = packedInput(length);
  const sums = new Float64Array(sumsLength(count));
  return (x, at, out, offset) => {
    for (let k = 0; k < length; k++) given[k] = x[at + k]!;
    dotRows(packed, 0, count, given, sums);
    for (let row = 0; row < count; row++) {
      const i = offset + row;
      const sum = Math.fround(bias === null ? sums[row]! : sums[row]! + bias[row]!);
      out[i] = saturates ? clamp(sum, -MAX_FLOAT32, MAX_FLOAT32) : sum;
      const q = to[row % to.length]!;
      if (q !== null) quantizeCentered(out, i, out, i, 1, q);
    }
  };
}

/**
 * A projector by the given kernels if they support it, else by the portable ones.
 *
 * @param input Parameters of its input; null for float32.
 * @param saturates As for {@linkcode makeProjector}.
 */
export function projectorFor(
  program: ProjectorProgram,
  input: PerTensorQParams | null,
  kernels: ProjectingKernels | undefined,
  saturates = true,
): Projector {
  const own = input && kernels?.projector?.(program, input);
  return own ?? makeProjector(program, saturates);
}
