/**
 * Runs LSTMs in WebAssembly: one call a layer, direction and row of the batch, however many steps.
 *
 * @module
 */
import type { ActivationTables } from "../../kernels/activation.ts";
import type { Affine } from "../../kernels/quantize.ts";
import {
  bindState,
  type CellParameters,
  gateOrder,
  integerBound,
  prepareArithmetic,
  prepareProjection,
} from "../../kernels/prepare.ts";
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
import { FloatProjection } from "../quantized/float_projection.ts";
import type { LstmModule } from "../quantized/modules.ts";
import { convertShifted, quantizeShifted } from "../quantized/shifted.ts";
import {
  Arena,
  loadOperand,
  type Operand,
  type SimdExports,
  type Span,
  writeBindings,
  writeCell,
  writeOperand,
  writeProjection,
  type WrittenTables,
} from "./memory.ts";

/** Most steps whose projected inputs stand in memory at a time. */
const CHUNK = 32;

/**
 * What an engine without an instruction for sums of four products makes of -128 * 255: pairs saturate to int16. It has
 * two steps make them sooner; others (VNNI, Arm's dot products) one.
 */
const SATURATED = -65536;

/** Integers that are turned into addresses or stored, and integers that must be float32 values. */
const ROUNDED = 2 ** 22, EXACT = 2 ** 24;

/** One layer and direction in the kernel's memory. */
interface SimdCell {
  readonly cell: number;
  /** Its input: integers, or float32 values, which are projected outside. */
  readonly input: Operand | null;
  readonly float: FloatProjection | null;
  readonly hidden: Operand;
  readonly running: number;
  readonly initial: number;
  readonly hiddenQParams: PerTensorQParams;
}

/** Activation tables that cells share. */
class SharedTables {
  readonly computed: ActivationTables = new Map();
  readonly written: WrittenTables = new Map();
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
  readonly #values: Float64Array;
  readonly #source: TokenRows;
  readonly #input: PerTensorQParams | null;

  constructor(arena: Arena, source: TokenRows, lstm: LstmModule, input: PerTensorQParams | null) {
    this.width = Math.ceil(lstm.hiddenSize / 8) * 128;
    this.rows = arena.take(source.count * this.width);
    this.#known = new Uint8Array(source.count);
    this.#x = new Float32Array(lstm.inputSize);
    this.#values = new Float64Array(lstm.inputSize);
    this.#source = source;
    this.#input = input;
  }

  /** The address of a token's projected input. */
  at(lstm: SimdLstm, cell: SimdCell, token: number): number {
    const at = this.rows + token * this.width;
    if (this.#known[token] === 0) {
      this.#source.read(token, this.#x);
      if (this.#input !== null) quantizeShifted(this.#x, 0, this.#values, 0, this.#x.length, this.#input);
      else for (let k = 0; k < this.#x.length; k++) this.#values[k] = this.#x[k]!;
      lstm.project(cell, this.#values, 0, this.#x.length, 1, 0, at);
      this.#known[token] = 1;
    }
    return at;
  }
}

/**
 * A state that stands in the kernel's memory from one step to the next, for as long as no other does: asked for, it is
 * copied out. So any number of states can exist, and one that makes step after step is never copied.
 */
class SimdState implements LstmState {
  readonly fresh: Uint8Array;
  readonly #owner: SimdLstm;
  readonly #h: Float64Array;
  readonly #c: Float64Array;

  constructor(owner: SimdLstm, { h, c, fresh }: { h: Float64Array; c: Float64Array; fresh: Uint8Array }) {
    this.#owner = owner;
    this.#h = h;
    this.#c = c;
    this.fresh = fresh;
  }

  get h(): Float64Array {
    this.#owner.release(this);
    return this.#h;
  }

  get c(): Float64Array {
    this.#owner.release(this);
    return this.#c;
  }
}

class SimdLstm implements PreparedLstm {
  readonly #lstm: LstmModule;
  readonly #kernel: SimdExports;
  readonly #arena: Arena;
  readonly #cells: readonly (readonly SimdCell[])[];
  readonly #tokens: readonly SimdTokens[] | null;
  readonly #xFloat: Float32Array;
  /** Bytes of a step's projected input, and of a row's hidden and cell state. */
  readonly #width: number;
  readonly #hBytes: number;
  readonly #cBytes: number;
  readonly #next: number;
  /** Largest number of values that go into a step of a layer, or into a hidden state. */
  readonly #inputSize: number;
  /** The state that stands in memory. */
  #resident: SimdState | null = null;
  #batch = 0;
  #h = 0;
  #c = 0;
  #chunk = 0;
  /** Float64 values on their way in. */
  #staged = 0;
  #x = 0;
  #projected = 0;
  #inputs = 0;
  #out = 0;
  /** Views of so many steps' outputs: what is long enough is copied by one call. */
  #outputs: Float64Array[] = [];
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
    this.#xFloat = new Float32Array(cells[0]![0]!.input === null ? lstm.inputSize : 0);
    this.#width = units * 16;
    this.#hBytes = Math.ceil(units / 16) * 32;
    this.#cBytes = units * 4;
    this.#inputSize = Math.max(lstm.inputSize, lstm.hiddenSize * (cells.length > 1 ? cells[0]!.length : 1));
    this.#next = arena.take(this.#hBytes);
    this.reserve(1, 1);
  }

  createState(batch: number): LstmState {
    return new SimdState(this, createState(this.#lstm, batch));
  }

  /** Makes room for `batch` rows and for chunks of `steps` steps. A failure leaves all as it was. */
  #grow(batch: number, steps: number): void {
    const arena = this.#arena, { hiddenSize } = this.#lstm;
    // Memory that grows leaves its views behind.
    if (steps > this.#chunk || batch > this.#batch) this.#outputs = [];
    if (steps > this.#chunk) {
      const inputBytes = this.#cells.flat().reduce((most, { input }) => Math.max(most, input?.bytes ?? 0), 0);
      const staged = arena.take((steps * this.#inputSize + 4) * 8);
      const x = arena.take(steps * inputBytes), projected = arena.take(steps * this.#width);
      const inputs = arena.take(steps * 4), out = arena.take((steps * hiddenSize + 8) * 8);
      this.#staged = staged;
      this.#x = x;
      this.#projected = projected;
      this.#inputs = inputs;
      this.#out = out;
      this.#chunk = steps;
    }
    if (batch > this.#batch) {
      if (this.#resident !== null) this.release(this.#resident);
      const rows = this.#cells.flat().length * batch, h = arena.take(rows * this.#hBytes);
      this.#c = arena.take(rows * this.#cBytes);
      this.#h = h;
      this.#batch = batch;
    }
  }

  reserve(batch: number, steps: number): number {
    const chunk = Math.min(steps, CHUNK);
    this.#grow(batch, chunk);
    const { numLayers, hiddenSize } = this.#lstm, layers = Math.min(2, numLayers - 1), cells = this.#cells.flat();
    const size = batch * steps * hiddenSize * this.#cells[0]!.length;
    if (this.#between.length < layers || (layers > 0 && this.#between[0]!.length < size)) {
      this.#between = Array.from({ length: layers }, () => new Float64Array(size));
    }
    const inputBytes = cells.reduce((most, { input }) => Math.max(most, input?.bytes ?? 0), 0);
    return layers * size * 8 + cells.length * batch * (this.#hBytes + this.#cBytes) + this.#hBytes +
      chunk * (inputBytes + this.#width + 4 + (this.#inputSize + hiddenSize) * 8);
  }

  /** Copies a state out of the kernel's memory if it stands there, and forgets it there. */
  release(state: SimdState): void {
    if (this.#resident !== state) return;
    this.#resident = null;
    this.#copy(state, true);
  }

  #copy(state: SimdState, out: boolean): void {
    const { hiddenSize } = this.#lstm, { f32, f64 } = this.#arena, { h, c } = state;
    const cells = this.#cells.flat(), batch = state.fresh.length / cells.length;
    for (let row = 0; row < state.fresh.length; row++) {
      const { cell, hidden } = cells[Math.floor(row / batch)]!, at = row * hiddenSize;
      const hAt = this.#h + row * this.#hBytes, cAt = (this.#c + row * this.#cBytes) / 4;
      if (out) {
        loadOperand(this.#arena, hidden, hAt, h, at, hiddenSize);
        for (let j = 0; j < hiddenSize; j++) c[at + j] = f32[cAt + j]!;
      } else {
        for (let j = 0; j < hiddenSize; j++) f64[this.#staged / 8 + j] = h[at + j]!;
        this.#kernel.storeHidden(cell, this.#staged, hAt, hiddenSize);
        for (let j = 0; j < hiddenSize; j++) f32[cAt + j] = c[at + j]!;
      }
    }
  }

  process(
    state: LstmState,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
    lengths: Int32Array | null,
  ): void {
    const given = state as SimdState;
    if (this.#resident !== given) {
      if (this.#resident !== null) this.release(this.#resident);
      this.#copy(given, false);
      this.#resident = given;
    }
    const last = this.#cells.length - 1;
    for (let l = 0; l <= last; l++) {
      const from = l === 0 ? x : this.#between[(l - 1) & 1]!, to = l === last ? out : this.#between[l & 1]!;
      for (let d = 0; d < this.#cells[l]!.length; d++) {
        for (let b = 0; b < batch; b++) {
          this.#row(given.fresh, l, d, b, from, to, lengths === null ? steps : Math.min(steps, lengths[b]!), batch);
        }
      }
    }
  }

  /** Projects `steps` inputs of `size` values, `stride` apart, to `to`. */
  project(
    { cell, input, float }: SimdCell,
    x: Float64Array,
    from: number,
    size: number,
    steps: number,
    stride: number,
    to: number,
  ): void {
    if (input === null) {
      for (let i = 0; i < steps; i++, from += stride, to += this.#width) {
        for (let k = 0; k < size; k++) this.#xFloat[k] = x[from + k]!;
        float!.project(this.#xFloat, this.#arena.f32, to / 4);
      }
      return;
    }
    const { f64 } = this.#arena;
    for (let i = 0, at = this.#staged / 8; i < steps; i++, from += stride) {
      for (let k = 0; k < size; k++, at++) f64[at] = x[from + k]!;
    }
    this.#kernel.projectInput(cell, this.#staged, this.#x, to, size, steps);
  }

  /** Runs one row of the batch through one layer and direction. */
  #row(
    fresh: Uint8Array,
    l: number,
    d: number,
    b: number,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
  ): void {
    const layer = this.#cells[l]!,
      prepared = layer[d]!,
      { cell, running, initial } = prepared,
      { hiddenSize } = this.#lstm;
    const tokens = l === 0 && this.#tokens !== null ? this.#tokens[d]! : null;
    const width = hiddenSize * layer.length, place = (l * layer.length + d) * batch + b;
    const inputSize = tokens !== null ? 1 : l === 0 ? this.#lstm.inputSize : width;
    const h = this.#h + place * this.#hBytes, c = this.#c + place * this.#cBytes;
    const { i32, f64 } = this.#arena, inputs = this.#inputs / 4, step = d === 0 ? batch : -batch;
    for (let done = 0; done < steps;) {
      const count = Math.min(this.#chunk, steps - done);
      let row = (d === 0 ? done : steps - 1 - done) * batch + b;
      if (tokens !== null) {
        for (let i = 0; i < count; i++) i32[inputs + i] = tokens.at(this, prepared, x[row + i * step]!);
      } else {
        this.project(prepared, x, row * inputSize, inputSize, count, step * inputSize, this.#projected);
        for (let i = 0; i < count; i++) i32[inputs + i] = this.#projected + i * this.#width;
      }
      const first = fresh[place] === 1 && initial !== running ? 1 : 0;
      if (first === 1) this.#steps(cell, initial, h, c, 0, 1);
      if (count > first) this.#steps(cell, running, h, c, first, count - first);
      fresh[place] = 0;
      if (width === hiddenSize && batch === 1 && count * hiddenSize >= 128) {
        out.set(this.#outputs[count] ??= new Float64Array(f64.buffer, this.#out, count * hiddenSize), row * width);
        done += count;
        continue;
      }
      for (let i = 0, from = this.#out / 8; i < count; i++, row += step, from += hiddenSize) {
        const to = row * width + d * hiddenSize;
        for (let j = 0; j < hiddenSize; j++) out[to + j] = f64[from + j]!;
        // torch.cat keeps the first tensor's parameters and requantizes the others.
        if (d === 1) convertShifted(out, to, hiddenSize, prepared.hiddenQParams, layer[0]!.hiddenQParams);
      }
      done += count;
    }
  }

  /** Runs `count` steps of the chunk, from step `from` on. */
  #steps(cell: number, projection: number, h: number, c: number, from: number, count: number): void {
    const { hiddenSize } = this.#lstm, inputs = this.#inputs + from * 4, out = this.#out + from * hiddenSize * 8;
    this.#kernel.runSteps(cell, projection, inputs, h, c, this.#next, out, hiddenSize, count);
  }
}

/** WebAssembly SIMD kernels: give them to a session. Made by {@linkcode simdKernels}. */
export class SimdKernels implements LstmBackend {
  readonly name: string = "simd";
  /** Whether the module has relaxed dot products, which 7-bit activations run on. */
  readonly relaxed: boolean;
  readonly #module: WebAssembly.Module;
  readonly #oneStep: boolean;

  /**
   * Use {@linkcode simdKernels}.
   *
   * @param oneStep For tests: whether relaxed sums of four products are taken for one instruction of the processor.
   */
  constructor(module: WebAssembly.Module, oneStep?: boolean) {
    this.#module = module;
    const kernel = this.#instance();
    this.relaxed = kernel.relaxed.value === 1;
    this.#oneStep = oneStep ?? kernel.chosen() !== SATURATED;
  }

  #instance(): SimdExports {
    return new WebAssembly.Instance(this.#module).exports as unknown as SimdExports;
  }

  prepare(lstm: LstmModule, { input, tokens, initial }: LstmUse): PreparedLstm | null {
    if (lstm.projSize > 0) return null;
    const kernel = this.#instance();
    const arena = new Arena(kernel.memory, this.#oneStep), tables = new SharedTables(), cells: SimdCell[][] = [];
    let from = input;
    for (const layer of lstm.cells) {
      const prepared: SimdCell[] = [];
      for (const source of layer) {
        const cell = this.#prepareCell(arena, lstm, source, from, initial, tables);
        if (cell === null) return null;
        prepared.push(cell);
      }
      cells.push(prepared);
      from = prepared[0]!.hiddenQParams;
    }
    const rows = tokens === null ? null : cells[0]!.map(() => new SimdTokens(arena, tokens, lstm, input));
    return new SimdLstm(lstm, kernel, arena, cells, rows);
  }

  #prepareCell(
    arena: Arena,
    lstm: LstmModule,
    source: QuantizedLstmCell,
    from: PerTensorQParams | null,
    initial: LstmUse["initial"],
    tables: SharedTables,
  ): SimdCell | null {
    const { engine } = lstm, parts = fastParts(source), [h, c] = initialQParams(lstm, source, initial);
    if (parts === null || !suits(parts, c!)) return null;
    const to = parts.ogate_cy as PerTensorQParams, ranges = initial === undefined ? [to] : [to, h!];
    // fbgemm's qconfigs have reduce_range.
    const reduced = (q: Affine): boolean => engine === "fbgemm" && q.zeroPoint - q.quantMin < 128;
    const input = from === null ? null : writeOperand(arena, source.weightIh, span(from), this.relaxed, reduced(from));
    const hidden = writeOperand(arena, source.weightHh, span(...ranges), this.relaxed, reduced(to));
    if ((input === null && from !== null) || hidden === null) return null;
    const cell = prepareArithmetic(engine, parts, tables.computed), order = gateOrder(lstm.hiddenSize);
    const projection = input === null ? 0 : writeProjection(
      arena,
      prepareProjection(engine, source.weightIh, source.biasIh, order, from!, parts.igates),
      input,
      0,
    );
    const { running, initial: first } = writeBindings(
      arena,
      bindState(engine, source, parts, to, parts.fgate_cx_igate_cgate),
      bindState(engine, source, parts, h!, c!),
      hidden,
    );
    return {
      cell: writeCell(arena, cell, lstm.hiddenSize, input, hidden, projection, tables.written),
      input,
      float: from === null ? new FloatProjection(source) : null,
      hidden,
      running,
      initial: first,
      hiddenQParams: to,
    };
  }
}
