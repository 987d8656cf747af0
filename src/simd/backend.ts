/**
 * Runs LSTMs and GRUs in WebAssembly: two calls a layer and direction, however many steps and rows
 * of a batch.
 *
 * @module
 */
import { reciprocal } from "../../kernels/numeric/requantize.ts";
import {
  HIDDEN,
  PRODUCT_HI,
  PRODUCT_LO,
  type Projection,
  splitUnits,
} from "../../kernels/packed/lstm_cell.ts";
import { RESET_PRODUCT } from "../../kernels/packed/gru_cell.ts";
import type { WeightRows } from "../../kernels/packed/pack.ts";
import { BLOCK_UNITS, GAP, ROW, SHARED } from "../../kernels/simd/layout.ts";
import type { WasmModule } from "../core/bytes.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import {
  type Backend,
  type Call,
  createSlots,
  type Image,
  type ModuleInstance,
  type ModuleState,
  type NodeProgram,
  type Values,
} from "../runtime/kind.ts";
import type { GRULayerProgram, GRUProgram } from "../runtime/kinds/gru.ts";
import { lstm as lstmKind, type LSTMCellProgram, type LSTMProgram } from "../runtime/kinds/lstm.ts";
import type { Projector, ProjectorProgram } from "../runtime/projector.ts";
import { inputProjector } from "../runtime/tokens.ts";
import { convertCentered } from "../runtime/centered.ts";
import { floatProjector, SimdProjectors } from "./projector.ts";
import {
  Arena,
  GRU_TURNS,
  loadOperand,
  type Operand,
  type RunSteps,
  type SecondOperand,
  type SimdExports,
  type Span,
  storeOperand,
  turnOf,
  turnRows,
  wholeUnits,
  writeBindings,
  writeCell,
  writeGRUBindings,
  writeGRUCell,
  writeOperand,
  writeProjection,
  writeTables,
} from "./memory.ts";

/** Most bytes of projected inputs that stand in memory at a time, unless one step has more. */
export const CHUNK = 65536;

/**
 * Most bytes of inputs and outputs that stand there with split gates, unless one step has more: more
 * of them save calls alone.
 */
export const SPLIT_CHUNK = 8192;

/** Most reals that are copied to the kernel's memory by one call, however many a chunk takes. */
export const STAGED = 65536;

/** Fewest outputs, reals and integers, that are copied from the kernel's memory by one call. */
export const COPIED = { REALS: 16, INTEGERS: 128 } as const;

/** Up to here float32 has every integer. */
const EXACT = 2 ** 24;

/** Bytes of a projected input of so many units and the gap behind it. */
export function projectedBytes(units: number): number {
  return units * 16 + GAP * 4;
}

/**
 * What an engine without an instruction for sums of four products makes of -128 * 255: pairs
 * saturate to int16. It has two steps make them sooner; others (VNNI, Arm's dot products) one.
 */
const SATURATED = -65536;

/** Where one layer and direction stands in the kernel's memory. */
interface SimdPlace {
  readonly cell: number;
  /** Its input: integers; null for float32 values, which are projected outside, and for tokens. */
  readonly input: Operand | null;
  readonly hidden: Operand;
  /** What a GRU's state is once it is reset, or an LSTM's before it is projected; else null. */
  readonly second: Operand | null;
  readonly running: number;
  readonly initial: number;
}

/** One layer and direction. */
interface SimdCell extends SimdPlace {
  readonly float: Projector | null;
  /** The reciprocal of its input's scale. */
  readonly inverseScale: number;
  readonly hiddenQParams: PerTensorQParams;
}

/** Counts up where constants of cells are laid out anew: images of before are not taken. */
const IMAGE_LAYOUT = 2;

/** Constants of all cells, as they stand behind the tables. */
interface SimdImage extends Image {
  readonly memory: Uint8Array;
  readonly cells: readonly (readonly SimdPlace[])[];
}

/** A module that the kernels run. */
export type SimdProgram = LSTMProgram | GRUProgram;

/** Not of the running half, which a program of LSTMs does not have. */
const GRU_KIND: GRUProgram["kind"] = "GRU";

/** Whether the kernels run a module: an LSTM or a GRU whose values float32 holds. */
function runs(program: NodeProgram): program is SimdProgram {
  if (program.kind !== lstmKind.kind && program.kind !== GRU_KIND) return false;
  const { layers } = program as SimdProgram;
  if (layers === null) return false;
  return layers.every((layer: SimdLayers[number]) => layer.every(({ float32 }) => float32));
}

/** Values of a hidden state. */
function stateSize({ projSize, hiddenSize }: SimdProgram): number {
  return projSize || hiddenSize;
}

type SimdLayers = readonly (readonly (LSTMCellProgram | GRULayerProgram)[])[];

/** How the kernels lay out a kind's cells. */
interface SimdLayout {
  /** Gates of a unit. */
  readonly gates: number;
  /**
   * Where what a row of projected inputs is goes, where that is not where it stands: vectors are
   * gates of four units in turn.
   */
  readonly turns: Int32Array | null;
  /** Bytes of a projected input and the gap behind it. */
  readonly width: number;
}

function layoutOf({ kind, hiddenSize }: SimdProgram): SimdLayout {
  if (kind !== GRU_KIND) {
    return { gates: 4, turns: null, width: projectedBytes(wholeUnits(hiddenSize)) };
  }
  return {
    gates: GRU_TURNS,
    turns: Int32Array.from({ length: GRU_TURNS * hiddenSize }, (_, row) => turnOf(row, GRU_TURNS)),
    width: turnRows(hiddenSize, GRU_TURNS) * 4 + GAP * 4,
  };
}

/** Steps whose inputs and outputs stand in memory at a time, and inputs that one call takes in. */
interface ChunkSizes {
  /** Steps of all rows. */
  readonly chunk: number;
  /** Float32 values on their way in. */
  readonly staged: number;
}

/** Names of the blocks that scratch is laid out in, in their order. */
const BLOCKS = [
  "h",
  "c",
  "rows",
  "gates",
  "next",
  "second",
  "aside",
  "x",
  "projected",
  "inputs",
  "out",
  "staged",
] as const;

/** Bytes of each block, or where it stands. */
export type Blocks = { readonly [name in typeof BLOCKS[number]]: number };

/** Units whose rows, of any number of gates in turn, are whole blocks. */
const UNITS_TOGETHER = 32;

/**
 * Bytes that steps work in. With split gates no block holds the gates of all units: rows have room
 * for those that are taken at a time, once for what the input gives and once for the hidden state.
 */
export class ScratchSizes {
  readonly #program: SimdProgram;
  readonly #cells: readonly (readonly SimdPlace[])[];
  /** Hidden size in whole blocks. */
  readonly units: number;
  /** Units that split gates take at a time; about half of all where there are more of them. */
  readonly splitUnits: number;
  /** Bytes of a row's hidden state, an operand, and of its cell state or hidden state, float32. */
  readonly hBytes: number;
  readonly cBytes: number;
  /** Bytes of an operand of any cell's input. */
  readonly #xBytes: number;
  /** The largest number of values that go into a layer. */
  readonly #inputSize: number;
  /** Bytes of an input that is projected before the step, with fused gates and with split ones. */
  readonly #widths: readonly [fused: number, split: number];
  /** Values of a hidden state in whole blocks. */
  readonly stateUnits: number;
  /** Bytes of an operand of a second product, and of its sums. */
  readonly #secondBytes: number;
  readonly #secondSums: number;

  constructor(program: SimdProgram, cells: readonly (readonly SimdPlace[])[]) {
    const { hiddenSize, tokens, inputs } = program;
    const all = cells.flat();
    const max = (bytes: (cell: SimdPlace) => number): number => Math.max(...all.map(bytes));
    const { width } = layoutOf(program);
    this.#program = program;
    this.#cells = cells;
    this.units = wholeUnits(hiddenSize);
    this.splitUnits = Math.min(this.units, splitUnits(hiddenSize, UNITS_TOGETHER));
    this.hBytes = max(({ hidden }) => hidden.bytes);
    this.cBytes = this.units * 4;
    this.#xBytes = max(({ input }) => input?.bytes ?? 0);
    this.#inputSize = Math.max(
      tokens ? 0 : inputs[0]!.size,
      cells.length > 1 ? stateSize(program) * cells[0]!.length : 0,
    );
    // Tokens' projected inputs stand with the constants.
    const given = !tokens && cells[0]!.some(({ input }) => input === null);
    const projects = given || all.some(({ input }) => input !== null);
    this.#widths = [projects ? width : 0, given ? width : 0];
    this.stateUnits = wholeUnits(stateSize(program));
    this.#secondBytes = max(({ second }) => second?.bytes ?? 0);
    this.#secondSums = max(({ second }) => (second?.rows ?? 0) * 4);
  }

  /**
   * What a call of so many rows and steps works on at a time.
   *
   * @param takesReals Whether it is given reals, which one call takes in where they are not too many.
   */
  chunkOf(batch: number, steps: number, split: boolean, takesReals: boolean): ChunkSizes {
    const width = this.#widths[+split]!;
    const values = this.#inputSize + this.stateUnits;
    const step = split ? this.#xBytes + width + 4 * (values + 1) : width || 4 * this.stateUnits;
    const room = Math.floor((split ? SPLIT_CHUNK : CHUNK) / (batch * step));
    const chunk = batch * Math.max(1, Math.min(steps, room));
    const reals = takesReals && !split ? batch * steps * this.#program.inputs[0]!.size : 0;
    return { chunk, staged: Math.max(chunk * this.#inputSize, Math.min(reals, STAGED)) };
  }

  /** Bytes of the blocks. */
  blocks(batch: number, { chunk, staged }: ChunkSizes, split: boolean): Blocks {
    const { units, stateUnits, hBytes, cBytes } = this;
    const { kind, hiddenSize } = this.#program;
    const isGRU = kind === GRU_KIND;
    const rows = this.#cells.flat().length * batch;
    const together = split ? this.splitUnits : units;
    const sums = (gates: number): number =>
      4 * (isGRU ? turnRows(Math.min(together, hiddenSize), gates) : gates * together);
    const { gates } = layoutOf(this.#program);
    const second = this.#secondBytes;
    // Where a state is reset first its gate's sums stand behind the others'; those of a projection
    // are made once gates are done with.
    const own = isGRU && second > 0 ? sums(gates - 1) + (split ? 0 : sums(1)) : sums(gates);
    const all = Math.max(own + (split ? sums(gates) : 0), isGRU ? 0 : this.#secondSums);
    const blocks = split && together < units;
    // Inputs are read, and outputs written, in whole blocks, so that the last one's end may lie
    // behind them.
    return {
      h: rows * hBytes,
      c: rows * cBytes,
      rows: batch * ROW.SIZE * 4,
      gates: batch * (all + GAP * 4),
      next: blocks ? batch * hBytes : 0,
      second: second > 0 ? batch * (second + (split && isGRU ? 2 * cBytes : 0)) : 0,
      aside: isGRU ? 0 : together * 16,
      x: chunk * this.#xBytes,
      projected: chunk * this.#widths[+split]!,
      inputs: chunk * 4,
      out: (chunk * stateUnits + BLOCK_UNITS) * 4,
      staged: (staged + BLOCK_UNITS) * 4,
    };
  }
}

/** Writes a row of projected inputs where the kernels read it. */
function placeRow(
  { f32 }: Arena,
  to: number,
  rows: Float32Array,
  from: number,
  turns: Int32Array,
): void {
  for (let i = 0; i < turns.length; i++) f32[to + turns[i]!] = rows[from + i]!;
}

/** Tokens' projected inputs in the kernel's memory, each written when its token is first met. */
class SimdTokens {
  readonly #at: number;
  readonly #width: number;
  readonly #known: Uint8Array;
  readonly #turns: Int32Array | null;
  readonly #project: Projector;
  /** Where a row is projected that does not stand in memory as it is. */
  readonly #row: Float32Array;

  constructor(arena: Arena, count: number, program: SimdProgram, project: Projector) {
    const { hiddenSize } = program;
    const { gates, turns } = layoutOf(program);
    this.#project = project;
    this.#turns = turns;
    this.#row = new Float32Array(turns === null ? 0 : turns.length);
    this.#width = wholeUnits(hiddenSize) * gates * 4;
    this.#at = arena.take(count * this.#width);
    this.#known = new Uint8Array(count);
  }

  /** The address of the projected input of the token at `from`. */
  at(arena: Arena, x: Values, from: number): number {
    const token = x[from]! | 0;
    const at = this.#at + token * this.#width;
    if (this.#known[token] === 0) {
      if (this.#turns === null) this.#project(x, from, arena.f32, at / 4);
      else {
        this.#project(x, from, this.#row, 0);
        placeRow(arena, at / 4, this.#row, 0, this.#turns);
      }
      this.#known[token] = 1;
    }
    return at;
  }
}

/**
 * A state that stands in the kernel's memory from one step to the next, for as long as no other
 * does: asked for, it is copied out. So any number of states can exist, and one that makes step
 * after step is never copied.
 */
class SimdState {
  readonly fresh: Uint8Array;
  readonly #owner: SimdRecurrent;
  readonly #h: Float64Array;
  readonly #c: Float64Array | undefined;

  constructor(owner: SimdRecurrent, { h, c, fresh }: ModuleState) {
    this.#owner = owner;
    this.#h = h as Float64Array;
    this.#c = c as Float64Array | undefined;
    this.fresh = fresh as Uint8Array;
  }

  get h(): Float64Array {
    this.#owner.release(this);
    return this.#h;
  }

  /** Cell states, where cells have them. */
  get c(): Float64Array | undefined {
    this.#owner.release(this);
    return this.#c;
  }
}

const NO_CHUNK: ChunkSizes = { chunk: 0, staged: 0 };

class SimdRecurrent implements ModuleInstance {
  readonly infallible = true;
  readonly takesReals: boolean;
  readonly givesReals: boolean;
  readonly #program: SimdProgram;
  readonly #kernel: SimdExports;
  readonly #runSteps: RunSteps;
  readonly #arena: Arena;
  readonly #cells: readonly (readonly SimdCell[])[];
  readonly #tokens: readonly (SimdTokens | null)[];
  readonly #sizes: ScratchSizes;
  /** Bytes of a projected input. */
  readonly #width: number;
  /** The state that stands in memory. */
  #resident: SimdState | null = null;
  /** Bytes of the blocks of scratch, in the order of {@linkcode BLOCKS}. */
  #held: readonly number[] = BLOCKS.map(() => 0);
  // Where they stand: fields, since each step reads them.
  #h = 0;
  #c = 0;
  #rows = 0;
  #gates = 0;
  #next = 0;
  #second = 0;
  #x = 0;
  #projected = 0;
  #inputs = 0;
  #out = 0;
  #staged = 0;
  readonly #hBytes: number;
  readonly #cBytes: number;
  /** The form that rows' scratch is laid out for: units at a time where gates are split, else 0. */
  #form = -1;
  readonly #splitUnits: number;
  /** Values of a hidden state. */
  readonly #stateSize: number;
  /** What a call works on at a time, with fused gates and with split ones. */
  readonly #chunks: [fused: ChunkSizes, split: ChunkSizes] = [NO_CHUNK, NO_CHUNK];
  /** Views of so many rows of outputs: what is long enough is copied by one call. */
  #outputs: Float32Array[] = [];
  /** What goes from layer to layer: two arrays serve any number. Float32 takes every integer. */
  readonly #between: Float32Array[] = [];
  /** Where a row's projected inputs go, and one by itself; null where they stand there. */
  readonly #turns: Int32Array | null;
  readonly #unplaced: Float32Array | null;

  constructor(
    program: SimdProgram,
    kernel: SimdExports,
    arena: Arena,
    cells: readonly (readonly SimdCell[])[],
    tokens: readonly (SimdTokens | null)[],
  ) {
    const { qparams: input } = program.inputs[0]!;
    // Beyond, qint32 is quantized in another way.
    this.takesReals = input !== null && Math.max(-input.quantMin, input.quantMax) < EXACT;
    this.givesReals = cells[0]!.length === 1;
    const { width, turns } = layoutOf(program);
    this.#program = program;
    this.#kernel = kernel;
    this.#runSteps = turns === null ? kernel.runSteps : kernel.runGRUSteps;
    this.#arena = arena;
    this.#cells = cells;
    this.#tokens = tokens;
    this.#sizes = new ScratchSizes(program, cells);
    this.#hBytes = this.#sizes.hBytes;
    this.#cBytes = this.#sizes.cBytes;
    this.#splitUnits = this.#sizes.splitUnits;
    this.#stateSize = stateSize(program);
    this.#width = width;
    this.#turns = turns;
    this.#unplaced = turns && new Float32Array(turns.length);
    this.reserve(1, 1, program.splitGates);
  }

  createState(batch: number): ModuleState {
    const state = createSlots(this.#program, batch);
    return new SimdState(this, state) as unknown as ModuleState;
  }

  /** Makes blocks as large as these at least. A failure leaves all as it was. */
  #grow(sizes: Blocks): void {
    const held = this.#held;
    if (BLOCKS.every((name, i) => sizes[name] <= held[i]!)) return;
    const arena = this.#arena;
    const larger = BLOCKS.map((name, i) => Math.max(sizes[name], held[i]!));
    const addresses = arena.layOut(larger);
    if (this.#resident !== null) this.release(this.#resident);
    this.#held = larger;
    const at = Object.fromEntries(BLOCKS.map((name, i) => [name, addresses[i]!])) as Blocks;
    this.#h = at.h;
    this.#c = at.c;
    this.#rows = at.rows;
    this.#gates = at.gates;
    this.#next = at.next;
    this.#second = at.second;
    this.#x = at.x;
    this.#projected = at.projected;
    this.#inputs = at.inputs;
    this.#out = at.out;
    this.#staged = at.staged;
    // The units that fill the last block read their states too, and what stood there may be no
    // number.
    arena.u8.fill(0, this.#h, addresses[addresses.length - 1]!);
    arena.i32[SHARED.ASIDE] = at.aside;
    // Memory that grows leaves its views behind, and what is laid out anew stands elsewhere.
    this.#outputs = [];
    this.#form = -1;
  }

  /** Writes where the scratch of each row stands, which only another form and growth change. */
  #layRows(form: number): void {
    const { gates, next, second } = this.#sizes.blocks(1, NO_CHUNK, form > 0);
    const { i32 } = this.#arena;
    this.#form = form;
    const end = this.#held[BLOCKS.indexOf("rows")]! / 4;
    for (let at = 0, row = 0; at < end; at += ROW.SIZE, row++) {
      const to = this.#rows / 4 + at;
      i32[to + ROW.GATES] = this.#gates + row * gates;
      i32[to + ROW.NEXT] = this.#next + row * next;
      i32[to + ROW.SECOND] = this.#second + row * second;
    }
  }

  reserve(batch: number, steps: number, split: boolean): number {
    const own = this.#sizes.chunkOf(batch, steps, split, this.takesReals);
    const blocks = this.#sizes.blocks(batch, own, split);
    this.#grow(blocks);
    const { chunk, staged } = this.#chunks[+split]!;
    this.#chunks[+split] = {
      chunk: Math.max(chunk, own.chunk),
      staged: Math.max(staged, own.staged),
    };
    const size = batch * steps * stateSize(this.#program) * this.#cells[0]!.length;
    let bytes = BLOCKS.reduce((sum, name) => sum + blocks[name], 0);
    for (let i = 0; i < Math.min(2, this.#cells.length - 1); i++) {
      if (!(this.#between[i]?.length! >= size)) this.#between[i] = new Float32Array(size);
      bytes += size * 4;
    }
    return bytes;
  }

  /** Copies a state out of the kernel's memory if it stands there, and forgets it there. */
  release(state: SimdState): void {
    if (this.#resident !== state) return;
    this.#resident = null;
    this.#copy(state, true);
  }

  #copy(state: SimdState, out: boolean): void {
    const { hiddenSize } = this.#program;
    const size = stateSize(this.#program);
    const { f32 } = this.#arena;
    const { h, c = h } = state;
    const cells = this.#cells.flat();
    const batch = state.fresh.length / cells.length;
    for (let row = 0; row < state.fresh.length; row++) {
      const { hidden } = cells[Math.floor(row / batch)]!;
      const from = row * size;
      const at = row * hiddenSize;
      const hAt = this.#h + row * this.#hBytes;
      const cAt = (this.#c + row * this.#cBytes) / 4;
      if (out) {
        loadOperand(this.#arena, hidden, hAt, h, from, size);
        for (let j = 0; j < hiddenSize; j++) c[at + j] = f32[cAt + j]!;
      } else {
        storeOperand(this.#arena, hidden, hAt, h, from, size);
        for (let j = 0; j < hiddenSize; j++) f32[cAt + j] = c[at + j]!;
      }
    }
  }

  process(state: ModuleState, inputs: readonly Values[], out: Values, call: Call): void {
    const given = state as unknown as SimdState;
    if (this.#resident !== given) {
      if (this.#resident !== null) this.release(this.#resident);
      this.#copy(given, false);
      this.#resident = given;
    }
    const form = call.splitGates ? this.#splitUnits : 0;
    if (form !== this.#form) this.#layRows(form);
    const last = this.#cells.length - 1;
    for (let l = 0; l <= last; l++) {
      const from = l === 0 ? inputs[0]! : this.#between[(l - 1) & 1]!;
      const to = l === last ? out : this.#between[l & 1]!;
      for (let d = 0; d < this.#cells[l]!.length; d++) {
        this.#cell(given.fresh, l, d, from, to, call);
      }
    }
  }

  /**
   * Runs all rows of the batch through one layer and direction, each row from its own first step
   * on.
   */
  #cell(
    fresh: Uint8Array,
    l: number,
    d: number,
    x: Values,
    out: Values,
    call: Call,
  ): void {
    const { steps, batch, lengths } = call;
    const size = this.#stateSize;
    const { f32 } = this.#arena;
    const layer = this.#cells[l]!;
    const instance = layer[d]!;
    const width = size * layer.length;
    const together = Math.floor(this.#chunks[+call.splitGates]!.chunk / batch);
    // Values from one row's output in the kernel's memory to the next one's. Whole blocks are
    // written, so that a row must not reach into another one's; of a row alone each step overwrites
    // what the one before wrote too much.
    const pitch = batch === 1 ? size : this.#sizes.stateUnits;
    // Whether `out` holds the same values in the same order: nothing between rows here, no other
    // direction's there.
    const contiguous = lengths === null && pitch === size && layer.length === 1;
    const reals = call.realsOut && l === this.#cells.length - 1;
    const fewest = reals ? COPIED.REALS : COPIED.INTEGERS;
    const first = reals ? call.outputOffset : 0;
    for (let from = 0; from < steps; from += together) {
      const to = Math.min(from + together, steps);
      const count = (to - from) * batch;
      this.#projectChunk(l, d, x, from, to, call);
      this.#runChunk(fresh, l, d, from, to, call, pitch * 4, reals);
      if (contiguous && count * width >= fewest) {
        this.#outputs[count] ??= new Float32Array(f32.buffer, this.#out, count * width);
        out.set(this.#outputs[count]!, first + from * batch * width);
        continue;
      }
      for (let t = from, at = this.#out / 4; t < to; t++) {
        for (let b = 0; b < batch; b++, at += pitch) {
          const length = lengths === null ? steps : Math.min(steps, lengths[b]!);
          if (t >= length) continue;
          const row = first + ((d === 0 ? t : length - 1 - t) * batch + b) * width + d * size;
          for (let j = 0; j < size; j++) out[row + j] = f32[at + j]!;
          // torch.cat keeps the first tensor's parameters and requantizes the others.
          if (d === 1) {
            convertCentered(
              out,
              row,
              size,
              instance.hiddenQParams,
              layer[0]!.hiddenQParams,
            );
          }
        }
      }
    }
  }

  /**
   * Projects the inputs of steps `from` to `to` as one product, or stores them where gates are split,
   * and writes where each stands.
   */
  #projectChunk(
    l: number,
    d: number,
    x: Values,
    from: number,
    to: number,
    call: Call,
  ): void {
    const { steps, batch, lengths, splitGates } = call;
    const instance = this.#cells[l]![d]!;
    const { i32, f32 } = this.#arena;
    const staged = this.#staged / 4;
    const stores = splitGates && instance.input !== null;
    const pitch = stores ? instance.input!.bytes : this.#width;
    const tokens = l === 0 ? this.#tokens[d]! : null;
    const size = l === 0 ? this.#program.inputs[0]!.size : this.#stateSize * this.#cells[l]!.length;
    const reals = call.realsIn && l === 0;
    const first = reals ? call.inputOffset : 0;
    // One call copies what is given as it stands.
    const whole = reals && d === 0 && lengths === null && x.length === steps * batch * size &&
      x.length <= this.#chunks[+splitGates]!.staged;
    if (whole && from === 0) f32.set(x, staged);
    let rows = 0;
    let projected = stores ? this.#x : this.#projected;
    for (let t = from, at = this.#inputs / 4; t < to; t++) {
      for (let b = 0; b < batch; b++, at++) {
        const length = lengths === null ? steps : Math.min(steps, lengths[b]!);
        if (t >= length) continue;
        const row = (d === 0 ? t : length - 1 - t) * batch + b;
        if (tokens !== null) {
          i32[at] = tokens.at(this.#arena, x, row);
          continue;
        }
        if (instance.input === null) {
          const turns = this.#turns;
          if (turns === null) instance.float!(x, row * size, f32, projected / 4);
          else {
            instance.float!(x, row * size, this.#unplaced!, 0);
            placeRow(this.#arena, projected / 4, this.#unplaced!, 0, turns);
          }
        } else if (!whole) {
          for (let k = 0, to = staged + rows * size, from = first + row * size; k < size; k++) {
            f32[to + k] = x[from + k]!;
          }
        }
        i32[at] = projected;
        projected += pitch;
        rows++;
      }
    }
    if (instance.input !== null && rows > 0) {
      f32[SHARED.IN_SCALE] = reals ? instance.inverseScale : 1;
      const at = this.#staged + (whole ? from * batch * size * 4 : 0);
      if (stores) this.#kernel.storeInputs(instance.cell, at, this.#x, size, rows);
      else this.#kernel.projectInput(instance.cell, at, this.#x, this.#projected, size, rows);
    }
  }

  /**
   * Runs steps `from` to `to` on their projected inputs: as many together as the same rows make.
   */
  #runChunk(
    fresh: Uint8Array,
    l: number,
    d: number,
    from: number,
    to: number,
    { steps, batch, lengths }: Call,
    outBytes: number,
    reals: boolean,
  ): void {
    const layer = this.#cells[l]!;
    const { cell, initial, running, hiddenQParams } = layer[d]!;
    const { i32, f32 } = this.#arena;
    f32[SHARED.OUT_SCALE] = reals ? hiddenQParams.scale : 1;
    const first = (l * layer.length + d) * batch;
    for (let t = from, end = to; t < to; t = end, end = to) {
      let rows = 0;
      for (let b = 0; b < batch; b++) {
        const length = lengths === null ? steps : Math.min(steps, lengths[b]!);
        const place = first + b;
        if (t >= length) continue;
        const row = this.#rows / 4 + rows * ROW.SIZE;
        const at = (t - from) * batch + b;
        i32[row + ROW.PROJECTION] = fresh[place] === 1 ? initial : running;
        i32[row + ROW.HIDDEN] = this.#h + place * this.#hBytes;
        i32[row + ROW.CELL] = this.#c + place * this.#cBytes;
        i32[row + ROW.INPUTS] = this.#inputs + at * 4;
        i32[row + ROW.OUTPUT] = this.#out + at * outBytes;
        end = Math.min(end, fresh[place] === 1 && initial !== running ? t + 1 : length);
        fresh[place] = 0;
        rows++;
      }
      if (rows === 0) return;
      this.#runSteps(cell, this.#rows, rows, batch * 4, batch * outBytes, end - t, this.#form);
    }
  }
}

/**
 * WebAssembly SIMD kernels: give them to a session. Made by {@linkcode simdKernels}.
 *
 * @example
 * ```ts
 * import { convert, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
 * import { simdKernels } from "@splitgate/splitgate/simd";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), fbgemmQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const model = convert(observed), kernels = await simdKernels(), x = Float32Array.of(0.1, -0.4);
 * const fast = new Float32Array(3), portable = new Float32Array(3);
 * model.createSession({ kernels }).step(x, fast);
 * model.createSession().step(x, portable);
 * assertEquals(fast, portable);
 * ```
 */
export class SimdKernels implements Backend {
  readonly name: string = "simd";
  /** Whether the module has relaxed dot products, which 7-bit activations run on. */
  readonly relaxed: boolean;
  readonly #module: WasmModule;
  readonly #oneStep: boolean;
  /** What told about the engine, for the first LSTM. */
  #unused: SimdExports | null;
  /** Where the next projector stands, as long as others that stand there are in use. */
  #projectors: WeakRef<SimdProjectors> | null = null;

  /**
   * Use {@linkcode simdKernels}.
   *
   * @param oneStep For tests: whether relaxed sums of four products are taken for one instruction
   * of the processor.
   */
  constructor(module: WasmModule, oneStep?: boolean) {
    this.#module = module;
    const kernel = this.#unused = this.#instance();
    this.relaxed = kernel.relaxed.value === 1;
    this.#oneStep = oneStep ?? kernel.chosen() !== SATURATED;
  }

  #instance(): SimdExports {
    let instance: WebAssembly.Instance;
    try {
      instance = new WebAssembly.Instance(this.#module);
    } catch (cause) {
      throw new RangeError(
        "kernels: expected room for another WebAssembly memory, got an engine without; " +
          "drop models that are done with, or run without SIMD kernels",
        { cause },
      );
    }
    return instance.exports as unknown as SimdExports;
  }

  /** Tells memories from those that other kernels make, or these in another engine. */
  get #kind(): string {
    return `${this.name} ${IMAGE_LAYOUT}, ${
      !this.relaxed ? "plain" : this.#oneStep ? "relaxed, one step" : "relaxed, two steps"
    }`;
  }

  instantiate(program: NodeProgram): ModuleInstance | null {
    if (!runs(program)) return null;
    const kernel = this.#take();
    const arena = new Arena(kernel.memory, this.#oneStep);
    const tables = tablesOf(arena, program);
    const image = program.image as SimdImage | undefined;
    const places = image?.kernels === this.#kind
      ? image.cells
      : this.#write(arena, program, tables);
    if (places === null) return null;
    if (places === image?.cells) {
      const at = arena.take(image.memory.length);
      arena.u8.set(image.memory, at);
    }
    let from = program.inputs[0]!.qparams;
    const layers: SimdLayers = program.layers!;
    const { tokens: table } = program;
    const project = (projector: ProjectorProgram): Projector => {
      const own = table && floatProjector(kernel, arena, projector);
      return inputProjector(projector, table, own ?? undefined);
    };
    const cells = layers.map((layer, l) => {
      const inverseScale = from === null ? 1 : reciprocal(from.scale);
      from = layer[0]!.hidden;
      return layer.map(({ projector, hidden }, d): SimdCell => ({
        ...places[l]![d]!,
        float: projector && project(projector),
        inverseScale,
        hiddenQParams: hidden,
      }));
    });
    const tokens = cells[0]!.map(({ float }) =>
      table ? new SimdTokens(arena, table.scales.length, program, float!) : null
    );
    return new SimdRecurrent(program, kernel, arena, cells, tokens);
  }

  projector(program: ProjectorProgram, input: PerTensorQParams): Projector | null {
    let projectors = this.#projectors?.deref();
    if (projectors === undefined || projectors.full) {
      projectors = new SimdProjectors(this.#take(), this.#oneStep);
      this.#projectors = new WeakRef(projectors);
    }
    return projectors.projector(program, input, this.relaxed);
  }

  /** A memory and its kernels, for no other use. */
  #take(): SimdExports {
    const kernel = this.#unused ?? this.#instance();
    this.#unused = null;
    return kernel;
  }

  image(program: NodeProgram): Image | null {
    if (!runs(program)) return null;
    const arena = new Arena(new WebAssembly.Memory({ initial: 1 }), this.#oneStep);
    const tables = tablesOf(arena, program);
    const from = arena.take(0);
    const cells = this.#write(arena, program, tables);
    return cells &&
      { kernels: this.#kind, memory: arena.u8.slice(from, arena.take(0)), cells } as SimdImage;
  }

  /** Writes the constants of all cells; null where there is one that the kernels do not run. */
  #write(arena: Arena, program: SimdProgram, tables: readonly number[]): SimdPlace[][] | null {
    const layers: SimdPlace[][] = [];
    let from = program.inputs[0]!.qparams;
    for (const [l, layer] of program.layers!.entries()) {
      const places: SimdPlace[] = [];
      for (let d = 0; d < layer.length; d++) {
        const place = program.kind === GRU_KIND
          ? this.#writeGRU(arena, program, program.layers![l]![d]!, from, tables)
          : this.#writeLSTM(arena, program, program.layers![l]![d]!, from, tables);
        if (place === null) return null;
        places.push(place);
      }
      layers.push(places);
      from = layer[0]!.hidden;
    }
    return layers;
  }

  /**
   * Writes the weights of one product.
   *
   * @param usual What its values are but at a row's first step.
   */
  #writeOperand(
    arena: Arena,
    { engine }: SimdProgram,
    rows: WeightRows,
    span: Span,
    usual: Span,
    turns = 0,
  ): Operand | null {
    // fbgemm's qconfigs have reduce_range: 0 then stands at about 64, and at 128 where all eight
    // bits are used.
    const reduced = engine === "fbgemm" && usual.min > -96;
    return writeOperand(arena, rows, span, this.relaxed, reduced, turns);
  }

  #writeLSTM(
    arena: Arena,
    lstm: LSTMProgram,
    program: LSTMCellProgram,
    from: PerTensorQParams | null,
    tables: readonly number[],
  ): SimdPlace | null {
    const { cell, running, first, hidden: to } = program;
    const { inputRows, inputProjection, hiddenOutput } = cell;
    const span = from && spanOf(from);
    const input = inputRows && this.#writeOperand(arena, lstm, inputRows, span!, span!);
    const hidden = this.#writeOperand(arena, lstm, cell.hiddenRows, program, spanOf(to));
    if ((input === null && inputRows !== null) || hidden === null) return null;
    const projection = input === null ? 0 : writeProjection(arena, inputProjection!, input, 0);
    const second = hiddenOutput &&
      this.#writeSecond(arena, lstm, hiddenOutput, cell.constants, HIDDEN);
    if (second === null && hiddenOutput !== null) return null;
    return {
      cell: writeCell(arena, cell, input, hidden, projection, second, lstm.tables, tables),
      input,
      hidden,
      second: second && second.operand,
      ...writeBindings(arena, running, first ?? running, hidden),
    };
  }

  #writeGRU(
    arena: Arena,
    gru: GRUProgram,
    program: GRULayerProgram,
    from: PerTensorQParams | null,
    tables: readonly number[],
  ): SimdPlace | null {
    const { cell, running, first, hidden: to } = program;
    const { inputRows, inputProjection, newOutput } = cell;
    const span = from && spanOf(from);
    const input = inputRows && this.#writeOperand(arena, gru, inputRows, span!, span!, GRU_TURNS);
    const gates = newOutput === null ? GRU_TURNS : GRU_TURNS - 1;
    const hidden = this.#writeOperand(arena, gru, cell.hiddenRows, program, spanOf(to), gates);
    const reset = newOutput &&
      this.#writeSecond(arena, gru, newOutput, running.constants, RESET_PRODUCT + 1);
    if (hidden === null || (input === null) !== (inputRows === null)) return null;
    if ((reset === null) !== (newOutput === null)) return null;
    const projection = input && writeProjection(arena, inputProjection!, input, 0, GRU_TURNS);
    const operands = { hidden, input, projection: projection ?? 0, reset };
    return {
      cell: writeGRUCell(arena, cell, operands, gru.tables, tables),
      input,
      hidden,
      second: reset && reset.operand,
      ...writeGRUBindings(arena, running, first ?? running, hidden, gates),
    };
  }

  /**
   * Writes what a state is multiplied by in a step's second product.
   *
   * @param k Constants, among them those of the product that the state is, from `product` on.
   */
  #writeSecond(
    arena: Arena,
    program: SimdProgram,
    { rows, projection }: { readonly rows: WeightRows; readonly projection: Projection },
    k: Float64Array,
    product: number,
  ): SecondOperand | null {
    const span = { min: k[product + PRODUCT_LO]!, max: k[product + PRODUCT_HI]! };
    const operand = this.#writeOperand(arena, program, rows, span, span, 1);
    return operand && { operand, projection: writeProjection(arena, projection, operand, 0, 1) };
  }
}

/** Makes room for the tables of all cells, and gives where they stand. */
function tablesOf(arena: Arena, program: SimdProgram): number[] {
  const layers: SimdLayers = program.layers!;
  return writeTables(arena, program.tables, layers.flat().map(({ cell }) => cell));
}

/** What integers less their zero point can be. */
function spanOf({ quantMin, quantMax, zeroPoint }: PerTensorQParams): Span {
  return { min: quantMin - zeroPoint, max: quantMax - zeroPoint };
}
