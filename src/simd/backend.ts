/**
 * Runs LSTMs in WebAssembly: one call a layer, direction and row of the batch, however many steps.
 *
 * @module
 */
import type { Affine } from "../../kernels/quantize.ts";
import { bindState, type CellParameters, integerBound, prepareCell } from "../../kernels/prepare.ts";
import type { PerTensorQParams } from "../qparams.ts";
import {
  createState,
  initialQParams,
  type LstmBackend,
  type LstmState,
  type LstmUse,
  type PreparedLstm,
  type TokenRows,
} from "../quantized/backend.ts";
import { fastParts, type QuantizedLstmCell } from "../quantized/cell.ts";
import type { LstmModule } from "../quantized/modules.ts";
import { convertShifted, quantizeShifted } from "../quantized/shifted.ts";
import {
  Arena,
  type Operand,
  type SimdExports,
  type Span,
  writeBindings,
  writeCell,
  writeOperand,
  writeProjection,
  type WrittenTable,
} from "./memory.ts";

/** Most steps whose projected inputs stand in memory at a time. */
const CHUNK = 32;

/** Integers that are turned into addresses or stored, and integers that must be float32 values. */
const ROUNDED = 2 ** 22, EXACT = 2 ** 24;

/** One layer and direction in the kernel's memory. */
interface SimdCell {
  readonly cell: number;
  readonly input: Operand;
  readonly hidden: Operand;
  readonly running: number;
  readonly initial: number;
  readonly hiddenQParams: PerTensorQParams;
}

/** Whether the kernel's float32 arithmetic takes these parameters. */
function suits(parts: CellParameters, initialCell: Affine): boolean {
  const { igates, hgates, gates, fgate_cx_igate_cgate: cell, ogate_cy: hidden } = parts;
  const exact = [...igates, ...hgates, initialCell, parts.input_gate, parts.forget_gate, parts.cell_gate]
    .concat(parts.output_gate, parts.fgate_cx, parts.igate_cgate, parts.tanh_cy);
  return exact.every((q) => q === null || integerBound(q) <= EXACT) &&
    [...gates, cell, hidden].every((q) => integerBound(q) < ROUNDED) &&
    [...gates, cell].every((q) => q.quantMax - q.quantMin < 65536);
}

/** Smallest and largest integers of the given parameters, less their zero points, and 0. */
function span(...ranges: Affine[]): Span {
  let least = 0, most = 0;
  for (const { quantMin, quantMax, zeroPoint } of ranges) {
    least = Math.min(least, quantMin - zeroPoint);
    most = Math.max(most, quantMax - zeroPoint);
  }
  return { least, most };
}

/** Tokens' projected inputs in the kernel's memory, each computed when it is first met. */
class SimdTokens {
  readonly rows: number;
  readonly width: number;
  readonly #known: Uint8Array;
  readonly #x: Float32Array;
  readonly #integers: Float64Array;
  readonly #source: TokenRows;
  readonly #input: PerTensorQParams;

  constructor(arena: Arena, source: TokenRows, lstm: LstmModule, input: PerTensorQParams) {
    this.width = Math.ceil(lstm.hiddenSize / 8) * 128;
    this.rows = arena.take(source.count * this.width);
    this.#known = new Uint8Array(source.count);
    this.#x = new Float32Array(lstm.inputSize);
    this.#integers = new Float64Array(lstm.inputSize);
    this.#source = source;
    this.#input = input;
  }

  /** The address of a token's projected input. */
  at(lstm: SimdLstm, cell: SimdCell, token: number): number {
    const at = this.rows + token * this.width;
    if (this.#known[token] === 0) {
      this.#source.read(token, this.#x);
      quantizeShifted(this.#x, 0, this.#integers, 0, this.#x.length, this.#input);
      lstm.project(cell, this.#integers, 0, this.#x.length, 1, 0, at);
      this.#known[token] = 1;
    }
    return at;
  }
}

class SimdLstm implements PreparedLstm {
  readonly #lstm: LstmModule;
  readonly #kernel: SimdExports;
  readonly #arena: Arena;
  readonly #cells: readonly (readonly SimdCell[])[];
  readonly #tokens: readonly SimdTokens[] | null;
  readonly #h: number;
  readonly #next: number;
  readonly #c: number;
  /** Bytes of a step's projected input, and of a hidden state as float32. */
  readonly #width: number;
  readonly #outWidth: number;
  #chunk = 0;
  #x = 0;
  #projected = 0;
  #inputs = 0;
  #out = 0;
  #between: Float64Array[] = [];

  constructor(
    lstm: LstmModule,
    kernel: SimdExports,
    arena: Arena,
    cells: readonly (readonly SimdCell[])[],
    tokens: readonly SimdTokens[] | null,
  ) {
    const units = Math.ceil(lstm.hiddenSize / 8) * 8;
    this.#lstm = lstm;
    this.#kernel = kernel;
    this.#arena = arena;
    this.#cells = cells;
    this.#tokens = tokens;
    this.#width = units * 16;
    this.#outWidth = units * 4;
    this.#h = arena.take(units * 2);
    this.#next = arena.take(units * 2);
    this.#c = arena.take(units * 4);
    this.#grow(1);
  }

  /** Makes room for `steps` steps. */
  #grow(steps: number): void {
    if (steps <= this.#chunk) return;
    const arena = this.#arena, inputBytes = this.#cells.flat().reduce((most, c) => Math.max(most, c.input.bytes), 0);
    const x = arena.take(steps * inputBytes), projected = arena.take(steps * this.#width);
    const inputs = arena.take(steps * 4), out = arena.take(steps * this.#outWidth);
    this.#x = x;
    this.#projected = projected;
    this.#inputs = inputs;
    this.#out = out;
    this.#chunk = steps;
  }

  createState(batch: number): LstmState {
    return createState(this.#lstm, batch);
  }

  reserve(batch: number, steps: number, _splitGates: boolean): number {
    this.#grow(Math.min(steps, CHUNK));
    const { numLayers, hiddenSize } = this.#lstm, layers = Math.min(2, numLayers - 1);
    const size = batch * steps * hiddenSize * this.#cells[0].length;
    if (this.#between.length < layers || (layers > 0 && this.#between[0].length < size)) {
      this.#between = Array.from({ length: layers }, () => new Float64Array(size));
    }
    return layers * size * 8 + this.#out + this.#chunk * this.#outWidth - this.#x + this.#width / 2;
  }

  process(
    state: LstmState,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
    lengths: Int32Array | null,
    _splitGates: boolean,
  ): void {
    const last = this.#cells.length - 1;
    for (let l = 0; l <= last; l++) {
      const from = l === 0 ? x : this.#between[(l - 1) & 1], to = l === last ? out : this.#between[l & 1];
      for (let d = 0; d < this.#cells[l].length; d++) {
        for (let b = 0; b < batch; b++) {
          this.#row(state, l, d, b, from, to, lengths === null ? steps : Math.min(steps, lengths[b]), batch);
        }
      }
    }
  }

  /**
   * Projects `steps` inputs of `size` integers, `stride` apart, to `to`.
   */
  project(
    { cell, input }: SimdCell,
    x: Float64Array,
    from: number,
    size: number,
    steps: number,
    stride: number,
    to: number,
  ): void {
    const { narrow, offset, bytes } = input, per = narrow ? 1 : 2, arena = this.#arena;
    for (let i = 0; i < steps; i++, from += stride) {
      const at = (this.#x + i * bytes) / per;
      if (narrow) {
        const { u8 } = arena;
        for (let k = 0; k < size; k++) u8[at + k] = x[from + k] - offset;
      } else {
        const { i16 } = arena;
        for (let k = 0; k < size; k++) i16[at + k] = x[from + k] - offset;
      }
    }
    this.#kernel.projectInput(cell, this.#x, to, steps);
  }

  /** Runs one row of the batch through one layer and direction. */
  #row(
    state: LstmState,
    l: number,
    d: number,
    b: number,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
  ): void {
    const layer = this.#cells[l], prepared = layer[d], { cell, hidden } = prepared, arena = this.#arena;
    const tokens = l === 0 && this.#tokens !== null ? this.#tokens[d] : null;
    const { hiddenSize } = this.#lstm, width = hiddenSize * layer.length, place = (l * layer.length + d) * batch + b;
    const inputSize = tokens !== null ? 1 : l === 0 ? this.#lstm.inputSize : width;
    const h = state.h as Float64Array, c = state.c as Float64Array, at = place * hiddenSize;
    const { u8, i16, i32, f32 } = arena, cAt = this.#c / 4, inputsAt = this.#inputs / 4;
    if (hidden.narrow) {
      for (let j = 0, to = this.#h; j < hiddenSize; j++) u8[to + j] = h[at + j] - hidden.offset;
    } else {
      for (let j = 0, to = this.#h / 2; j < hiddenSize; j++) i16[to + j] = h[at + j] - hidden.offset;
    }
    for (let j = 0; j < hiddenSize; j++) f32[cAt + j] = c[at + j];
    const step = d === 0 ? batch : -batch;
    for (let done = 0; done < steps;) {
      const count = Math.min(this.#chunk, steps - done);
      let row = (d === 0 ? done : steps - 1 - done) * batch + b;
      if (tokens !== null) {
        for (let i = 0; i < count; i++) i32[inputsAt + i] = tokens.at(this, prepared, x[row + i * step]);
      } else {
        this.project(prepared, x, row * inputSize, inputSize, count, step * inputSize, this.#projected);
        for (let i = 0; i < count; i++) i32[inputsAt + i] = this.#projected + i * this.#width;
      }
      const first = state.fresh[place] === 1 && prepared.initial !== prepared.running ? 1 : 0;
      if (first === 1) {
        this.#kernel.runSteps(cell, prepared.initial, this.#inputs, this.#h, this.#c, this.#next, this.#out, 1);
      }
      if (count > first) {
        this.#kernel.runSteps(
          cell,
          prepared.running,
          this.#inputs + first * 4,
          this.#h,
          this.#c,
          this.#next,
          this.#out + first * this.#outWidth,
          count - first,
        );
      }
      state.fresh[place] = 0;
      for (let i = 0; i < count; i++, row += step) {
        const from = (this.#out + i * this.#outWidth) / 4, to = row * width + d * hiddenSize;
        // SIMD rounding leaves -0 for what is an integer, 0.
        for (let j = 0; j < hiddenSize; j++) out[to + j] = f32[from + j] + 0;
        // torch.cat keeps the first tensor's parameters and requantizes the others.
        if (d === 1) convertShifted(out, to, hiddenSize, prepared.hiddenQParams, layer[0].hiddenQParams);
        if (done + i === steps - 1) {
          for (let j = 0; j < hiddenSize; j++) h[at + j] = f32[from + j] + 0;
        }
      }
      done += count;
    }
    for (let j = 0; j < hiddenSize; j++) c[at + j] = f32[cAt + j];
  }
}

/** WebAssembly SIMD kernels: give them to a session. Made by {@linkcode simdKernels}. */
export class SimdKernels implements LstmBackend {
  readonly name: string = "simd";
  /** Whether the module has relaxed dot products, which 7-bit activations run on. */
  readonly relaxed: boolean;
  readonly #module: WebAssembly.Module;

  /** Use {@linkcode simdKernels}. */
  constructor(module: WebAssembly.Module) {
    this.#module = module;
    this.relaxed = this.#instance().relaxed.value === 1;
  }

  #instance(): SimdExports {
    return new WebAssembly.Instance(this.#module).exports as unknown as SimdExports;
  }

  prepare(lstm: LstmModule, { input, tokens, initial }: LstmUse): PreparedLstm | null {
    if (input === null || lstm.projSize > 0) return null;
    const kernel = this.#instance();
    const arena = new Arena(kernel.memory), tables: WrittenTable[] = [], cells: SimdCell[][] = [];
    let from: PerTensorQParams = input;
    for (const layer of lstm.cells) {
      const prepared: SimdCell[] = [];
      for (const source of layer) {
        const cell = this.#prepareCell(arena, lstm, source, from, initial, tables);
        if (cell === null) return null;
        prepared.push(cell);
      }
      cells.push(prepared);
      from = prepared[0].hiddenQParams;
    }
    const rows = tokens === null ? null : cells[0].map(() => new SimdTokens(arena, tokens, lstm, input));
    return new SimdLstm(lstm, kernel, arena, cells, rows);
  }

  #prepareCell(
    arena: Arena,
    lstm: LstmModule,
    source: QuantizedLstmCell,
    from: PerTensorQParams,
    initial: LstmUse["initial"],
    tables: WrittenTable[],
  ): SimdCell | null {
    const { engine } = lstm, parts = fastParts(source), [h, c] = initialQParams(lstm, source, initial);
    if (parts === null || !suits(parts, c!)) return null;
    const to = parts.ogate_cy as PerTensorQParams, ranges = initial === undefined ? [to] : [to, h!];
    const input = writeOperand(arena, source.weightIh, span(from), this.relaxed);
    const hidden = writeOperand(arena, source.weightHh, span(...ranges), this.relaxed);
    if (input === null || hidden === null) return null;
    const cell = prepareCell(engine, source, parts, from, Math.max(...ranges.map(integerBound)));
    const { running, initial: first } = writeBindings(
      arena,
      bindState(engine, source, parts, to, parts.fgate_cx_igate_cgate),
      bindState(engine, source, parts, h!, c!),
      hidden,
    );
    return {
      cell: writeCell(arena, cell, input, hidden, writeProjection(arena, cell.inputProjection!, input, 0), tables),
      input,
      hidden,
      running,
      initial: first,
      hiddenQParams: to,
    };
  }
}
