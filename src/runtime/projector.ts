/**
 * Projection of rows: the work of a linear layer, and an LSTM's input projection where its fast
 * step does not do it.
 *
 * @module
 */
import { type Projection, projectRows, SUMS_TOGETHER } from "../../kernels/packed/lstm_cell.ts";
import { packedInput, packedLength, packRows, type WeightRows } from "../../kernels/packed/pack.ts";
import { clamp, dequantizeValue, MAX_FLOAT32 } from "../../kernels/numeric/requantize.ts";
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
  const given = new Float32Array(length);
  const result = new Float32Array(1);
  const size = packedLength(length);
  const weight = Float32Array.from(
    data,
    (w, i) => dequantizeValue(w, scales[Math.floor(i / size)]!, 0),
  );
  return (x, at, out, offset) => {
    for (let k = 0; k < length; k++) given[k] = x[at + k]!;
    for (let row = 0; row < count; row++) {
      let sum = 0;
      for (let k = 0, i = row * size; k < length; k++, i++) sum += given[k]! * weight[i]!;
      result[0] = bias === null ? sum : sum + bias[row]!;
      const q = to[row % to.length]!;
      if (q !== null) quantizeCentered(result, 0, result, 0, 1, q);
      const value = result[0];
      out[offset + row] = saturates ? clamp(value, -MAX_FLOAT32, MAX_FLOAT32) : value;
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
