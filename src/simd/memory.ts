/**
 * The memory of the WebAssembly kernels, and the code that writes a cell's constants into it. The
 * layout is in kernels/simd/layout.ts; kernels/simd/lstm.as reads it.
 *
 * @module
 */
import { quantizedActivation, SMALL_TABLE } from "../../kernels/numeric/activation.ts";
import type { Activation } from "../../kernels/numeric/float_functions.ts";
import {
  CANDIDATE,
  CELL_SUM,
  FORGET,
  HIDDEN,
  PRODUCT_HI,
  PRODUCT_LO,
  type Projection,
  type StateBinding,
  SUM_A,
  SUM_B,
  SUM_FACTOR,
  SUM_HI,
  SUM_LO,
  SUM_SIZE,
} from "../../kernels/packed/lstm_cell.ts";
import {
  CHANGE_SUM,
  type GRUBinding,
  RESET_PRODUCT,
  STATE_SUM,
  UPDATE_PRODUCT,
} from "../../kernels/packed/gru_cell.ts";
import type { GRUCellProgram } from "../../kernels/packed/gru_program.ts";
import { packedLength, type WeightRows } from "../../kernels/packed/pack.ts";
import type { ActivationProgram, CellProgram } from "../../kernels/packed/program.ts";
import { reciprocal } from "../../kernels/numeric/requantize.ts";
import { isInt8Array } from "../../kernels/numeric/typed_array.ts";
import {
  ACTIVATION,
  BIAS,
  BINDING,
  BLOCK_ROWS,
  BLOCK_UNITS,
  BOUNDS,
  CELL,
  FIXED,
  FORM,
  GRU,
  MAGIC_BITS,
  PRODUCT,
  PROJECTION,
  PROJECTION_UNIT,
  SECOND,
  SHARED,
  SUM,
  UNQUANTIZED,
} from "../../kernels/simd/layout.ts";

/**
 * The used part of `WebAssembly.Memory`, whose type only the DOM library declares: the public types
 * must not depend on it.
 */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

/** Exports of kernels/simd/lstm.as and gru.as. Addresses are in bytes. */
export interface SimdExports {
  readonly memory: WasmMemory;
  readonly relaxed: { readonly value: unknown };
  chosen(): number;
  projectInput(
    cell: number,
    inputs: number,
    x: number,
    projected: number,
    size: number,
    count: number,
  ): void;
  projectFloats(
    weights: number,
    scales: number,
    bias: number,
    x: number,
    out: number,
    size: number,
    rows: number,
  ): void;
  storeInputs(cell: number, inputs: number, x: number, size: number, count: number): void;
  readonly runSteps: RunSteps;
  readonly runGRUSteps: RunSteps;
}

/** Runs steps of rows on projected inputs or, if gates are split, on stored inputs. */
export type RunSteps = (
  cell: number,
  rows: number,
  count: number,
  inputStride: number,
  outStride: number,
  steps: number,
  split: number,
) => void;

const PAGE = 65536;

/** Number of operand values per group, as int16 and as bytes; the number of groups is even. */
export const GROUP_VALUES = { WIDE: 2, BYTES: 4 } as const;

/**
 * The kernel's memory. Constants are allocated once and never freed. Scratch follows them, and is
 * laid out again when more is needed, so that the memory is as large as the largest need so far.
 */
export class Arena {
  u8!: Uint8Array;
  i16!: Int16Array;
  i32!: Int32Array;
  f32!: Float32Array;
  f64!: Float64Array;
  #end = align(SHARED.SIZE * 4);
  /** Size of scratch in bytes. */
  #scratch = 0;

  /**
   * @param oneStep Whether a relaxed sum of four products is one instruction of the processor.
   */
  constructor(readonly memory: WasmMemory, readonly oneStep: boolean) {
    this.#view();
    const { i32, f32 } = this;
    i32.fill(0x00010001, SHARED.ONES, SHARED.ONES + 4);
    i32.fill(0x00ff00ff, SHARED.LOW, SHARED.LOW + 4);
    i32.fill(MAGIC_BITS, SHARED.MAGIC, SHARED.MAGIC + 4);
    f32.fill(0.5, SHARED.HALF, SHARED.HALF + 4);
    f32.fill(-0, SHARED.SIGN, SHARED.SIGN + 4);
    i32[SHARED.ONE_STEP] = oneStep ? 1 : 0;
  }

  #view(): void {
    const { buffer } = this.memory;
    this.u8 = new Uint8Array(buffer);
    this.i16 = new Int16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }

  /** Grows the memory to `end` bytes, and by `spare` more if possible; then renews the views. */
  #reach(end: number, spare: number): void {
    const { memory } = this;
    const size = memory.buffer.byteLength;
    if (end <= size) return;
    const pages = (bytes: number): number => Math.ceil((bytes - size) / PAGE);
    try {
      memory.grow(pages(end + spare));
    } catch {
      try {
        memory.grow(pages(end));
      } catch (cause) {
        throw new RangeError(
          `memory: expected room for ${end} bytes, got a WebAssembly memory that cannot grow ` +
            `beyond ${size}; ask for a smaller batch, or run without SIMD kernels`,
          { cause },
        );
      }
    }
    this.#view();
  }

  /**
   * Allocates zeroed bytes for constants and returns their address, a multiple of 16. This is not
   * possible after scratch was laid out.
   *
   * @throws {RangeError} If the memory cannot grow.
   */
  take(bytes: number): number {
    const at = this.#end;
    const end = align(at + bytes);
    this.#reach(end, 0);
    this.#end = end;
    return at;
  }

  /**
   * Lays out scratch in index of the previous one, whose contents stay until they are overwritten.
   *
   * @param sizes Sizes of its blocks in bytes.
   * @returns The blocks' addresses, multiples of 16, and the end of the last block.
   * @throws {RangeError} If the memory cannot grow. The previous scratch is then unchanged.
   */
  layOut(sizes: readonly number[]): number[] {
    let end = this.#end;
    const addresses = sizes.map((size) => {
      const at = end;
      end = align(at + size);
      return at;
    });
    // Repeated growth in small amounts doubles the memory each time, because some engines copy it.
    this.#reach(end, this.#scratch);
    this.#scratch = end - this.#end;
    return [...addresses, end];
  }
}

/** Rounds up to a multiple of 16. */
function align(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}

/** Min and max integer of an operand, minus the zero point. */
export interface Span {
  readonly min: number;
  readonly max: number;
}

/** The storage of an operand of a product: `stored = integer - offset`. */
export interface Operand extends Span {
  readonly form: 0 | 1 | 2 | 3 | 4;
  /** Offset to subtract, by index modulo 2. */
  readonly offsets: readonly [number, number];
  /** Bytes of an operand, padded with zeros and 16 more, and the position of its top bits. */
  readonly bytes: number;
  readonly top: number;
  /** Number of pairs (int16) or quadruples (bytes) of products, always even. */
  readonly groups: number;
  /**
   * Address of the weights in the kernel's order; each block of 32 rows begins with the
   * contribution of the offsets, int32.
   */
  readonly weights: number;
  /** Number of rows of the weights, rounded up to whole blocks. */
  readonly rows: number;
  /** Max magnitude of a sum. */
  readonly bound: number;
}

/** Number of integers that two halves of seven bits can represent. */
const HALVES_LEVELS = 2 ** 14;

/** XOR mask that adds 128 to bytes 0 and 2 of four int8 weights. */
const RAISED = 0x800080;

/** Rounds a hidden size up to whole blocks. */
export function wholeUnits(hiddenSize: number): number {
  return Math.ceil(hiddenSize / BLOCK_UNITS) * BLOCK_UNITS;
}

/** Number of lanes of a vector. */
const LANES = 4;

/** Index of a row of gates when vectors of four units are interleaved by gate. */
export function interleavedIndex(row: number, gates: number): number {
  const unit = Math.floor(row / gates);
  const vector = Math.floor(unit / LANES) * gates + row % gates;
  return vector * LANES + unit % LANES;
}

/** Number of rows for the given number of interleaved gates, rounded up to whole blocks. */
export function interleavedRows(hiddenSize: number, gates: number): number {
  return Math.ceil(gates * wholeUnits(hiddenSize) / BLOCK_ROWS) * BLOCK_ROWS;
}

/**
 * Writes the weights of one product.
 *
 * @param relaxed Whether relaxed products are available.
 * @param reduced Whether values rarely leave the lower half of their range.
 * @param interleavedGates Number of interleaved gates; 0 if rows keep their order.
 * @returns null if a sum could exceed int32, an operand 22 bits, or a range 16 bits.
 */
export function writeOperand(
  arena: Arena,
  { data, sums, largest, length, count }: WeightRows,
  { min, max }: Span,
  relaxed: boolean,
  reduced: boolean,
  interleavedGates = 0,
): Operand | null {
  const magnitude = Math.max(-min, max);
  const bound = largest * magnitude;
  const eightBits = isInt8Array(data);
  if (magnitude >= 2 ** 22 || max - min > 65535 || bound >= 2 ** 31) return null;
  // Sums of pairs have 24 bits. Two passes over bytes are slower if a relaxed product takes two
  // steps.
  const bytewise = relaxed && eightBits;
  const levels = !bytewise ? 0 : arena.oneStep || reduced ? 256 : 128;
  const size = max - min;
  const form = size < levels
    ? size < 128 ? FORM.NARROW : FORM.SPLIT
    : bytewise && arena.oneStep && size < HALVES_LEVELS
    ? FORM.HALVES
    : size < 256 && eightBits && bound < 2 ** 23
    ? FORM.PAIRED
    : FORM.WIDE;
  const offset = form !== FORM.WIDE ? min : magnitude < 32768 ? 0 : min + 32768;
  const offsets = form === FORM.PAIRED
    ? [min + 128, min + 255] as const
    : [offset, offset] as const;
  const per = form === FORM.WIDE ? GROUP_VALUES.WIDE : GROUP_VALUES.BYTES;
  const groups = Math.ceil(length / (2 * per)) * 2;
  const blocks = interleavedGates > 0
    ? interleavedRows(count / interleavedGates, interleavedGates) / BLOCK_ROWS
    : Math.ceil(count / BLOCK_ROWS);
  const block = (groups + 1) * BLOCK_ROWS;
  const weights = arena.take(blocks * block * 4);
  const { i32 } = arena;
  const start = weights / 4;
  const mask = form === FORM.PAIRED ? RAISED : 0;
  const factor = mask > 0 ? 256 : 1;
  // Words of four int8 or two int16 weights.
  const words = new Int32Array(data.buffer, data.byteOffset, data.byteLength >> 2);
  const each = packedLength(length) / per;
  if (mask > 0) i32.fill(mask, start, start + blocks * block);
  for (let row = 0, from = 0; row < count; row++) {
    const index = interleavedGates > 0 ? interleavedIndex(row, interleavedGates) : row;
    let at = start + Math.floor(index / BLOCK_ROWS) * block + index % BLOCK_ROWS;
    i32[at] = (sums[2 * row]! * offsets[0] + sums[2 * row + 1]! * offsets[1]) * factor;
    for (const end = from + each; from < end; from++) {
      i32[at += BLOCK_ROWS] = per === GROUP_VALUES.BYTES
        ? words[from]! ^ mask
        : data[2 * from]! & 0xffff | data[2 * from + 1]! << 16;
    }
  }
  const top = Math.ceil(groups / 4) * 16;
  const bytes = top * (form > FORM.NARROW ? 2 : 1) + 16;
  return {
    min,
    max,
    form,
    offsets,
    bytes,
    top,
    groups,
    weights,
    rows: blocks * BLOCK_ROWS,
    bound,
  };
}

/**
 * Writes an operand, and the vector that follows it, like `store4` and `settle` of
 * kernels/simd/lstm.as.
 */
export function storeOperand(
  { u8, i16, i32 }: Arena,
  { form, offsets, top, groups, bytes }: Operand,
  to: number,
  x: Float64Array,
  from: number,
  size: number,
): void {
  let even = 0;
  let sum = 0;
  let bits = 0;
  for (
    let k = 0, length = groups * (form === FORM.WIDE ? GROUP_VALUES.WIDE : GROUP_VALUES.BYTES);
    k < length;
    k++
  ) {
    const value = (k < size ? x[from + k]! : 0) - offsets[k & 1]!;
    if (form === FORM.WIDE) i16[to / 2 + k] = value;
    else if (form !== FORM.PAIRED) {
      u8[to + k] = value & 127;
      if (form !== FORM.NARROW) u8[to + top + k] = value >> 7;
      bits |= value;
    } else if ((k & 1) === 0) {
      even = value;
      sum += value;
    } else {
      const pair = to / 2 + (k & -4) + (k >> 1 & 1);
      i16[pair] = value;
      i16[pair + 2] = 256 * even - value;
    }
  }
  const end = (to + bytes) / 4;
  if (form === FORM.PAIRED) i32.fill(-32768 * sum, end - 4, end);
  else i32[end - 4] = bits >> 7;
}

/** Reads an operand back. */
export function loadOperand(
  arena: Arena,
  { form, offsets, top }: Operand,
  from: number,
  x: Float64Array,
  to: number,
  size: number,
): void {
  const { u8, i16 } = arena;
  for (let k = 0; k < size; k++) {
    const odd = k & 1;
    let value: number;
    if (form === FORM.NARROW) value = u8[from + k]!;
    else if (form === FORM.WIDE) value = i16[from / 2 + k]!;
    else if (form !== FORM.PAIRED) value = u8[from + k]! + 128 * u8[from + top + k]!;
    else {
      const pair = from / 2 + (k & -4) + (k >> 1 & 1);
      value = odd === 1 ? i16[pair]! : (i16[pair]! + i16[pair + 2]!) / 256;
    }
    x[to + k] = value + offsets[odd]!;
  }
}

/**
 * Writes the constants of a projection, one row for each gate of a unit.
 *
 * @param interleavedGates As for {@linkcode writeOperand}.
 */
export function writeProjection(
  arena: Arena,
  projection: Projection,
  operand: Operand,
  forgetMultiplier: number,
  interleavedGates = 0,
): number {
  const { term, multiplier, exact, lo, hi } = projection;
  const { bound, rows } = operand;
  const headers = Math.max(1, interleavedGates);
  const units = headers * PROJECTION.SIZE;
  const at = arena.take((units + rows / 4 * PROJECTION_UNIT.SIZE) * 4);
  const { i32, f32, f64 } = arena;
  // An addition in float32 is enough if the term is exact in it, and the sum is exact too or is
  // rounded to float32 first.
  const bias = (exact || bound <= 2 ** 24) && term.every((value) => Math.fround(value) === value)
    ? BIAS.FLOAT32
    : exact
    ? BIAS.FUSED
    : BIAS.FLOAT64;
  const first = at / 4;
  for (let i = 0; i < headers; i++) {
    const own = interleavedGates > 0 ? lo.subarray(i, i + 1) : lo;
    i32[first + i * PROJECTION.SIZE + PROJECTION.UNQUANTIZED] = own.every((end) => end === end)
      ? UNQUANTIZED.NONE
      : own.some((end) => end === end)
      ? UNQUANTIZED.SOME
      : UNQUANTIZED.ALL;
  }
  for (let i = 0; i < 4 * headers; i++) {
    const header = first + Math.floor(i / 4) * PROJECTION.SIZE;
    const gate = interleavedGates > 0 ? Math.floor(i / 4) : i;
    const lane = header + i % 4;
    const quantized = lo[gate] === lo[gate];
    i32[header + PROJECTION.BIAS] = bias;
    i32[lane + PROJECTION.QUANTIZED] = quantized ? -1 : 0;
    f32[lane + PROJECTION.LOWER] = quantized ? lo[gate]! : 0;
    f32[lane + PROJECTION.UPPER] = quantized ? hi[gate]! : 0;
    f32[lane + PROJECTION.FORGET_MULTIPLIER] = forgetMultiplier;
  }
  for (let row = 0; row < term.length; row++) {
    const index = interleavedGates > 0 ? interleavedIndex(row, interleavedGates) : row;
    const unit = first + units + (index >> 2) * PROJECTION_UNIT.SIZE;
    const lane = index & 3;
    f32[unit + PROJECTION_UNIT.MULTIPLIER + lane] = multiplier[row]!;
    const to = unit + PROJECTION_UNIT.TERM;
    if (bias === BIAS.FLOAT32) f32[to + lane] = term[row]!;
    else f64[to / 2 + lane] = term[row]!;
  }
  return at;
}

/** The activations that the kernel computes itself: of the four gates and of the cell state. */
const COMPUTED: readonly Activation[] = ["sigmoid", "sigmoid", "tanh", "sigmoid", "tanh"];

/** Whether the kernel computes the table of gate `i`, or of the cell state. */
function isComputed(programs: readonly ActivationProgram[], table: number, i: number): boolean {
  return programs[table]!.activation === COMPUTED[i];
}

/**
 * Computes all outputs of a table in the kernel's form: a zero is stored as -0, because 0 marks an
 * output that is not computed yet.
 */
function fillTable({ f32 }: Arena, at: number, { activation, from, to }: ActivationProgram): void {
  const compute = quantizedActivation(activation, from.scale, to);
  const first = from.quantMin - from.zeroPoint;
  for (let i = 0, size = from.quantMax - from.quantMin + 1; i < size; i++) {
    const output = compute(first + i);
    f32[at / 4 + i] = output === 0 ? -0 : output;
  }
}

/**
 * Allocates the tables, and returns the address of each minus the offset of its first input plus
 * the bits of the magic number. The kernel computes an output at its first use. In a cell's first
 * steps it stores none, because these steps use few of up to 65,536 entries, spread over many
 * pages. Tables of activations that the kernel cannot compute are filled here.
 */
export function writeTables(
  arena: Arena,
  tables: readonly ActivationProgram[],
  cells: readonly Pick<CellProgram, "activations">[],
): number[] {
  const whole = new Set(
    cells.flatMap(({ activations }) =>
      activations.filter((table, i) => !isComputed(tables, table, i))
    ),
  );
  // One allocation, because views must be renewed each time the memory grows.
  let at = arena.take(
    tables.reduce((bytes, { from }) => bytes + (from.quantMax - from.quantMin + 1) * 4, 0),
  );
  return tables.map((table, i) => {
    const { quantMin, quantMax, zeroPoint } = table.from;
    if (whole.has(i)) fillTable(arena, at, table);
    const first = at - ((quantMin - zeroPoint + MAGIC_BITS) << 2);
    at += (quantMax - quantMin + 1) * 4;
    return first;
  });
}

/** A cell of n units stores no outputs of large tables in its first PATIENCE / n steps. */
export const PATIENCE = 1024;

/** Vectors of a sum, and the constants of a cell that fill them. */
const SUM_VECTORS = [
  [SUM.SCALE_A, SUM_A],
  [SUM.SCALE_B, SUM_B],
  [SUM.FACTOR, SUM_FACTOR],
  [SUM.LOWER, SUM_LO],
  [SUM.UPPER, SUM_HI],
] as const;

/**
 * Writes the constants for fixed point in a lane of the sum at word `w`; in other lanes they are 0.
 */
function writeFixedLane(
  { i32, f32 }: Arena,
  w: number,
  lane: number,
  k: Float64Array,
  from: number,
): void {
  const to = w + lane;
  i32[to + SUM.FIXED_A] = k[from + SUM_A]!;
  i32[to + SUM.FIXED_B] = k[from + SUM_B]!;
  f32[to + SUM.FIXED_INVERSE] = 8192 / k[from + SUM_FACTOR]!;
  i32[to + SUM.FIXED_LANES] = -1;
}

/** Writes the constants of a cell's sums in fixed point. */
function writeFixed(arena: Arena, w: number, { constants: k, fixedPoint }: CellProgram): void {
  const fix = (sum: number, lane: number, which: number): void => {
    if ((fixedPoint >> which & 1) === 0) return;
    writeFixedLane(arena, w + sum, lane, k, which * SUM_SIZE);
  };
  for (let lane = 0; lane < 4; lane++) {
    fix(CELL.GATE_SUM, lane, lane);
    fix(CELL.STATE_SUM, lane, CELL_SUM);
  }
  const { i32 } = arena;
  const gates = fixedPoint & 15;
  i32[w + CELL.GATE_SUM + SUM.FIXED] = gates === 0
    ? FIXED.NONE
    : gates === 15
    ? FIXED.ALL
    : FIXED.SOME;
  i32[w + CELL.STATE_SUM + SUM.FIXED] = fixedPoint > 15 ? FIXED.ALL : FIXED.NONE;
}

/** Writes the projection of the input to the cell at word `w`. */
function writeInput({ i32, f32 }: Arena, w: number, input: Operand, projection: number): void {
  const { groups, form, weights, offsets, min, max } = input;
  i32[w + CELL.INPUT_GROUPS] = groups;
  i32[w + CELL.INPUT_FORM] = form;
  i32[w + CELL.INPUT_WEIGHTS] = weights;
  i32[w + CELL.INPUT_PROJECTION] = projection;
  for (let lane = 0; lane < 4; lane++) {
    i32[w + CELL.INPUT_OFFSET + lane] = MAGIC_BITS + offsets[lane & 1]!;
    f32[w + CELL.INPUT_LOWER + lane] = min;
    f32[w + CELL.INPUT_UPPER + lane] = max;
  }
}

/** Writes a cell that only projects inputs, with any number of rows, and returns its address. */
export function writeInputCell(arena: Arena, input: Operand, projection: number): number {
  const at = arena.take(CELL.SIZE * 4);
  arena.i32[at / 4 + CELL.BLOCKS] = input.rows / BLOCK_ROWS;
  writeInput(arena, at / 4, input, projection);
  return at;
}

/** Writes the tables of the cell at word `w`. */
function writeActivations(
  { i32, f32 }: Arena,
  w: number,
  activations: readonly number[],
  programs: readonly ActivationProgram[],
  tables: readonly number[],
): void {
  activations.forEach((table, i) => {
    const { from, to } = programs[table]!;
    const own = w + CELL.ACTIVATIONS + ACTIVATION.SIZE * i;
    f32[own + ACTIVATION.SCALE] = from.scale;
    f32[own + ACTIVATION.INVERSE] = reciprocal(to.scale);
    f32[own + ACTIVATION.LOWER] = to.quantMin - to.zeroPoint;
    f32[own + ACTIVATION.UPPER] = to.quantMax - to.zeroPoint;
    if (i < 4) i32[w + CELL.GATE_TABLES + i] = tables[table]!;
  });
}

/** Writes the operand of the hidden state to the cell at word `w`. */
function writeHidden({ i32 }: Arena, w: number, hidden: Operand): void {
  const { groups, form, weights, offsets } = hidden;
  i32[w + CELL.HIDDEN_GROUPS] = groups;
  i32[w + CELL.HIDDEN_FORM] = form;
  i32[w + CELL.HIDDEN_WEIGHTS] = weights;
  for (let lane = 0; lane < 4; lane++) {
    i32[w + CELL.HIDDEN_OFFSET + lane] = MAGIC_BITS + offsets[lane & 1]!;
  }
}

/** Operand and projection of the second product of a step. */
export interface SecondOperand {
  /** A GRU's reset state, or an LSTM's state before projection. */
  readonly operand: Operand;
  /** Address of its projection. */
  readonly projection: number;
}

/** Writes the second product to the cell at word `w`. */
function writeSecond(
  { i32 }: Arena,
  w: number,
  { operand, projection }: SecondOperand,
  size: number,
): void {
  const { groups, form, weights, rows, offsets } = operand;
  const at = w + CELL.SECOND;
  i32[at + SECOND.GROUPS] = groups;
  i32[at + SECOND.FORM] = form;
  i32[at + SECOND.WEIGHTS] = weights;
  i32[at + SECOND.PROJECTION] = projection;
  i32[at + SECOND.WIDTH] = rows * 4;
  i32[at + SECOND.UNITS] = wholeUnits(size) * 4;
  for (let lane = 0; lane < 4; lane++) {
    i32[at + SECOND.OFFSET + lane] = MAGIC_BITS + offsets[lane & 1]!;
  }
}

/**
 * Writes the constants of a cell, and returns its address.
 *
 * @param cell Its sums, products and activations.
 * @param input The operand of its input, or null if its inputs are projected elsewhere.
 * @param hidden The operand of its hidden state.
 * @param projection Address of the input's projection.
 * @param programs The tables of all cells.
 * @param tables Addresses from {@linkcode writeTables}.
 * @returns Its address.
 */
export function writeCell(
  arena: Arena,
  cell: CellProgram,
  input: Operand | null,
  hidden: Operand,
  projection: number,
  second: SecondOperand | null,
  programs: readonly ActivationProgram[],
  tables: readonly number[],
): number {
  const { constants: k, activations } = cell;
  const at = arena.take(CELL.SIZE * 4);
  const w = at / 4;
  const { i32, f32 } = arena;
  i32[w + CELL.BLOCKS] = Math.ceil(cell.hiddenSize / BLOCK_UNITS);
  if (second !== null) writeSecond(arena, w, second, cell.hiddenOutput!.rows.count);
  writeHidden(arena, w, hidden);
  if (input !== null) writeInput(arena, w, input, projection);
  writeActivations(arena, w, activations, programs, tables);
  const splat = (word: number, value: number): void => {
    f32.fill(value, w + word, w + word + 4);
  };
  for (const [vector, constant] of SUM_VECTORS) {
    for (let gate = 0; gate < 4; gate++) {
      f32[w + CELL.GATE_SUM + vector + gate] = k[gate * SUM_SIZE + constant]!;
    }
    splat(CELL.STATE_SUM + vector, k[CELL_SUM * SUM_SIZE + constant]!);
  }
  for (
    const [product, constants] of [[CELL.CANDIDATE, CANDIDATE], [CELL.HIDDEN, HIDDEN]] as const
  ) {
    splat(product + PRODUCT.MULTIPLIER, k[constants]!);
    splat(product + PRODUCT.LOWER, k[constants + PRODUCT_LO]!);
    splat(product + PRODUCT.UPPER, k[constants + PRODUCT_HI]!);
  }
  splat(CELL.FORGET + BOUNDS.LOWER, k[FORGET + PRODUCT_LO]!);
  splat(CELL.FORGET + BOUNDS.UPPER, k[FORGET + PRODUCT_HI]!);
  i32.fill(tables[activations[4]!]!, w + CELL.STATE_TABLE, w + CELL.STATE_TABLE + 4);
  if (cell.fixedPoint > 0) writeFixed(arena, w, cell);
  const large = activations.some((i) =>
    programs[i]!.from.quantMax - programs[i]!.from.quantMin >= SMALL_TABLE
  );
  // Steps that store no outputs compute all of them.
  if (large && activations.every((table, i) => isComputed(programs, table, i))) {
    i32[w + CELL.PATIENCE] = Math.ceil(PATIENCE / cell.hiddenSize);
  }
  return at;
}

/** The two sets of constants for the hidden state: for a row's first step, and for later steps. */
export function writeBindings(
  arena: Arena,
  running: StateBinding,
  initial: StateBinding,
  hidden: Operand,
): { readonly running: number; readonly initial: number } {
  const write = ({ hiddenProjection, forgetMultiplier }: StateBinding): number =>
    writeProjection(arena, hiddenProjection, hidden, forgetMultiplier);
  const at = write(running);
  return { running: at, initial: initial === running ? at : write(initial) };
}

/** Sums of a GRU in memory, and their index in the constants of its binding. */
const GRU_SUMS = [
  [BINDING.GATE_SUMS, 0],
  [BINDING.GATE_SUMS + SUM.SIZE, 1],
  [BINDING.GATE_SUMS + 2 * SUM.SIZE, 2],
  [BINDING.CHANGE, CHANGE_SUM],
  [BINDING.STATE_SUM, STATE_SUM],
] as const;

/** Products of a GRU in memory, and their index in the constants of its binding. */
const GRU_PRODUCTS = [
  [BINDING.RESET, RESET_PRODUCT + 1],
  [BINDING.UPDATE, UPDATE_PRODUCT],
] as const;

/** Number of gates that a GRU's input is projected to. */
export const GRU_GATES = 3;

/**
 * Writes the constants of a GRU's cell, and returns its address.
 *
 * @param hidden The operand of its hidden state.
 * @param input The operand of its input, or null if its inputs are projected elsewhere.
 * @param projection Address of the input's projection.
 * @param reset The second product, if the state is reset before its product.
 * @returns Its address.
 */
export function writeGRUCell(
  arena: Arena,
  { hiddenSize, complementedUpdate, activations }: GRUCellProgram,
  { hidden, input, projection, reset }: {
    readonly hidden: Operand;
    readonly input: Operand | null;
    readonly projection: number;
    readonly reset: SecondOperand | null;
  },
  programs: readonly ActivationProgram[],
  tables: readonly number[],
): number {
  const at = arena.take((CELL.SIZE + GRU.SIZE) * 4);
  const own = at / 4;
  const w = own + CELL.SIZE;
  const { i32 } = arena;
  writeHidden(arena, own, hidden);
  writeActivations(arena, own, activations, programs, tables);
  if (input !== null) {
    i32[own + CELL.BLOCKS] = input.rows / BLOCK_ROWS;
    i32[own + CELL.INPUT_GATES] = GRU_GATES;
    writeInput(arena, own, input, projection);
  }
  i32[w + GRU.UNITS] = wholeUnits(hiddenSize) * 4;
  i32[w + GRU.GATES] = reset === null ? GRU_GATES : GRU_GATES - 1;
  i32[w + GRU.COMPLEMENTED] = complementedUpdate ? 1 : 0;
  if (reset !== null) writeSecond(arena, own, reset, hiddenSize);
  return at;
}

/** Writes the constants for a GRU's hidden state in a step, and returns their address. */
function writeGRUBinding(
  arena: Arena,
  { hiddenProjection, constants: k, fixedPoint }: GRUBinding,
  hidden: Operand,
  gates: number,
): number {
  const at = arena.take(BINDING.SIZE * 4);
  // The projection must follow directly.
  writeProjection(arena, hiddenProjection, hidden, 0, gates);
  const w = at / 4;
  const { i32, f32 } = arena;
  const splat = (word: number, value: number): void => {
    f32.fill(value, w + word, w + word + 4);
  };
  for (const [sum, which] of GRU_SUMS) {
    const from = which * SUM_SIZE;
    for (const [vector, constant] of SUM_VECTORS) splat(sum + vector, k[from + constant]!);
    if ((fixedPoint >> which & 1) === 0) continue;
    for (let lane = 0; lane < 4; lane++) writeFixedLane(arena, w + sum, lane, k, from);
    i32[w + sum + SUM.FIXED] = FIXED.ALL;
  }
  splat(BINDING.RESET_SCALE, k[RESET_PRODUCT]!);
  for (const [product, from] of GRU_PRODUCTS) {
    splat(product + PRODUCT.MULTIPLIER, k[from]!);
    splat(product + PRODUCT.LOWER, k[from + PRODUCT_LO]!);
    splat(product + PRODUCT.UPPER, k[from + PRODUCT_HI]!);
  }
  return at;
}

/**
 * Like {@linkcode writeBindings}, for a GRU; `gates` is the number of gates of the hidden state's
 * product.
 */
export function writeGRUBindings(
  arena: Arena,
  running: GRUBinding,
  initial: GRUBinding,
  hidden: Operand,
  gates: number,
): { readonly running: number; readonly initial: number } {
  const at = writeGRUBinding(arena, running, hidden, gates);
  return {
    running: at,
    initial: initial === running ? at : writeGRUBinding(arena, initial, hidden, gates),
  };
}
