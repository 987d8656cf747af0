/**
 * Projection of rows: the work of a linear layer, and an LSTM's input projection where its fast
 * step does not do it.
 *
 * @module
 */
import { type Projection, projectRows, SUMS_TOGETHER } from "../../kernels/packed/lstm_cell.ts";
import { packedInput, packRows, type WeightRows } from "../../kernels/packed/pack.ts";
import { clamp, MAX_FLOAT32 } from "../../kernels/numeric/requantize.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { quantizeCentered } from "./centered.ts";

/** The program of a projector. */
export interface ProjectorProgram {
  /** Its weights. */
  readonly rows: WeightRows;
  /** Maps sums to outputs. */
  readonly projection: Projection;
  /**
   * For float32 inputs: scales of the rows, whose products the sums are then of, and parameters of
   * the outputs by row modulo their number, to which they are rounded after the projection. null
   * where inputs are integers.
   */
  readonly float: {
    readonly scales: Float32Array;
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
  const { count, length } = rows;
  const packed = packRows(rows, float?.scales);
  const given = packedInput(length);
  const sums = new Float64Array(SUMS_TOGETHER);
  return (x, at, out, offset) => {
    // Local variables: an engine may reload a closure's variables at every use.
    const row = given;
    for (let k = 0, size = length; k < size; k++) row[k] = x[at + k]!;
    projectRows(packed, projection, row, sums, out, offset, count);
    if (float === null) return;
    for (let i = 0; i < count; i++) {
      const to = float.to[i % float.to.length]!;
      const o = offset + i;
      if (to !== null) quantizeCentered(out, o, out, o, 1, to);
      else if (saturates) out[o] = clamp(out[o]!, -MAX_FLOAT32, MAX_FLOAT32);
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
