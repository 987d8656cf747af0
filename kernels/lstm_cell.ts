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

/** Indices into {@linkcode LstmCell.constants}. Per gate: stride 8 from 0. */
const INPUT_SCALE = 0,
  HIDDEN_SCALE = 1,
  GATE_INVERSE = 2,
  GATE_LO = 3,
  GATE_HI = 4,
  FIXED_A = 5,
  FIXED_B = 6,
  FIXED_STEP = 7;
const FORGET_LO = 32, FORGET_HI = 33, FORGET_SCALE = 34;
const CANDIDATE_MULTIPLIER = 35,
  CANDIDATE_LO = 36,
  CANDIDATE_HI = 37,
  CANDIDATE_SCALE = 38;
const CELL_INVERSE = 39,
  CELL_LO = 40,
  CELL_HI = 41,
  CELL_FIXED_A = 42,
  CELL_FIXED_B = 43,
  CELL_FIXED_STEP = 44;
const HIDDEN_MULTIPLIER = 45, HIDDEN_LO = 46, HIDDEN_HI = 47;

/** Length of {@linkcode LstmCell.constants}. */
export const CELL_CONSTANTS = 48;

/** The constants' places by name, for whoever prepares a cell. */
export const CellConstant = {
  INPUT_SCALE,
  HIDDEN_SCALE,
  GATE_INVERSE,
  GATE_LO,
  GATE_HI,
  FIXED_A,
  FIXED_B,
  FIXED_STEP,
  FORGET_LO,
  FORGET_HI,
  FORGET_SCALE,
  CANDIDATE_MULTIPLIER,
  CANDIDATE_LO,
  CANDIDATE_HI,
  CANDIDATE_SCALE,
  CELL_INVERSE,
  CELL_LO,
  CELL_HI,
  CELL_FIXED_A,
  CELL_FIXED_B,
  CELL_FIXED_STEP,
  HIDDEN_MULTIPLIER,
  HIDDEN_LO,
  HIDDEN_HI,
} as const;

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

/**
 * Takes accumulators to what their projection gives, in place: quantized to its bounds, or float32.
 *
 * @param values Accumulators of rows `row` and on, a multiple of 4 of them.
 */
function projectSums(p: Projection, row: number, values: Float64Array, count: number): void {
  const { term, multiplier } = p;
  for (let gate = 0; gate < 4; gate++) {
    const lo = p.lo[gate], hi = p.hi[gate], quantized = lo === lo;
    for (let i = gate, at = row + gate; i < count; i += 4, at += 4) {
      let value = Math.fround(term[at] + values[i]);
      // A row whose bias takes more than a plain addition.
      if (value !== value) value = addBias("fbgemm", values[i], p.perChannel || !quantized, p.bias[at], p.scale[at]);
      value = Math.fround(value * multiplier[at]);
      if (quantized) {
        value = (value + ROUND_MAGIC) - ROUND_MAGIC;
        value = value < lo ? lo : value > hi ? hi : value;
      }
      values[i] = value;
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
    const at = gate * 8, fixed = (cell.fixedPoint >> gate & 1) === 1, table = cell.tables[gate];
    const exact = (cell.exactScale >> gate & 1) === 1;
    const lo = k[at + GATE_LO], hi = k[at + GATE_HI], inverse = k[at + GATE_INVERSE];
    const a = fixed ? k[at + FIXED_A] : k[at + INPUT_SCALE], b = fixed ? k[at + FIXED_B] : k[at + HIDDEN_SCALE];
    const step = k[at + FIXED_STEP], { data, first } = table, tabulated = data.length > 0;
    for (let i = gate; i < count; i += 4) {
      let sum: number;
      if (exact) {
        sum = (Math.fround(input[i] + hidden[i]) * inverse + ROUND_MAGIC) - ROUND_MAGIC;
      } else if (fixed) {
        sum = fixedPointSum(input[i], hidden[i], a, b, step);
      } else {
        sum = Math.fround(Math.fround(a * input[i]) + Math.fround(b * hidden[i]));
        sum = (Math.fround(sum * inverse) + ROUND_MAGIC) - ROUND_MAGIC;
      }
      sum = sum < lo ? lo : sum > hi ? hi : sum;
      const known = tabulated ? data[(sum - first) | 0] : NaN;
      out[i] = known === known ? known : lookup(table, sum);
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
  const forgetLo = k[FORGET_LO], forgetHi = k[FORGET_HI];
  const candidateMultiplier = k[CANDIDATE_MULTIPLIER], candidateLo = k[CANDIDATE_LO], candidateHi = k[CANDIDATE_HI];
  const a = fixed ? k[CELL_FIXED_A] : k[FORGET_SCALE], b = fixed ? k[CELL_FIXED_B] : k[CANDIDATE_SCALE];
  const inverse = k[CELL_INVERSE], step = k[CELL_FIXED_STEP], cellLo = k[CELL_LO], cellHi = k[CELL_HI];
  const hiddenMultiplier = k[HIDDEN_MULTIPLIER], hiddenLo = k[HIDDEN_LO], hiddenHi = k[HIDDEN_HI];
  const { data, first } = table, tabulated = data.length > 0;
  for (let unit = 0, i = 0; unit < count; unit++, i += 4) {
    let forgotten = Math.fround(Math.fround(gates[i + 1] * c[cOffset + unit]) * forgetMultiplier);
    forgotten = (forgotten + ROUND_MAGIC) - ROUND_MAGIC;
    forgotten = forgotten < forgetLo ? forgetLo : forgotten > forgetHi ? forgetHi : forgotten;
    let candidate = Math.fround(Math.fround(gates[i] * gates[i + 2]) * candidateMultiplier);
    candidate = (candidate + ROUND_MAGIC) - ROUND_MAGIC;
    candidate = candidate < candidateLo ? candidateLo : candidate > candidateHi ? candidateHi : candidate;
    let state: number;
    if (fixed) {
      state = fixedPointSum(forgotten, candidate, a, b, step);
    } else {
      state = Math.fround(Math.fround(a * forgotten) + Math.fround(b * candidate));
      state = (Math.fround(state * inverse) + ROUND_MAGIC) - ROUND_MAGIC;
    }
    state = state < cellLo ? cellLo : state > cellHi ? cellHi : state;
    c[cOffset + unit] = state;
    let tanh = tabulated ? data[(state - first) | 0] : NaN;
    if (tanh !== tanh) tanh = lookup(table, state);
    let hidden = Math.fround(Math.fround(gates[i + 3] * tanh) * hiddenMultiplier);
    hidden = (hidden + ROUND_MAGIC) - ROUND_MAGIC;
    h[hOffset + unit] = hidden < hiddenLo ? hiddenLo : hidden > hiddenHi ? hiddenHi : hidden;
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
