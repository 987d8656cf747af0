/**
 * One GRU step on integers, fused and split, with any number of bits per part. The sum of a gate
 * overwrites its first term; split gates run some units at a time.
 *
 * All integers here are minus their zero points. The order of the gates is reset, update, new; an
 * array over the gates holds unit after unit (`unit * 3 + gate`).
 *
 * @module
 */
import type { ActivationTable } from "../numeric/activation.ts";
import {
  activateGate,
  type Projection,
  projectSums,
  splitUnits,
  SUM_A,
  SUM_B,
  SUM_FACTOR,
  SUM_HI,
  SUM_LO,
  SUM_SIZE,
} from "./lstm_cell.ts";
import { ARRAYS_TOGETHER, dotRows, packedInput, type PackedRows, sumsLength } from "./pack.ts";

// A copy of those in lstm_cell.ts, because V8 checks an imported or exported function at each use,
// does not inline it in long loops, and boxes its result.

/** Rounds half to even and clamps; x is not NaN. */
function quantized(x: number, lo: number, hi: number): number {
  // ROUND_MAGIC as a literal, because V8 loads and checks an imported value at each use.
  let rounded = (x + 6755399441055744) - 6755399441055744;
  // One branch that is rarely taken: half the time of clamping to each bound in turn.
  if (!(rounded >= lo && rounded <= hi)) rounded = rounded < lo ? lo : hi;
  return rounded;
}

/** A product, quantized: `f(f(a * b) * multiplier)` rounded and clamped. */
function multiply(a: number, b: number, multiplier: number, lo: number, hi: number): number {
  return quantized(Math.fround(Math.fround(a * b) * multiplier), lo, hi);
}

/** A quantized sum before clamping; the parameters are those of `LSTMCell.constants`. */
function add(
  x: number,
  y: number,
  a: number,
  b: number,
  factor: number,
  fixed: boolean,
): number {
  if (!fixed) return Math.fround(Math.fround(Math.fround(a * x) + Math.fround(b * y)) * factor);
  // As fixedPointSum; a call from here would not be inlined, and its result would be boxed.
  const scaled = (a * x + b * y) / factor;
  return scaled < 0 ? 0 - Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
}

/** Number of gates of a unit. */
export const GRU_GATE_COUNT = 3;

/**
 * Index of the sum that the new gate's activation reads; the sums of the other gates come before
 * it.
 */
const NEW_SUM = 2;
/** Index of the hidden state minus the new gate, or of the new gate minus the hidden state. */
export const CHANGE_SUM = 3;
/** Index of the sum that is the new hidden state. */
export const STATE_SUM = 4;
/**
 * Index of the constants of the reset gate's product: its scale (1 unless the other factor is
 * float32), multiplier and bounds.
 */
export const RESET_PRODUCT = 25;
/** Index of the constants of the update gate's product: multiplier and bounds. */
export const UPDATE_PRODUCT = 29;
/** Length of {@linkcode GRUBinding.constants}. */
export const GRU_CONSTANTS = 32;

/** A cell that is ready to run: constants only, shared by all sessions. */
export interface GRUCell {
  /** Number of units. */
  readonly hiddenSize: number;
  /** W_ih in the order of the gates array, or null if the projected input is given. */
  readonly inputRows: PackedRows | null;
  /** Converts W_ih x to `igates`; null if the projected input is given. */
  readonly inputProjection: Projection | null;
  /**
   * W_hh in the order of the gates array; without the new gate if the state is reset before its
   * product.
   */
  readonly hiddenRows: PackedRows;
  /**
   * If the reset gate multiplies h: W_hn, and the conversion of its sums to the new gate's input.
   * null if the reset gate multiplies the product.
   */
  readonly newOutput: { readonly rows: PackedRows; readonly projection: Projection } | null;
  /** Whether the update gate weights the new gate instead of the old state. */
  readonly complementedUpdate: boolean;
  /** Activations of the three gates. */
  readonly tables: readonly ActivationTable[];
}

/**
 * Constants for the state in a step. They differ in the first step if the state has its own
 * qparams.
 */
export interface GRUBinding {
  /** Converts W_hh h to `hgates`, for a hidden state with these qparams. */
  readonly hiddenProjection: Projection;
  /**
   * [{@linkcode GRU_CONSTANTS}]: five sums like those of an LSTM's cell, then two products. The
   * terms of the sum at {@linkcode CHANGE_SUM} are the hidden state and the new gate; one of them
   * has a negative multiplier.
   */
  readonly constants: Float64Array;
  /** The sums in qnnpack's fixed point, one bit each. */
  readonly fixedPoint: number;
}

/**
 * Scratch of a step. Split gates run some units at a time through all parts, so that no
 * intermediate of width 3 * hiddenSize is stored. Fused gates compute each part for all units; so
 * do split gates that reset the state before its product, if there are few units.
 */
export interface GRUScratch {
  /**
   * W_ih x + b_ih, then the gates: three values of each unit that runs at a time, padded for
   * {@linkcode dotRows}.
   */
  readonly igates: Float64Array;
  /** W_hh h + b_hh: of the same length. */
  readonly hgates: Float64Array;
  /** The operand of W_hh: {@linkcode packedInput} of hiddenSize. */
  readonly h: number[];
  /**
   * The operand of W_hn, if the state is reset before its product: of the same length, and the same
   * array as `h` if all units run at once.
   */
  readonly resetState: number[];
  /**
   * Values that units need after all states are reset, unless all units run at once: update gates
   * and the input's part of new gates, in pairs. Otherwise of length 0.
   */
  readonly deferred: Float64Array;
}

/** Number of units whose rows, for any number of gates, are whole groups of {@linkcode dotRows}. */
const UNITS_TOGETHER = 2 * ARRAYS_TOGETHER;

/**
 * Creates scratch for the steps of a cell; cells of the same sizes may share it.
 *
 * @param resetFirst Whether the reset gate multiplies the state and not its product.
 *
 * @example
 * ```ts
 * import { gruScratch } from "./gru_cell.ts";
 * import { assertEquals } from "@std/assert";
 * const fused = gruScratch(64, false, false), split = gruScratch(64, true, false);
 * assertEquals([fused.igates.length, split.igates.length], [200, 3 * 40]); // units at a time
 * ```
 */
export function gruScratch(
  hiddenSize: number,
  splitGates: boolean,
  resetFirst: boolean,
): GRUScratch {
  const some = splitUnits(hiddenSize, UNITS_TOGETHER);
  // The values that units need after the reset take a third of what all units need; with few units,
  // these and the blocks would take more than all units at once.
  const divides = splitGates && (!resetFirst || hiddenSize >= 3 * UNITS_TOGETHER);
  const size = sumsLength(GRU_GATE_COUNT * (divides ? some : hiddenSize));
  const defers = resetFirst && divides;
  const h = packedInput(hiddenSize);
  return {
    igates: new Float64Array(size),
    hgates: new Float64Array(size),
    h,
    resetState: defers ? packedInput(hiddenSize) : h,
    deferred: new Float64Array(defers ? 2 * hiddenSize : 0),
  };
}

/** Adds the projections of the hidden state to one gate of `gates`, and quantizes the sums. */
function addTo(
  binding: GRUBinding,
  sum: number,
  gates: Float64Array,
  hgates: Float64Array,
  stride: number,
  count: number,
): void {
  const { constants: k, fixedPoint } = binding;
  const at = sum * SUM_SIZE;
  const a = k[at + SUM_A]!;
  const b = k[at + SUM_B]!;
  const factor = k[at + SUM_FACTOR]!;
  const lo = k[at + SUM_LO]!;
  const hi = k[at + SUM_HI]!;
  const fixed = (fixedPoint >> sum & 1) === 1;
  for (let unit = 0, i = sum, j = stride === 1 ? 0 : sum; unit < count; unit++) {
    gates[i] = quantized(add(gates[i]!, hgates[j]!, a, b, factor, fixed), lo, hi);
    i += GRU_GATE_COUNT;
    j += stride;
  }
}

/** Multiplies values by the reset gate, in place, and quantizes the products. */
function reset(
  { constants: k }: GRUBinding,
  gates: Float64Array,
  values: Float64Array | number[],
  from: number,
  stride: number,
  count: number,
): void {
  const scale = k[RESET_PRODUCT]!;
  const multiplier = k[RESET_PRODUCT + 1]!;
  const lo = k[RESET_PRODUCT + 2]!;
  const hi = k[RESET_PRODUCT + 3]!;
  for (let unit = 0, i = 0, j = from; unit < count; unit++) {
    values[j] = multiply(Math.fround(gates[i]! * scale), values[j]!, multiplier, lo, hi);
    i += GRU_GATE_COUNT;
    j += stride;
  }
}

/** Computes the hidden state, in place, from the update and new gates. */
function blend(
  { complementedUpdate }: GRUCell,
  { constants: k, fixedPoint }: GRUBinding,
  gates: Float64Array,
  count: number,
  h: Float64Array,
  offset: number,
): void {
  const change = CHANGE_SUM * SUM_SIZE;
  const changeA = k[change + SUM_A]!;
  const changeB = k[change + SUM_B]!;
  const changeFactor = k[change + SUM_FACTOR]!;
  const changeLo = k[change + SUM_LO]!;
  const changeHi = k[change + SUM_HI]!;
  const state = STATE_SUM * SUM_SIZE;
  const a = k[state + SUM_A]!;
  const b = k[state + SUM_B]!;
  const factor = k[state + SUM_FACTOR]!;
  const lo = k[state + SUM_LO]!;
  const hi = k[state + SUM_HI]!;
  const multiplier = k[UPDATE_PRODUCT]!;
  const productLo = k[UPDATE_PRODUCT + 1]!;
  const productHi = k[UPDATE_PRODUCT + 2]!;
  const fixed = fixedPoint >> STATE_SUM === 1;
  for (let unit = 0, i = 0, at = offset; unit < count; unit++, i += GRU_GATE_COUNT, at++) {
    const before = h[at]!;
    const entering = gates[i + 2]!;
    const moved = quantized(
      add(before, entering, changeA, changeB, changeFactor, false),
      changeLo,
      changeHi,
    );
    const change = multiply(gates[i + 1]!, moved, multiplier, productLo, productHi);
    const from = complementedUpdate ? before : entering;
    h[at] = quantized(add(change, from, a, b, factor, fixed), lo, hi);
  }
}

/** The states of rows, one after another. */
export interface GRUStates {
  /** Hidden states, [rows, hiddenSize]. */
  readonly h: Float64Array;
}

/**
 * Runs one step, with split or fused gates depending on the scratch; the results are the same.
 *
 * @param cell The prepared cell.
 * @param binding Constants for h in this step.
 * @param x Input integers, packedInput(inputSize), or null with `projected`.
 * @param projected The projected input at `offset`, [3 * hiddenSize].
 * @param states The state of `row` is overwritten.
 */
export function gruStep(
  cell: GRUCell,
  binding: GRUBinding,
  x: readonly number[] | null,
  projected: Float32Array | null,
  offset: number,
  { h }: GRUStates,
  row: number,
  scratch: GRUScratch,
): void {
  const { hiddenSize, hiddenRows, newOutput, tables } = cell;
  const { igates, hgates, h: before, resetState, deferred } = scratch;
  const units = Math.min(hiddenSize, (igates.length / GRU_GATE_COUNT) | 0);
  const gates = newOutput === null ? GRU_GATE_COUNT : NEW_SUM;
  const defers = deferred.length > 0;
  const hOffset = row * hiddenSize;
  for (let j = 0; j < hiddenSize; j++) before[j] = h[hOffset + j]!;
  for (let unit = 0; unit < hiddenSize; unit += units) {
    const count = Math.min(units, hiddenSize - unit);
    const at = GRU_GATE_COUNT * unit;
    const rows = GRU_GATE_COUNT * count;
    if (x !== null) {
      dotRows(cell.inputRows!, at, at + (rows + 1 & ~1), x, igates);
      projectSums(cell.inputProjection!, at, igates, rows);
    } else {
      for (let i = 0; i < rows; i++) igates[i] = projected![offset + at + i]!;
    }
    const first = gates * unit;
    const sums = gates * count;
    dotRows(hiddenRows, first, first + (sums + 1 & ~1), before, hgates);
    projectSums(binding.hiddenProjection, first, hgates, sums);
    for (let gate = 0; gate < NEW_SUM; gate++) {
      addTo(binding, gate, igates, hgates, gates, count);
      activateGate(tables[gate]!, igates, gate, GRU_GATE_COUNT, rows);
    }
    if (newOutput === null) {
      reset(binding, igates, hgates, NEW_SUM, GRU_GATE_COUNT, count);
      addTo(binding, NEW_SUM, igates, hgates, GRU_GATE_COUNT, count);
      activateGate(tables[NEW_SUM]!, igates, NEW_SUM, GRU_GATE_COUNT, rows);
      blend(cell, binding, igates, count, h, hOffset + unit);
      continue;
    }
    for (let j = 0, i = 1; defers && j < count; j++, i += GRU_GATE_COUNT) {
      resetState[unit + j] = before[unit + j]!;
      deferred[2 * (unit + j)] = igates[i]!;
      deferred[2 * (unit + j) + 1] = igates[i + 1]!;
    }
    reset(binding, igates, resetState, unit, 1, count);
  }
  // The new gate of every unit reads the reset states of all units.
  for (let unit = newOutput === null ? hiddenSize : 0; unit < hiddenSize; unit += units) {
    const count = Math.min(units, hiddenSize - unit);
    for (let j = 0, i = 1; defers && j < count; j++, i += GRU_GATE_COUNT) {
      igates[i] = deferred[2 * (unit + j)]!;
      igates[i + 1] = deferred[2 * (unit + j) + 1]!;
    }
    dotRows(newOutput!.rows, unit, unit + (count + 1 & ~1), resetState, hgates);
    projectSums(newOutput!.projection, unit, hgates, count);
    addTo(binding, NEW_SUM, igates, hgates, 1, count);
    activateGate(tables[NEW_SUM]!, igates, NEW_SUM, GRU_GATE_COUNT, GRU_GATE_COUNT * count);
    blend(cell, binding, igates, count, h, hOffset + unit);
  }
}
