/**
 * One GRU step on integers, fused and split, with any number of bits a part. A gate's sum takes the
 * place of its term; split gates take some units at a time.
 *
 * All integers here stand less their zero points. Gates come in the order reset, update, new; an
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

// As in lstm_cell.ts, and not from there: V8 looks at each use what an imported or exported
// function is, does not inline it in long loops, and boxes its result.

/** Rounds half to even, within bounds; x is not NaN. */
function quantized(x: number, lo: number, hi: number): number {
  // ROUND_MAGIC, written out: V8 reads what is imported, and looks what it is, at each use.
  let rounded = (x + 6755399441055744) - 6755399441055744;
  // One branch that is hardly ever taken: half the time of clamping to each side in turn.
  if (!(rounded >= lo && rounded <= hi)) rounded = rounded < lo ? lo : hi;
  return rounded;
}

/** A product, quantized: `f(f(a * b) * multiplier)` rounded and clamped. */
function multiply(a: number, b: number, multiplier: number, lo: number, hi: number): number {
  return quantized(Math.fround(Math.fround(a * b) * multiplier), lo, hi);
}

/** A sum, not clamped yet; the parameters are those of `LSTMCell.constants`. */
function add(
  x: number,
  y: number,
  a: number,
  b: number,
  factor: number,
  fixed: boolean,
): number {
  if (!fixed) return Math.fround(Math.fround(Math.fround(a * x) + Math.fround(b * y)) * factor);
  // As fixedPointSum; a call from here would not be inlined, and box its result.
  const scaled = (a * x + b * y) / factor;
  return scaled < 0 ? 0 - Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
}

/** Gates of a unit. */
export const GRU_GATE_COUNT = 3;

/** Index of the sum that the new gate's function reads; those of the others stand before it. */
const NEW_SUM = 2;
/** Index of the hidden state less the new gate, or of the reverse. */
export const CHANGE_SUM = 3;
/** Index of the sum that is the new hidden state. */
export const STATE_SUM = 4;
/**
 * Where the constants of the reset gate's product begin: its scale where the other factor is
 * float32, else 1; multiplier and bounds.
 */
export const RESET_PRODUCT = 25;
/** Where those of the update gate's product begin: multiplier and bounds. */
export const UPDATE_PRODUCT = 29;
/** Length of {@linkcode GRUBinding.constants}. */
export const GRU_CONSTANTS = 32;

/** A cell made ready to run: constants only, shared by all sessions. */
export interface GRUCell {
  /** Units. */
  readonly hiddenSize: number;
  /** W_ih in the order of the gates array, or null where the projected input is given. */
  readonly inputRows: PackedRows | null;
  /** What takes W_ih x to `igates`; null where the projected input is given. */
  readonly inputProjection: Projection | null;
  /** W_hh in the order of the gates array; without the new gate where the state is reset first. */
  readonly hiddenRows: PackedRows;
  /**
   * Where the reset gate multiplies h: W_hn, and what takes its sums to what the new gate reads;
   * null where it multiplies the product.
   */
  readonly newOutput: { readonly rows: PackedRows; readonly projection: Projection } | null;
  /** Whether the update gate says how much of the new gate enters. */
  readonly complementedUpdate: boolean;
  /** Activations of the three gates. */
  readonly tables: readonly ActivationTable[];
}

/**
 * How the state enters a step: it differs at the first one, where the state has qparams of its own.
 */
export interface GRUBinding {
  /** What takes W_hh h to `hgates`, for a hidden state of these parameters. */
  readonly hiddenProjection: Projection;
  /**
   * [{@linkcode GRU_CONSTANTS}]: five sums as those of an LSTM's cell, then two products. Of the
   * sum at {@linkcode CHANGE_SUM} the terms are the hidden state and the new gate, one of them with
   * a negative multiplier.
   */
  readonly constants: Float64Array;
  /** Which sums are qnnpack's fixed point, a bit each. */
  readonly fixedPoint: number;
}

/**
 * What a step works in. With split gates some units at a time go through all parts, so that no
 * intermediate of width 3 * hiddenSize is kept; fused gates make each part's values of all units,
 * and so do split ones that reset the state first where the units are few.
 */
export interface GRUScratch {
  /**
   * W_ih x + b_ih, then what the gates give: three values of each unit that is taken at a time, and
   * room for {@linkcode dotRows}.
   */
  readonly igates: Float64Array;
  /** W_hh h + b_hh: as long. */
  readonly hgates: Float64Array;
  /** What is multiplied by W_hh: {@linkcode packedInput} of hiddenSize. */
  readonly h: number[];
  /**
   * Where the state is reset first, what is multiplied by W_hn: as long, and `h` itself where all
   * units are taken at once.
   */
  readonly resetState: number[];
  /**
   * What units keep until then where they are not: update gates, and what the input gives the new
   * gate, in pairs; else of length 0.
   */
  readonly kept: Float64Array;
}

/** Units whose rows, of any number of gates, are whole groups of {@linkcode dotRows}. */
const UNITS_TOGETHER = 2 * ARRAYS_TOGETHER;

/**
 * Scratch for the steps of a cell; its cells may share it where their sizes are the same.
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
  // What units keep until all states are reset takes as much as a third of what all units need: of
  // few units that and the blocks would be more.
  const divides = splitGates && (!resetFirst || hiddenSize >= 3 * UNITS_TOGETHER);
  const size = sumsLength(GRU_GATE_COUNT * (divides ? some : hiddenSize));
  const keeps = resetFirst && divides;
  const h = packedInput(hiddenSize);
  return {
    igates: new Float64Array(size),
    hgates: new Float64Array(size),
    h,
    resetState: keeps ? packedInput(hiddenSize) : h,
    kept: new Float64Array(keeps ? 2 * hiddenSize : 0),
  };
}

/** Adds what the hidden state gives to one gate's share of `gates`, and quantizes the sums. */
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

/** Multiplies values with the reset gate, in place, and quantizes the products. */
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

/** From the update and new gates to the hidden state, which is replaced. */
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
    const kept = multiply(gates[i + 1]!, moved, multiplier, productLo, productHi);
    const from = complementedUpdate ? before : entering;
    h[at] = quantized(add(kept, from, a, b, factor, fixed), lo, hi);
  }
}

/** The states of rows, one after the other. */
export interface GRUStates {
  /** Hidden states, [rows, hiddenSize]. */
  readonly h: Float64Array;
}

/**
 * One step, with split or fused gates as the scratch is made: the results are the same.
 *
 * @param cell The prepared cell.
 * @param binding How h enters this step.
 * @param x Input integers, packedInput(inputSize), or null with `projected`.
 * @param projected The projected input at `offset`, [3 * hiddenSize].
 * @param states Of which row `row` is overwritten.
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
  const { igates, hgates, h: before, resetState, kept } = scratch;
  const units = Math.min(hiddenSize, (igates.length / GRU_GATE_COUNT) | 0);
  const gates = newOutput === null ? GRU_GATE_COUNT : NEW_SUM;
  const keeps = kept.length > 0;
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
    for (let j = 0, i = 1; keeps && j < count; j++, i += GRU_GATE_COUNT) {
      resetState[unit + j] = before[unit + j]!;
      kept[2 * (unit + j)] = igates[i]!;
      kept[2 * (unit + j) + 1] = igates[i + 1]!;
    }
    reset(binding, igates, resetState, unit, 1, count);
  }
  // Every unit's new gate reads the reset states of all.
  for (let unit = newOutput === null ? hiddenSize : 0; unit < hiddenSize; unit += units) {
    const count = Math.min(units, hiddenSize - unit);
    for (let j = 0, i = 1; keeps && j < count; j++, i += GRU_GATE_COUNT) {
      igates[i] = kept[2 * (unit + j)]!;
      igates[i + 1] = kept[2 * (unit + j) + 1]!;
    }
    dotRows(newOutput!.rows, unit, unit + (count + 1 & ~1), resetState, hgates);
    projectSums(newOutput!.projection, unit, hgates, count);
    addTo(binding, NEW_SUM, igates, hgates, 1, count);
    activateGate(tables[NEW_SUM]!, igates, NEW_SUM, GRU_GATE_COUNT, GRU_GATE_COUNT * count);
    blend(cell, binding, igates, count, h, hOffset + unit);
  }
}
