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
import { dot8, type PackedRows } from "./pack.ts";
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

/** One projected value: accumulator to output, quantized or float32. */
function project(
  sum: number,
  row: number,
  gate: number,
  p: Projection,
): number {
  const term = p.term[row], lo = p.lo[gate];
  const value = term === term
    ? Math.fround(term + sum)
    : addBias("fbgemm", sum, p.perChannel || lo !== lo, p.bias[row], p.scale[row]);
  const scaled = Math.fround(value * p.multiplier[row]);
  if (lo !== lo) return scaled;
  const rounded = (scaled + ROUND_MAGIC) - ROUND_MAGIC, hi = p.hi[gate];
  return rounded < lo ? lo : rounded > hi ? hi : rounded;
}

/** The sum of both projections of a gate, quantized. */
function addGate(
  input: number,
  hidden: number,
  gate: number,
  k: Float64Array,
  fixedPoint: number,
): number {
  const at = gate * 8, lo = k[at + GATE_LO], hi = k[at + GATE_HI];
  let sum: number;
  if (fixedPoint >> gate & 1) {
    sum = fixedPointSum(
      input,
      hidden,
      k[at + FIXED_A],
      k[at + FIXED_B],
      k[at + FIXED_STEP],
    );
  } else {
    sum = Math.fround(
      Math.fround(k[at + INPUT_SCALE] * input) +
        Math.fround(k[at + HIDDEN_SCALE] * hidden),
    );
    sum = (Math.fround(sum * k[at + GATE_INVERSE]) + ROUND_MAGIC) - ROUND_MAGIC;
  }
  return sum < lo ? lo : sum > hi ? hi : sum;
}

/** A quantized product: `clamp(rne(f(f(a * b) * multiplier)))`. */
function multiply(
  a: number,
  b: number,
  multiplier: number,
  lo: number,
  hi: number,
): number {
  const rounded = (Math.fround(Math.fround(a * b) * multiplier) + ROUND_MAGIC) -
    ROUND_MAGIC;
  return rounded < lo ? lo : rounded > hi ? hi : rounded;
}

/** Cell state at `c[at]` and hidden state (returned) of one unit from its four gates' sums. */
function finishUnit(
  cell: LstmCell,
  forgetMultiplier: number,
  gateI: number,
  gateF: number,
  gateG: number,
  gateO: number,
  c: Float64Array,
  at: number,
): number {
  const k = cell.constants, tables = cell.tables;
  const forgotten = multiply(
    lookup(tables[1], gateF),
    c[at],
    forgetMultiplier,
    k[FORGET_LO],
    k[FORGET_HI],
  );
  const candidate = multiply(
    lookup(tables[0], gateI),
    lookup(tables[2], gateG),
    k[CANDIDATE_MULTIPLIER],
    k[CANDIDATE_LO],
    k[CANDIDATE_HI],
  );
  let sum: number;
  if (cell.fixedPoint & 16) {
    sum = fixedPointSum(
      forgotten,
      candidate,
      k[CELL_FIXED_A],
      k[CELL_FIXED_B],
      k[CELL_FIXED_STEP],
    );
  } else {
    sum = Math.fround(
      Math.fround(k[FORGET_SCALE] * forgotten) +
        Math.fround(k[CANDIDATE_SCALE] * candidate),
    );
    sum = (Math.fround(sum * k[CELL_INVERSE]) + ROUND_MAGIC) - ROUND_MAGIC;
  }
  const lo = k[CELL_LO],
    hi = k[CELL_HI],
    state = sum < lo ? lo : sum > hi ? hi : sum;
  c[at] = state;
  return multiply(
    lookup(tables[3], gateO),
    lookup(tables[4], state),
    k[HIDDEN_MULTIPLIER],
    k[HIDDEN_LO],
    k[HIDDEN_HI],
  );
}

/** Scratch of {@linkcode lstmStepSplit}. */
export interface SplitScratch {
  /** [8] each: the accumulators of a pair of units. */
  readonly input: Float64Array;
  readonly hidden: Float64Array;
  /** The hidden state that the step starts from, [hiddenSize] or [projSize]. */
  readonly h: Float64Array;
  /** The hidden state before its projection, [hiddenSize]; of length 0 where it is not projected. */
  readonly unprojected: Float64Array;
}

/** Scratch of {@linkcode lstmStepFused}. */
export interface FusedScratch extends SplitScratch {
  /** [4 * hiddenSize] each. */
  readonly igates: Float64Array;
  readonly hgates: Float64Array;
  readonly gates: Float64Array;
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
  for (let group = 0, row = 0; row < count; group++) {
    dot8(rows, group, x, sums);
    for (let j = 0; j < 8 && row < count; j++, row++) {
      out[offset + row] = project(sums[j], row, j & 3, projection);
    }
  }
}

/** Takes the hidden state out of the state before a step overwrites it. */
function loadHidden(h: Float64Array, hOffset: number, scratch: SplitScratch): void {
  const { h: from } = scratch;
  for (let j = 0; j < from.length; j++) from[j] = h[hOffset + j];
}

/** Projects the new hidden state (projSize) into the state, where the cell does so. */
function projectHidden(cell: LstmCell, h: Float64Array, hOffset: number, scratch: SplitScratch): void {
  const { hiddenOutput } = cell;
  if (hiddenOutput === null) return;
  const { rows, projection, size } = hiddenOutput;
  projectRows(rows, projection, scratch.unprojected, scratch.hidden, h, hOffset, size);
}

/**
 * One step with split gates: the four gates of two units run together, each pair is added on its own, and the
 * units are finished to h and c at once. No array over the gates exists.
 *
 * @param cell The prepared cell.
 * @param binding How h and c enter this step.
 * @param x Input integers [inputSize], or null with `projected`.
 * @param projected The projected input at `offset`, [4 * hiddenSize] as {@linkcode projectRows} leaves it.
 * @param h Hidden state [hiddenSize] (or [projSize]) at `hOffset`, overwritten.
 * @param c Cell state [hiddenSize] at `cOffset`, overwritten.
 */
export function lstmStepSplit(
  cell: LstmCell,
  binding: StateBinding,
  x: Float64Array | null,
  projected: Float32Array | null,
  offset: number,
  h: Float64Array,
  hOffset: number,
  c: Float64Array,
  cOffset: number,
  scratch: SplitScratch,
): void {
  const { hiddenSize, hiddenRows, inputRows, inputProjection, constants, fixedPoint, hiddenOutput } = cell;
  const { hiddenProjection, forgetMultiplier } = binding;
  const { input, hidden } = scratch;
  const out = hiddenOutput === null ? h : scratch.unprojected, outOffset = hiddenOutput === null ? hOffset : 0;
  loadHidden(h, hOffset, scratch);
  for (let unit = 0, group = 0; unit < hiddenSize; group++) {
    if (x !== null) dot8(inputRows!, group, x, input);
    dot8(hiddenRows, group, scratch.h, hidden);
    for (let j = 0; j < 8 && unit < hiddenSize; j += 4, unit++) {
      const row = unit * 4, at = offset + row;
      const i = x !== null ? project(input[j], row, 0, inputProjection!) : projected![at];
      const f = x !== null ? project(input[j + 1], row + 1, 1, inputProjection!) : projected![at + 1];
      const g = x !== null ? project(input[j + 2], row + 2, 2, inputProjection!) : projected![at + 2];
      const o = x !== null ? project(input[j + 3], row + 3, 3, inputProjection!) : projected![at + 3];
      out[outOffset + unit] = finishUnit(
        cell,
        forgetMultiplier,
        addGate(i, project(hidden[j], row, 0, hiddenProjection), 0, constants, fixedPoint),
        addGate(f, project(hidden[j + 1], row + 1, 1, hiddenProjection), 1, constants, fixedPoint),
        addGate(g, project(hidden[j + 2], row + 2, 2, hiddenProjection), 2, constants, fixedPoint),
        addGate(o, project(hidden[j + 3], row + 3, 3, hiddenProjection), 3, constants, fixedPoint),
        c,
        cOffset + unit,
      );
    }
  }
  projectHidden(cell, h, hOffset, scratch);
}

/**
 * One step with fused gates: both projections of width 4 * hiddenSize, then their sum, then the units.
 * Parameters as {@linkcode lstmStepSplit}; the results are the same.
 */
export function lstmStepFused(
  cell: LstmCell,
  binding: StateBinding,
  x: Float64Array | null,
  projected: Float32Array | null,
  offset: number,
  h: Float64Array,
  hOffset: number,
  c: Float64Array,
  cOffset: number,
  scratch: FusedScratch,
): void {
  const { hiddenSize, constants, fixedPoint, hiddenOutput } = cell, count = hiddenSize * 4;
  const { input, hidden, igates, hgates, gates } = scratch;
  const out = hiddenOutput === null ? h : scratch.unprojected, outOffset = hiddenOutput === null ? hOffset : 0;
  loadHidden(h, hOffset, scratch);
  if (x !== null) {
    projectRows(cell.inputRows!, cell.inputProjection!, x, input, igates, 0, count);
  } else {
    for (let row = 0; row < count; row++) igates[row] = projected![offset + row];
  }
  projectRows(cell.hiddenRows, binding.hiddenProjection, scratch.h, hidden, hgates, 0, count);
  for (let row = 0; row < count; row++) {
    gates[row] = addGate(igates[row], hgates[row], row & 3, constants, fixedPoint);
  }
  for (let unit = 0, row = 0; unit < hiddenSize; unit++, row += 4) {
    out[outOffset + unit] = finishUnit(
      cell,
      binding.forgetMultiplier,
      gates[row],
      gates[row + 1],
      gates[row + 2],
      gates[row + 3],
      c,
      cOffset + unit,
    );
  }
  projectHidden(cell, h, hOffset, scratch);
}
