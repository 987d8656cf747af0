/**
 * One LSTM step on integers, fused and split, with any number of bits a part.
 *
 * All integers here stand less their zero points: then no zero point is met inside, and a state of zeros is 0.
 * Gates come in the order input, forget, cell, output; an array over the gates holds unit after unit, four
 * values each (`unit * 4 + gate`).
 *
 * @module
 */
import { type ActivationTable, lookup } from "./activation.ts";
import { fixedPointSum } from "./elementwise.ts";
import { addBias } from "./linear.ts";
import { dotRows, packedLength, type PackedRows } from "./pack.ts";
import { ROUND_MAGIC } from "./requantize.ts";

/** What takes the accumulators of one projection (W_ih x or W_hh h) to its output: one value a gate and unit. */
export interface Projection {
  /** Bias in units of the accumulator, or NaN where a plain addition is not enough. */
  readonly term: Float64Array;
  /** float32 multipliers from the accumulator to the output. */
  readonly multiplier: Float64Array;
  /** For rows whose term is NaN: the float bias and the accumulator's scale. */
  readonly bias: Float64Array;
  readonly scale: Float64Array;
  readonly perChannel: boolean;
  /** Bounds of the output by gate, less the zero point; lower bounds of NaN where it is not quantized. */
  readonly lo: Float64Array;
  readonly hi: Float64Array;
}

/**
 * Places in {@linkcode LstmCell.constants}: first the five sums (the four gates, then the cell state), `SUM_SIZE` apart,
 * each with the multipliers of its two terms (or, in fixed point, its integer multipliers), what takes the sum to its
 * output (the reciprocal of its scale; the fixed point's step), and its bounds less the zero point.
 */
export const SUM_A = 0, SUM_B = 1, SUM_FACTOR = 2, SUM_LO = 3, SUM_HI = 4, SUM_SIZE = 5;

/** Which sum is the cell state. */
export const CELL_SUM = 4;

/** Then three products: a multiplier (the forget gate's stands in the binding) and bounds. */
export const FORGET = 25, CANDIDATE = 28, HIDDEN = 31, PRODUCT_LO = 1, PRODUCT_HI = 2;

/** Length of {@linkcode LstmCell.constants}. */
export const CELL_CONSTANTS = 34;

/** A cell made ready to run: constants only, shared by all sessions. */
export interface LstmCell {
  readonly hiddenSize: number;
  /** W_ih in the order of the gates array, or null where the projected input is given. */
  readonly inputRows: PackedRows | null;
  readonly inputProjection: Projection | null;
  readonly hiddenRows: PackedRows;
  readonly constants: Float64Array;
  /** Which sums are qnnpack's fixed point: bits 0 to 3 the gates, bit 4 the cell state. */
  readonly fixedPoint: number;
  /**
   * Which gates' sums are float32 values less one rounding, bits 0 to 3: neither projection is quantized, and the sum's
   * scale is a power of two, so that dividing by it is exact.
   */
  readonly exactScale: number;
  /** Activations of the four gates and of the cell state. */
  readonly tables: readonly ActivationTable[];
  /** W_hr of a cell whose hidden state is projected (projSize), or null. */
  readonly hiddenOutput: { readonly rows: PackedRows; readonly projection: Projection; readonly size: number } | null;
}

/**
 * How the state enters a step: it differs at the first one, where the state has qparams of its own.
 */
export interface StateBinding {
  readonly hiddenProjection: Projection;
  /** The multiplier of forget gate times cell state. */
  readonly forgetMultiplier: number;
}

/** Rounds half to even, within bounds. */
function quantized(x: number, lo: number, hi: number): number {
  const rounded = (x + ROUND_MAGIC) - ROUND_MAGIC;
  return rounded < lo ? lo : rounded > hi ? hi : rounded;
}

/** A product, quantized: `f(f(a * b) * multiplier)` rounded and clamped. */
function multiply(a: number, b: number, multiplier: number, lo: number, hi: number): number {
  return quantized(Math.fround(Math.fround(a * b) * multiplier), lo, hi);
}

/** A sum, not clamped yet; the parameters are those of `LstmCell.constants`. */
function add(x: number, y: number, a: number, b: number, factor: number, fixed: boolean): number {
  return fixed
    ? fixedPointSum(x, y, a, b, factor)
    : Math.fround(Math.fround(Math.fround(a * x) + Math.fround(b * y)) * factor);
}

/**
 * Takes accumulators to what their projection gives, in place: quantized to its bounds, or float32.
 *
 * @param values Accumulators of rows `row` and on, a multiple of 4 of them.
 */
function projectSums(p: Projection, row: number, values: Float64Array, count: number): void {
  const { term, multiplier } = p;
  for (let gate = 0; gate < 4; gate++) {
    const lo = p.lo[gate], hi = p.hi[gate], isFloat = lo !== lo;
    for (let i = gate, at = row + gate; i < count; i += 4, at += 4) {
      // No call in here: then engines keep the arrays' addresses in registers.
      for (; i < count; i += 4, at += 4) {
        const value = Math.fround(Math.fround(term[at] + values[i]) * multiplier[at]);
        if (value !== value) break;
        values[i] = isFloat ? value : quantized(value, lo, hi);
      }
      if (i >= count) break;
      // A row whose bias takes more than a plain addition.
      const sum = addBias("fbgemm", values[i], p.perChannel || isFloat, p.bias[at], p.scale[at]);
      const value = Math.fround(sum * multiplier[at]);
      values[i] = isFloat ? value : quantized(value, lo, hi);
    }
  }
}

/**
 * Adds both projections of each gate, quantizes the sum, and applies the gate's activation: `out` receives the
 * activated gates. It may be `input`.
 */
function addGates(
  cell: LstmCell,
  input: Float64Array,
  hidden: Float64Array,
  out: Float64Array,
  count: number,
): void {
  const k = cell.constants;
  for (let gate = 0; gate < 4; gate++) {
    const fixed = (cell.fixedPoint >> gate & 1) === 1, exact = (cell.exactScale >> gate & 1) === 1;
    const at = gate * SUM_SIZE, a = k[at], b = k[at + SUM_B], factor = k[at + SUM_FACTOR];
    const lo = k[at + SUM_LO], hi = k[at + SUM_HI], table = cell.tables[gate], { data, first } = table;
    const tabulated = data.length > 0 ? count : 0;
    for (let i = gate; i < count; i += 4) {
      let sum = 0;
      for (; i < tabulated; i += 4) {
        sum = exact ? Math.fround(input[i] + hidden[i]) * factor : add(input[i], hidden[i], a, b, factor, fixed);
        sum = quantized(sum, lo, hi);
        const activated = data[(sum - first) | 0];
        if (activated !== activated) break;
        out[i] = activated;
      }
      if (i >= count) break;
      // An output that is not known yet.
      sum = exact ? Math.fround(input[i] + hidden[i]) * factor : add(input[i], hidden[i], a, b, factor, fixed);
      out[i] = lookup(table, quantized(sum, lo, hi));
    }
  }
}

/**
 * Finishes units: from their activated gates to cell state and hidden state.
 *
 * @param gates [4 * count], unit after unit.
 * @param c Cell states of the units, from `cOffset`; overwritten.
 * @param h Receives the hidden states from `hOffset`.
 */
function finishUnits(
  cell: LstmCell,
  forgetMultiplier: number,
  gates: Float64Array,
  count: number,
  c: Float64Array,
  cOffset: number,
  h: Float64Array,
  hOffset: number,
): void {
  const k = cell.constants, table = cell.tables[4], fixed = (cell.fixedPoint & 16) !== 0;
  const at = CELL_SUM * SUM_SIZE, a = k[at], b = k[at + SUM_B], factor = k[at + SUM_FACTOR];
  const lo = k[at + SUM_LO], hi = k[at + SUM_HI], forgetLo = k[FORGET + PRODUCT_LO], forgetHi = k[FORGET + PRODUCT_HI];
  const candidateLo = k[CANDIDATE + PRODUCT_LO], candidateHi = k[CANDIDATE + PRODUCT_HI];
  const candidateMultiplier = k[CANDIDATE], hiddenMultiplier = k[HIDDEN];
  const hiddenLo = k[HIDDEN + PRODUCT_LO], hiddenHi = k[HIDDEN + PRODUCT_HI];
  const { data, first } = table, tabulated = data.length > 0 ? count : 0;
  for (let unit = 0, i = 0; unit < count; unit++, i += 4) {
    let state = 0, tanh = 0;
    for (; unit < count; unit++, i += 4) {
      const forgotten = multiply(gates[i + 1], c[cOffset + unit], forgetMultiplier, forgetLo, forgetHi);
      const candidate = multiply(gates[i], gates[i + 2], candidateMultiplier, candidateLo, candidateHi);
      state = quantized(add(forgotten, candidate, a, b, factor, fixed), lo, hi);
      if (unit >= tabulated) break;
      tanh = data[(state - first) | 0];
      if (tanh !== tanh) break;
      c[cOffset + unit] = state;
      h[hOffset + unit] = multiply(gates[i + 3], tanh, hiddenMultiplier, hiddenLo, hiddenHi);
    }
    if (unit >= count) break;
    // An output that is not known yet.
    tanh = lookup(table, state);
    c[cOffset + unit] = state;
    h[hOffset + unit] = multiply(gates[i + 3], tanh, hiddenMultiplier, hiddenLo, hiddenHi);
  }
}

/**
 * What a step works in. Split gates take a few units at a time through all parts; fused gates all of them, which
 * needs the intermediates of width 4 * hiddenSize.
 */
export interface LstmScratch {
  /** Units that run together, a multiple of 2. */
  readonly block: number;
  /** [4 * block] each. `gates` is `igates` itself with split gates, where nothing is kept. */
  readonly igates: Float64Array;
  readonly hgates: Float64Array;
  readonly gates: Float64Array;
  /** The hidden state that the step starts from: {@linkcode packedLength} of its width. */
  readonly h: Float64Array;
  /** The hidden state before its projection, packedLength(hiddenSize); of length 0 where it is not projected. */
  readonly unprojected: Float64Array;
}

/** Most units that a step with split gates takes at a time: few enough to stay in the nearest cache. */
const SPLIT_BLOCK = 32;

/** Scratch for the steps of a cell; its cells may share it where their sizes are the same. */
export function lstmScratch(hiddenSize: number, projSize: number, splitGates: boolean): LstmScratch {
  const all = packedLength(hiddenSize), few = Math.min(SPLIT_BLOCK, Math.max(2, (hiddenSize >> 2) * 2));
  const block = splitGates ? few : all, igates = new Float64Array(4 * block);
  return {
    block,
    igates,
    hgates: new Float64Array(4 * block),
    gates: splitGates ? igates : new Float64Array(4 * block),
    h: new Float64Array(packedLength(projSize || hiddenSize)),
    unprojected: new Float64Array(projSize > 0 ? all : 0),
  };
}

/**
 * Projects inputs: `out[offset + row]` receives row `row` of W x + b, quantized to the projection's bounds or
 * float32.
 *
 * @param sums Scratch [8].
 * @param count Number of rows.
 */
export function projectRows(
  rows: PackedRows,
  projection: Projection,
  x: Float64Array,
  sums: Float64Array,
  out: Float64Array | Float32Array,
  offset: number,
  count: number,
): void {
  for (let row = 0; row < count; row += 8) {
    dotRows(rows, row >> 3, (row >> 3) + 1, x, sums);
    projectSums(projection, row, sums, 8);
    for (let j = 0, end = Math.min(8, count - row); j < end; j++) out[offset + row + j] = sums[j];
  }
}

/**
 * One step, with split or fused gates as the scratch is made: the results are the same.
 *
 * @param cell The prepared cell.
 * @param binding How h and c enter this step.
 * @param x Input integers, packedLength(inputSize), or null with `projected`.
 * @param projected The projected input at `offset`, [4 * hiddenSize] as {@linkcode projectRows} leaves it.
 * @param h Hidden state [hiddenSize] (or [projSize]) at `hOffset`, overwritten.
 * @param c Cell state [hiddenSize] at `cOffset`, overwritten.
 */
export function lstmStep(
  cell: LstmCell,
  binding: StateBinding,
  x: Float64Array | null,
  projected: Float32Array | null,
  offset: number,
  h: Float64Array,
  hOffset: number,
  c: Float64Array,
  cOffset: number,
  scratch: LstmScratch,
): void {
  const { hiddenSize, hiddenRows, hiddenOutput } = cell, { block, igates, hgates, gates, h: before } = scratch;
  const out = hiddenOutput === null ? h : scratch.unprojected, outOffset = hiddenOutput === null ? hOffset : 0;
  const size = hiddenOutput === null ? hiddenSize : hiddenOutput.size;
  for (let j = 0; j < size; j++) before[j] = h[hOffset + j];
  for (let unit = 0; unit < hiddenSize; unit += block) {
    const units = Math.min(block, hiddenSize - unit), count = units * 4, row = unit * 4;
    const group = unit >> 1, end = (unit + units + 1) >> 1;
    if (x !== null) {
      dotRows(cell.inputRows!, group, end, x, igates);
      projectSums(cell.inputProjection!, row, igates, count);
    } else {
      for (let i = 0; i < count; i++) igates[i] = projected![offset + row + i];
    }
    dotRows(hiddenRows, group, end, before, hgates);
    projectSums(binding.hiddenProjection, row, hgates, count);
    addGates(cell, igates, hgates, gates, count);
    finishUnits(cell, binding.forgetMultiplier, gates, units, c, cOffset + unit, out, outOffset + unit);
  }
  if (hiddenOutput !== null) {
    projectRows(hiddenOutput.rows, hiddenOutput.projection, scratch.unprojected, hgates, h, hOffset, size);
  }
}
