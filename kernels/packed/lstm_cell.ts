/**
 * One LSTM step on integers, fused and split, with any number of bits per part.
 *
 * All integers here are minus their zero points, so that no zero point occurs inside, and a state
 * of zeros is 0. The order of the gates is input, forget, cell, output; an array over the gates
 * holds unit after unit, four values each (`unit * 4 + gate`).
 *
 * @module
 */
import { type ActivationTable, lookup } from "../numeric/activation.ts";
import { ARRAYS_TOGETHER, dotRows, packedInput, type PackedRows, sumsLength } from "./pack.ts";
import { addRoundedToOdd } from "../numeric/requantize.ts";

/**
 * Converts the accumulators of a projection (W_ih x or W_hh h) to its output, with constants for
 * each gate and unit.
 */
export interface Projection {
  /** Bias in units of the accumulator. */
  readonly term: Float64Array;
  /** float32 multipliers from the accumulator to the output. */
  readonly multiplier: Float64Array;
  /**
   * Whether a row's bias needs more than a plain addition. Every term is then exact, and is added
   * with rounding to odd before the rounding to float32.
   */
  readonly exact: boolean;
  /**
   * Lower bounds of the output by gate, minus the zero point; NaN if the gate is not quantized. One
   * entry per gate, or four if all rows have the same bounds.
   */
  readonly lo: Float64Array;
  /** Upper bounds of the output by gate, minus the zero point. */
  readonly hi: Float64Array;
}

/**
 * Indices into {@linkcode LSTMCell.constants}. It begins with five sums (the four gates, then the
 * cell state), each of `SUM_SIZE` constants: the multipliers of its two terms (integers in fixed
 * point), the factor from the sum to its output (the reciprocal of its scale, or the step of the
 * fixed point), and its bounds minus the zero point.
 *
 * @example
 * ```ts
 * import { CELL_CONSTANTS, CELL_SUM, SUM_HI, SUM_SIZE } from "./lstm_cell.ts";
 * import { assert } from "@std/assert";
 * const index = CELL_SUM * SUM_SIZE + SUM_HI; // of the cell state's upper bound
 * assert(index < CELL_CONSTANTS);
 * ```
 */
export const SUM_A = 0;
/** Multiplier of a sum's second term. */
export const SUM_B = 1;
/** Factor of a sum: the reciprocal of the output's scale. */
export const SUM_FACTOR = 2;
/** Lower bound of a sum, minus the zero point. */
export const SUM_LO = 3;
/** Upper bound of a sum, minus the zero point. */
export const SUM_HI = 4;
/** Number of constants of a sum. */
export const SUM_SIZE = 5;

/** Index of the sum that is the cell state. */
export const CELL_SUM = 4;

/** Index of that sum's constants. */
const STATE = CELL_SUM * SUM_SIZE;

/**
 * Index of the constants of forget gate * cell state. Each of the three products has a multiplier
 * (the forget gate's is in the binding) and bounds.
 */
export const FORGET = 25;
/** Index of the constants of input gate * cell gate. */
export const CANDIDATE = 28;
/** Index of the constants of output gate * tanh(cell). */
export const HIDDEN = 31;
/** Offset of the lower bound, minus the zero point, in the constants of a product. */
export const PRODUCT_LO = 1;
/** Offset of the upper bound, minus the zero point, in the constants of a product. */
export const PRODUCT_HI = 2;

/** Length of {@linkcode LSTMCell.constants}. */
export const CELL_CONSTANTS = 34;

/** A cell that is ready to run: constants only, shared by all sessions. */
export interface LSTMCell {
  /** Number of units: the width of the cell state. */
  readonly hiddenSize: number;
  /** W_ih in the order of the gates array, or null if the projected input is given. */
  readonly inputRows: PackedRows | null;
  /** Converts W_ih x to `igates`; null if the projected input is given. */
  readonly inputProjection: Projection | null;
  /** W_hh in the order of the gates array. */
  readonly hiddenRows: PackedRows;
  /**
   * [{@linkcode CELL_CONSTANTS}] constants of sums and products, at the indices {@linkcode SUM_A}
   * and the following.
   */
  readonly constants: Float64Array;
  /** The sums in qnnpack's fixed point: bits 0 to 3 for the gates, bit 4 for the cell state. */
  readonly fixedPoint: number;
  /**
   * The gates whose sums are float32 values with one rounding less, bits 0 to 3: neither projection
   * is quantized, and the sum's scale is a power of two, so that the division by it is exact.
   */
  readonly exactScale: number;
  /** Activations of the four gates and of the cell state. */
  readonly tables: readonly ActivationTable[];
  /** W_hr of a cell with a projected hidden state (projSize), or null. */
  readonly hiddenOutput: {
    readonly rows: PackedRows;
    readonly projection: Projection;
    readonly size: number;
  } | null;
}

/**
 * Constants for the state in a step. They differ in the first step if the state has its own
 * qparams.
 */
export interface StateBinding {
  /** Converts W_hh h to `hgates`, for a hidden state with these qparams. */
  readonly hiddenProjection: Projection;
  /** The multiplier of forget gate times cell state. */
  readonly forgetMultiplier: number;
}

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

/**
 * Converts accumulators to the output of their projection, in place: quantized and clamped, or
 * float32.
 *
 * @param row First row, a multiple of the number of gates.
 * @param values Accumulators from row `row` on.
 *
 * @example
 * ```ts
 * import { projectSums } from "./lstm_cell.ts";
 * import { assertEquals } from "@std/assert";
 * const one = Float64Array.of(1), sums = Float64Array.of(40);
 * const lo = Float64Array.of(-9), hi = Float64Array.of(9);
 * projectSums({ term: one, multiplier: one, exact: false, lo, hi }, 0, sums, 1);
 * assertEquals(sums[0], 9);
 * ```
 */
export function projectSums(p: Projection, row: number, values: Float64Array, count: number): void {
  const { term, multiplier, exact } = p;
  const gates = p.lo.length;
  for (let gate = 0; gate < gates; gate++) {
    const lo = p.lo[gate]!;
    const hi = p.hi[gate]!;
    const isFloat = lo !== lo;
    // This loop makes no calls, so that engines keep the addresses of arrays in registers.
    for (let i = gate, at = row + gate; !exact && i < count; i += gates, at += gates) {
      const value = Math.fround(Math.fround(term[at]! + values[i]!) * multiplier[at]!);
      values[i] = isFloat ? value : quantized(value, lo, hi);
    }
    for (let i = gate, at = row + gate; exact && i < count; i += gates, at += gates) {
      const biased = Math.fround(addRoundedToOdd(term[at]!, Math.fround(values[i]!)));
      const value = Math.fround(biased * multiplier[at]!);
      values[i] = isFloat ? value : quantized(value, lo, hi);
    }
  }
}

/** Adds both projections of each gate, and quantizes the sum. `out` may be `input`. */
function addProjections(
  cell: LSTMCell,
  input: Float64Array,
  hidden: Float64Array,
  out: Float64Array,
  count: number,
): void {
  const { constants, exactScale, fixedPoint } = cell;
  for (let gate = 0, k = 0; gate < 4; gate++, k += SUM_SIZE) {
    const a = constants[k + SUM_A]!;
    const b = constants[k + SUM_B]!;
    const factor = constants[k + SUM_FACTOR]!;
    const lo = constants[k + SUM_LO]!;
    const hi = constants[k + SUM_HI]!;
    const fixed = (fixedPoint >> gate & 1) === 1;
    if ((exactScale >> gate & 1) === 1) {
      for (let i = gate; i < count; i += 4) {
        out[i] = quantized(Math.fround(input[i]! + hidden[i]!) * factor, lo, hi);
      }
    } else {
      for (let i = gate; i < count; i += 4) {
        out[i] = quantized(add(input[i]!, hidden[i]!, a, b, factor, fixed), lo, hi);
      }
    }
  }
}

/**
 * Applies one gate's activation, in place.
 *
 * @param gate Index of its first value; the following ones are `stride` apart.
 *
 * @example
 * ```ts
 * import { activationTable } from "../numeric/activation.ts";
 * import { activateGate } from "./lstm_cell.ts";
 * import { assertEquals } from "@std/assert";
 * const from = { scale: 0.1, zeroPoint: 0, quantMin: -128, quantMax: 127 };
 * const to = { scale: 1 / 256, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const gates = Float64Array.of(7, 0);
 * activateGate(activationTable("sigmoid", from, to), gates, 1, 2, 2);
 * assertEquals([...gates], [7, 128]);
 * ```
 */
export function activateGate(
  table: ActivationTable,
  gates: Float64Array,
  gate: number,
  stride: number,
  count: number,
): void {
  const { data, first, allocated } = table;
  for (let i = gate, tabulated = allocated ? count : 0; i < count; i += stride) {
    // This loop makes no calls, so that engines keep the addresses of arrays in registers.
    for (; i < tabulated; i += stride) {
      const out = data[(gates[i]! - first) | 0]!;
      if (out !== out) break;
      gates[i] = out;
    }
    // This output is not in the table yet.
    if (i < count) gates[i] = lookup(table, gates[i]!);
  }
}

/**
 * Computes cell and hidden states of units from their activated gates.
 *
 * @param gates [4 * count], unit after unit.
 * @param c Cell states of the units, from `cOffset`; overwritten.
 * @param h Receives the hidden states from `hOffset`.
 */
function finishUnits(
  cell: LSTMCell,
  binding: StateBinding,
  gates: Float64Array,
  count: number,
  c: Float64Array,
  cOffset: number,
  h: Float64Array,
  hOffset: number,
): void {
  // Read here instead of passed, because an engine may box a number that is an argument.
  const { forgetMultiplier } = binding;
  const { constants: k, fixedPoint, tables } = cell;
  const fixed = fixedPoint >> CELL_SUM === 1;
  const a = k[STATE + SUM_A]!;
  const b = k[STATE + SUM_B]!;
  const factor = k[STATE + SUM_FACTOR]!;
  const lo = k[STATE + SUM_LO]!;
  const hi = k[STATE + SUM_HI]!;
  const forgetLo = k[FORGET + PRODUCT_LO]!;
  const forgetHi = k[FORGET + PRODUCT_HI]!;
  const candidateMultiplier = k[CANDIDATE]!;
  const candidateLo = k[CANDIDATE + PRODUCT_LO]!;
  const candidateHi = k[CANDIDATE + PRODUCT_HI]!;
  const hiddenMultiplier = k[HIDDEN]!;
  const hiddenLo = k[HIDDEN + PRODUCT_LO]!;
  const hiddenHi = k[HIDDEN + PRODUCT_HI]!;
  const table = tables[CELL_SUM]!;
  const { data, first, allocated } = table;
  // Two loops instead of one: each operation waits for the one before it, so a processor overlaps
  // the work of successive units, and with a chain half as long it overlaps twice as many.
  for (let unit = 0, i = 0, at = cOffset; unit < count; unit++, i += 4, at++) {
    const forgotten = multiply(gates[i + 1]!, c[at]!, forgetMultiplier, forgetLo, forgetHi);
    const candidate = multiply(
      gates[i]!,
      gates[i + 2]!,
      candidateMultiplier,
      candidateLo,
      candidateHi,
    );
    c[at] = quantized(add(forgotten, candidate, a, b, factor, fixed), lo, hi);
  }
  for (let unit = 0, tabulated = allocated ? count : 0; unit < count; unit++) {
    let tanh = 0;
    // This loop makes no calls either.
    for (; unit < tabulated; unit++) {
      tanh = data[(c[cOffset + unit]! - first) | 0]!;
      if (tanh !== tanh) break;
      h[hOffset + unit] = multiply(
        gates[4 * unit + 3]!,
        tanh,
        hiddenMultiplier,
        hiddenLo,
        hiddenHi,
      );
    }
    if (unit >= count) break;
    // This output is not in the table yet.
    tanh = lookup(table, c[cOffset + unit]!);
    h[hOffset + unit] = multiply(gates[4 * unit + 3]!, tanh, hiddenMultiplier, hiddenLo, hiddenHi);
  }
}

/**
 * Scratch of a step. Split gates run some units at a time through all parts, so that no
 * intermediate of width 4 * hiddenSize is stored. Fused gates compute each part for all units.
 */
export interface LSTMScratch {
  /**
   * W_ih x + b_ih: four values of each unit that runs at a time, padded for {@linkcode dotRows}.
   */
  readonly igates: Float64Array;
  /** W_hh h + b_hh: of the same length as `igates`. */
  readonly hgates: Float64Array;
  /**
   * Their sums, then the activations, without padding; with split gates the same array as `igates`.
   */
  readonly gates: Float64Array;
  /** The operand of W_hh and W_hr: {@linkcode packedInput} of hiddenSize. */
  readonly h: number[];
  /** The hidden state before its projection, [hiddenSize]; of length 0 if it is not projected. */
  readonly unprojected: Float64Array;
}

/**
 * Number of blocks that split gates run in; each block costs .2 to .3 microseconds in every engine.
 */
function splitBlocks(hiddenSize: number): number {
  return Math.max(2, Math.ceil(hiddenSize / 64));
}

/** Number of units whose rows are whole groups of {@linkcode dotRows}. */
const UNITS_TOGETHER = ARRAYS_TOGETHER;

/**
 * Number of units that split gates run at a time.
 *
 * @param multiple Number of units whose rows are whole groups of {@linkcode dotRows}.
 *
 * @example
 * ```ts
 * import { splitUnits } from "./lstm_cell.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([splitUnits(64, 5), splitUnits(256, 5)], [35, 65]);
 * ```
 */
export function splitUnits(hiddenSize: number, multiple: number): number {
  return Math.ceil(hiddenSize / splitBlocks(hiddenSize) / multiple) * multiple;
}

/**
 * Creates scratch for the steps of a cell; cells of the same sizes may share it.
 *
 * @example
 * ```ts
 * import { lstmScratch } from "./lstm_cell.ts";
 * import { assertEquals } from "@std/assert";
 * const split = lstmScratch(64, 0, true), fused = lstmScratch(64, 0, false);
 * assertEquals([split.gates === split.igates, fused.gates === fused.igates], [true, false]);
 * assertEquals([split.gates.length, fused.gates.length], [4 * 35, 4 * 64]); // units at a time
 * ```
 */
export function lstmScratch(
  hiddenSize: number,
  projSize: number,
  splitGates: boolean,
): LSTMScratch {
  const units = splitGates ? splitUnits(hiddenSize, UNITS_TOGETHER) : hiddenSize;
  const igates = new Float64Array(Math.max(sumsLength(4 * units), SUMS_TOGETHER));
  return {
    igates,
    hgates: new Float64Array(igates.length),
    gates: splitGates ? igates : new Float64Array(4 * units),
    h: packedInput(hiddenSize),
    unprojected: new Float64Array(projSize > 0 ? hiddenSize : 0),
  };
}

/**
 * Max number of rows that {@linkcode projectRows} projects at a time, rounded down to whole units.
 * A multiple of 4, for the gates, and of the lengths from sumsLength.
 */
export const SUMS_TOGETHER = 20;

/**
 * Projects inputs: `out[offset + row]` receives row `row` of W x + b, quantized and clamped by the
 * projection, or in float32.
 *
 * @param sums Scratch of length {@linkcode SUMS_TOGETHER}.
 * @param count Number of rows.
 *
 * @example
 * ```ts
 * import { lowerProjection, orderRows, rowOrder } from "./lower.ts";
 * import { packRows } from "./pack.ts";
 * import { projectRows, SUMS_TOGETHER } from "./lstm_cell.ts";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(1, -2, 3, 4),
 *   outFeatures: 2,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(1),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const input = { scale: 0.5, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const order = rowOrder(2);
 * const map = { engine: "fbgemm", weight, bias: Float32Array.of(0, 1), order } as const;
 * const projection = lowerProjection(map, input, [null, null, null, null]);
 * const out = new Float32Array(2), x = [10, 20, 0, 0], sums = new Float64Array(SUMS_TOGETHER);
 * projectRows(packRows(orderRows(weight, order, 255)), projection, x, sums, out, 0, 2);
 * assertEquals([...out], [-15, 56]);
 * ```
 */
export function projectRows(
  rows: PackedRows,
  projection: Projection,
  x: readonly number[],
  sums: Float64Array,
  out: Float64Array | Float32Array,
  offset: number,
  count: number,
): void {
  // Whole units at a time.
  const together = SUMS_TOGETHER - SUMS_TOGETHER % projection.lo.length;
  for (let row = 0; row < count; row += together) {
    const end = Math.min(together, count - row);
    dotRows(rows, row, row + (end + 1 & ~1), x, sums);
    projectSums(projection, row, sums, end);
    for (let j = 0; j < end; j++) out[offset + row + j] = sums[j]!;
  }
}

/** The states of rows, one after another. */
export interface LSTMStates {
  /** Hidden states, [rows, hiddenSize or projSize]. */
  readonly h: Float64Array;
  /** Cell states, [rows, hiddenSize]. */
  readonly c: Float64Array;
}

/**
 * Runs one step, with split or fused gates depending on the scratch; the results are the same.
 *
 * @param cell The prepared cell.
 * @param binding Constants for h and c in this step.
 * @param x Input integers, packedInput(inputSize), or null with `projected`.
 * @param projected The projected input at `offset`, [4 * hiddenSize], from {@linkcode projectRows}.
 * @param states The state of `row` is overwritten.
 *
 * @example One unit whose weights are 1, in 16 bits
 * ```ts
 * import { bindState, lowerCell } from "./lower.ts";
 * import { lstmScratch, lstmStep } from "./lstm_cell.ts";
 * import { buildCell, buildTables } from "./program.ts";
 * import { assertAlmostEquals } from "@std/assert";
 * const weight = (inFeatures: number) => ({
 *   data: new Int8Array(4 * inFeatures).fill(64),
 *   outFeatures: 4,
 *   inFeatures,
 *   perChannel: false,
 *   scales: Float32Array.of(1 / 64),
 *   zeroPoints: Int32Array.of(0),
 * });
 * const weights = {
 *   weightIh: weight(1),
 *   weightHh: weight(1),
 *   weightHr: null,
 *   biasIh: null,
 *   biasHh: null,
 * };
 * const wide = {
 *   dtype: "qint32",
 *   scale: 2 ** -12,
 *   zeroPoint: 0,
 *   quantMin: -32768,
 *   quantMax: 32767,
 * } as const;
 * const unit = { ...wide, scale: 2 ** -16, quantMin: 0, quantMax: 65535 };
 * const parts = {
 *   igates: [null, null, null, null],
 *   hgates: [null, null, null, null],
 *   gates: [wide, wide, wide, wide],
 *   input_gate: unit,
 *   forget_gate: unit,
 *   cell_gate: { ...wide, scale: 2 ** -15 },
 *   output_gate: unit,
 *   fgate_cx: wide,
 *   igate_cgate: wide,
 *   fgate_cx_igate_cgate: wide,
 *   tanh_cy: { ...wide, scale: 2 ** -15 },
 *   ogate_cy: { ...wide, scale: 2 ** -15 },
 * };
 * const input = { scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 };
 * const source = { engine: "fbgemm", weights, parts } as const;
 * const { cell: program, tables } = lowerCell(source, input, 32768);
 * const cell = buildCell(program, buildTables(tables));
 * const binding = bindState(source, parts.ogate_cy, parts.fgate_cx_igate_cgate);
 * const h = new Float64Array(1), c = new Float64Array(1), x = [64, 0, 0, 0]; // 0.5
 * lstmStep(cell, binding, x, null, 0, { h, c }, 0, lstmScratch(1, 0, true));
 * const gate = 1 / (1 + Math.exp(-0.5)), state = gate * Math.tanh(0.5);
 * assertAlmostEquals(c[0]! * 2 ** -12, state, 2 ** -11);
 * assertAlmostEquals(h[0]! * 2 ** -15, gate * Math.tanh(state), 2 ** -11);
 * ```
 */
export function lstmStep(
  cell: LSTMCell,
  binding: StateBinding,
  x: readonly number[] | null,
  projected: Float32Array | null,
  offset: number,
  { h, c }: LSTMStates,
  row: number,
  scratch: LSTMScratch,
): void {
  const { hiddenSize, hiddenRows, hiddenOutput } = cell;
  const { igates, hgates, gates, h: before } = scratch;
  const units = gates.length >> 2;
  const size = hiddenOutput === null ? hiddenSize : hiddenOutput.size;
  const hOffset = row * size;
  const cOffset = row * hiddenSize;
  const out = hiddenOutput === null ? h : scratch.unprojected;
  const outOffset = hiddenOutput === null ? hOffset : 0;
  for (let j = 0; j < size; j++) before[j] = h[hOffset + j]!;
  for (let unit = 0; unit < hiddenSize; unit += units) {
    const at = 4 * unit;
    const count = Math.min(units, hiddenSize - unit);
    const rows = 4 * count;
    if (x !== null) {
      dotRows(cell.inputRows!, at, at + rows, x, igates);
      projectSums(cell.inputProjection!, at, igates, rows);
    } else {
      for (let i = 0; i < rows; i++) igates[i] = projected![offset + at + i]!;
    }
    dotRows(hiddenRows, at, at + rows, before, hgates);
    projectSums(binding.hiddenProjection, at, hgates, rows);
    addProjections(cell, igates, hgates, gates, rows);
    for (let gate = 0; gate < 4; gate++) activateGate(cell.tables[gate]!, gates, gate, 4, rows);
    finishUnits(cell, binding, gates, count, c, cOffset + unit, out, outOffset + unit);
  }
  if (hiddenOutput !== null) {
    for (let j = 0; j < hiddenSize; j++) before[j] = out[j]!;
    projectRows(hiddenOutput.rows, hiddenOutput.projection, before, hgates, h, hOffset, size);
  }
}
