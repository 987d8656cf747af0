/**
 * What runs the LSTMs of sessions: the portable kernels, execution by parts, WebAssembly.
 *
 * All integers stand less their zero points here, so that a state of zeros is all 0.
 *
 * @module
 */
import type { LstmImage, LstmProgram } from "./program.ts";

/** Runs LSTMs. */
export interface LstmBackend {
  /** For messages: which one it is. */
  readonly name: string;
  /** The LSTM made ready: constants that all sessions share. null where this backend does not run it. */
  prepare(lstm: LstmProgram): PreparedLstm | null;
  /**
   * What `prepare` then takes instead of making it, where it finds it in a program; null where this backend does not run
   * the LSTM. Absent where there is nothing to gain.
   */
  image?(lstm: LstmProgram): LstmImage | null;
}

/**
 * Hidden and cell state by cell (layer * directions + direction), then batch row. Integers less the zero point, or
 * float32 values where a state is not quantized.
 */
export interface LstmState {
  /** [cells, batch, hiddenSize or projSize] */
  readonly h: Float64Array | Int32Array;
  /** [cells, batch, hiddenSize] */
  readonly c: Float64Array | Int32Array;
  /** [cells, batch]: 1 until the first step. */
  readonly fresh: Uint8Array;
}

/** A module made ready: constants and scratch, shared by all sessions, which never run at the same time. */
export interface PreparedModule {
  /**
   * Whether `process` never throws, given what it is described to take. Sessions of others keep a
   * copy of their state, and put it back where a call fails.
   */
  readonly infallible?: boolean;
  /** Whether `process` takes float32 reals too, and quantizes them. */
  readonly takesReals?: boolean;
  /** Whether `process` gives float32 reals too. */
  readonly givesReals?: boolean;
  /** Whether what a step gives depends on the others that `process` is given with it. */
  readonly mixesSteps?: boolean;
  /** A state of zeros for `batch` rows; absent where a module has none. */
  createState?(batch: number): LstmState;
  /**
   * Allocates what `process` needs for up to `batch` rows and `steps` steps, and gives its size in bytes; absent where
   * it needs nothing.
   */
  reserve?(batch: number, steps: number, splitGates: boolean): number;
  /**
   * Runs steps; nothing is allocated.
   *
   * @param state What createState gave; without that, it is not looked at.
   * @param x [steps, batch, inputSize] integers less the zero point or floats, or [steps, batch] token ids. A
   * Float32Array holds reals.
   * @param out [steps, batch, outputSize], of a backward direction in the forward direction's parameters. Beyond a
   * row's length what it holds means nothing. A Float32Array receives reals.
   * @param lengths Steps of each row, from 0 on; null where all have `steps`. What is given beyond them is not looked at
   * where a row's result depends on the others.
   * @param xOffset Where the steps begin in a Float32Array of reals, and `outOffset` where they do in one.
   */
  process(
    state: LstmState,
    x: Float64Array | Float32Array,
    out: Float64Array | Float32Array,
    steps: number,
    batch: number,
    lengths: Int32Array | null,
    splitGates: boolean,
    xOffset?: number,
    outOffset?: number,
  ): void;
}

/** An LSTM made ready. */
export type PreparedLstm =
  & PreparedModule
  & Required<Pick<PreparedModule, "createState" | "reserve">>;

/** A state of zeros in doubles. */
export function createState(
  { states, hiddenSize, projSize }: LstmProgram,
  batch: number,
): { h: Float64Array; c: Float64Array; fresh: Uint8Array } {
  const rows = states.length * batch;
  return {
    h: new Float64Array(rows * (projSize || hiddenSize)),
    c: new Float64Array(rows * hiddenSize),
    fresh: new Uint8Array(rows).fill(1),
  };
}

/** Makes room for `size` doubles in `buffers[i]`, and gives their bytes. */
export function reserveBuffer(buffers: Float64Array[], i: number, size: number): number {
  if (!(buffers[i]?.length! >= size)) buffers[i] = new Float64Array(size);
  return size * 8;
}

/** Makes room for what goes from layer to layer, `size` doubles, and gives its bytes: two arrays serve any number. */
export function reserveBetween(between: Float64Array[], layers: number, size: number): number {
  let bytes = 0;
  for (let i = 0; i < Math.min(2, layers - 1); i++) bytes += reserveBuffer(between, i, size);
  return bytes;
}
