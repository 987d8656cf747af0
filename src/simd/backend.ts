/**
 * Runs LSTMs and GRUs in WebAssembly: two calls per layer and direction for any number of steps and
 * batch rows.
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
  GRU_GATES,
  interleavedIndex,
  interleavedRows,
  loadOperand,
  type Operand,
  type RunSteps,
  type SecondOperand,
  type SimdExports,
  type Span,
  storeOperand,
  wholeUnits,
  writeBindings,
  writeCell,
  writeGRUBindings,
  writeGRUCell,
  writeOperand,
  writeProjection,
  writeTables,
} from "./memory.ts";

/** Max bytes of projected inputs in memory at a time, unless a single step needs more. */
export const CHUNK = 65536;

/**
 * Max bytes of inputs and outputs in memory with split gates, unless a single step needs more: a
 * larger chunk would only save calls.
 */
export const SPLIT_CHUNK = 8192;

/**
 * Max real numbers that are copied into the kernel's memory in one call, however many a chunk
 * takes.
 */
export const STAGED = 65536;

/**
 * Min numbers of outputs, reals and integers, that are copied out of the kernel's memory in one
 * call; fewer are copied in a loop.
 */
export const COPIED = { REALS: 16, INTEGERS: 128 } as const;

/** Magnitude up to which float32 holds every integer. */
const EXACT = 2 ** 24;

/** Bytes of a projected input, including the gap after it. */
export function projectedBytes(units: number): number {
  return units * 16 + GAP * 4;
}

/**
 * Result for -128 * 255 on an engine without an instruction that sums four products: sums of pairs
 * saturate to int16. Such engines are faster with two steps per sum, others (VNNI, Arm's dot
 * products) with one.
 */
const SATURATED = -65536;

/** Constants of one layer and direction in the kernel's memory: addresses and operands. */
interface CellConstants {
  readonly cell: number;
  /**
   * The operand of its input; null for float32 values, which are projected outside, and for tokens.
   */
  readonly input: Operand | null;
  readonly hidden: Operand;
  /**
   * The operand of a GRU's reset state, or of an LSTM's state before projection; null if there is
   * none.
   */
  readonly second: Operand | null;
  readonly running: number;
  readonly initial: number;
}

/** One layer and direction of a module. */
interface SimdCell extends CellConstants {
  readonly float: Projector | null;
  /** Reciprocal of the input's scale. */
  readonly inverseScale: number;
  readonly hiddenQParams: PerTensorQParams;
}

/** Version of the memory layout of a cell's constants; images of other versions are not used. */
const IMAGE_LAYOUT = 3;

/** An image of the constants of all cells, which follow the tables in memory. */
interface SimdImage extends Image {
  readonly memory: Uint8Array;
  readonly cells: readonly (readonly CellConstants[])[];
}

/** A module that the kernels run. */
export type SimdProgram = LSTMProgram | GRUProgram;

/**
 * A literal, because importing the running half of GRU would add it to bundles that only run LSTMs.
 */
const GRU_KIND: GRUProgram["kind"] = "GRU";

/** Whether the kernels can run a module: an LSTM or GRU whose values fit in float32. */
function runs(program: NodeProgram): program is SimdProgram {
  if (program.kind !== lstmKind.kind && program.kind !== GRU_KIND) return false;
  const { layers } = program as SimdProgram;
  if (layers === null) return false;
  return layers.every((layer: SimdLayers[number]) => layer.every(({ float32 }) => float32));
}

/** Width of a hidden state. */
function stateSize({ projSize, hiddenSize }: SimdProgram): number {
  return projSize || hiddenSize;
}

type SimdLayers = readonly (readonly (LSTMCellProgram | GRULayerProgram)[])[];

/** The memory layout of a kind's cells. */
interface SimdLayout {
  /** Number of gates per unit. */
  readonly gates: number;
  /**
   * Index of each element of a projected input in memory, where the gates are interleaved by
   * vectors of four units; null if elements keep their order.
   */
  readonly interleaving: Int32Array | null;
  /** Bytes of a projected input, including the gap after it. */
  readonly width: number;
}

function layoutOf({ kind, hiddenSize }: SimdProgram): SimdLayout {
  if (kind !== GRU_KIND) {
    return { gates: 4, interleaving: null, width: projectedBytes(wholeUnits(hiddenSize)) };
  }
  return {
    gates: GRU_GATES,
    interleaving: Int32Array.from(
      { length: GRU_GATES * hiddenSize },
      (_, row) => interleavedIndex(row, GRU_GATES),
    ),
    width: interleavedRows(hiddenSize, GRU_GATES) * 4 + GAP * 4,
  };
}

/** Numbers of steps and inputs in memory at a time. */
interface ChunkSizes {
  /** Number of steps, counting each batch row. */
  readonly chunk: number;
  /** Number of float32 input values. */
  readonly staged: number;
}

/** Names of the blocks of scratch, in memory order. */
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

/** A size in bytes or an address for each block. */
export type Blocks = { readonly [name in typeof BLOCKS[number]]: number };

/** Number of units whose rows form whole blocks for any number of interleaved gates. */
const UNITS_TOGETHER = 32;

/**
 * Computes the sizes of scratch for steps. With split gates, no block holds the gates of all units:
 * it holds those of the units that run at a time, once from the input and once from the hidden
 * state.
 */
export class ScratchSizes {
  readonly #program: SimdProgram;
  readonly #cells: readonly (readonly CellConstants[])[];
  /** Hidden size, rounded up to whole blocks. */
  readonly units: number;
  /** Number of units that split gates run at a time; about half of them in larger models. */
  readonly splitUnits: number;
  /**
   * Bytes of a row's hidden state as an operand, and of its cell state (or a GRU's hidden state) in
   * float32.
   */
  readonly hBytes: number;
  readonly cBytes: number;
  /** Max bytes of an operand over all cells' inputs. */
  readonly #xBytes: number;
  /** Max width of a layer's input. */
  readonly #inputSize: number;
  /** Bytes of an input that is projected before the step, with fused and with split gates. */
  readonly #widths: readonly [fused: number, split: number];
  /** Width of a hidden state, rounded up to whole blocks. */
  readonly stateUnits: number;
  /** Bytes of an operand of the second product, and of its sums. */
  readonly #secondBytes: number;
  readonly #secondSums: number;

  constructor(program: SimdProgram, cells: readonly (readonly CellConstants[])[]) {
    const { hiddenSize, tokens, inputs } = program;
    const all = cells.flat();
    const max = (bytes: (cell: CellConstants) => number): number => Math.max(...all.map(bytes));
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
    // Projected inputs of tokens are stored with the constants.
    const given = !tokens && cells[0]!.some(({ input }) => input === null);
    const projects = given || all.some(({ input }) => input !== null);
    this.#widths = [projects ? width : 0, given ? width : 0];
    this.stateUnits = wholeUnits(stateSize(program));
    this.#secondBytes = max(({ second }) => second?.bytes ?? 0);
    this.#secondSums = max(({ second }) => (second?.rows ?? 0) * 4);
  }

  /**
   * The amount of work per call for the given numbers of rows and steps.
   *
   * @param takesReals Whether the input is real numbers; if they are few, one call copies all.
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

  /** Sizes of the blocks in bytes. */
  blocks(batch: number, { chunk, staged }: ChunkSizes, split: boolean): Blocks {
    const { units, stateUnits, hBytes, cBytes } = this;
    const { kind, hiddenSize } = this.#program;
    const isGRU = kind === GRU_KIND;
    const rows = this.#cells.flat().length * batch;
    const together = split ? this.splitUnits : units;
    const sums = (gates: number): number =>
      4 * (isGRU ? interleavedRows(Math.min(together, hiddenSize), gates) : gates * together);
    const { gates } = layoutOf(this.#program);
    const second = this.#secondBytes;
    // If a GRU resets the state before its product, the sums of that gate follow the others; an
    // LSTM's projection reuses the memory of the gates.
    const own = isGRU && second > 0 ? sums(gates - 1) + (split ? 0 : sums(1)) : sums(gates);
    const all = Math.max(own + (split ? sums(gates) : 0), isGRU ? 0 : this.#secondSums);
    const blocks = split && together < units;
    // Inputs are read and outputs written in whole blocks, so that the last block may extend beyond
    // their end.
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

/** Writes a row of projected inputs in the interleaved order that the kernels read. */
function writeInterleaved(
  { f32 }: Arena,
  to: number,
  rows: Float32Array,
  from: number,
  interleaving: Int32Array,
): void {
  for (let i = 0; i < interleaving.length; i++) f32[to + interleaving[i]!] = rows[from + i]!;
}

/**
 * Projected inputs of tokens in the kernel's memory. Each is computed at the first use of its
 * token.
 */
class SimdTokens {
  readonly #at: number;
  readonly #width: number;
  readonly #known: Uint8Array;
  readonly #interleaving: Int32Array | null;
  readonly #project: Projector;
  /** Scratch for a projected row before its elements are interleaved. */
  readonly #row: Float32Array;

  constructor(arena: Arena, count: number, program: SimdProgram, project: Projector) {
    const { hiddenSize } = program;
    const { gates, interleaving } = layoutOf(program);
    this.#project = project;
    this.#interleaving = interleaving;
    this.#row = new Float32Array(interleaving === null ? 0 : interleaving.length);
    this.#width = wholeUnits(hiddenSize) * gates * 4;
    this.#at = arena.take(count * this.#width);
    this.#known = new Uint8Array(count);
  }

  /** The address of the projected input of the token at `from`. */
  at(arena: Arena, x: Values, from: number): number {
    const token = x[from]! | 0;
    const at = this.#at + token * this.#width;
    if (this.#known[token] === 0) {
      if (this.#interleaving === null) this.#project(x, from, arena.f32, at / 4);
      else {
        this.#project(x, from, this.#row, 0);
        writeInterleaved(arena, at / 4, this.#row, 0, this.#interleaving);
      }
      this.#known[token] = 1;
    }
    return at;
  }
}

/**
 * A state in the kernel's memory. It stays there between steps until another state takes its place;
 * then it is copied out. So there can be any number of states, and a state that runs step after
 * step is never copied.
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

  /** Cell states, if the module has them. */
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
  /** The state that is in the kernel's memory. */
  #resident: SimdState | null = null;
  /** Sizes of the blocks of scratch in bytes, in the order of {@linkcode BLOCKS}. */
  #held: readonly number[] = BLOCKS.map(() => 0);
  // Their addresses, in fields because each step reads them.
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
  /**
   * The form of the rows' scratch: the number of units at a time for split gates, 0 for fused
   * gates.
   */
  #form = -1;
  readonly #splitUnits: number;
  /** Width of a hidden state. */
  readonly #stateSize: number;
  /** The amount of work per call, with fused and with split gates. */
  readonly #chunks: [fused: ChunkSizes, split: ChunkSizes] = [NO_CHUNK, NO_CHUNK];
  /** Views of outputs by number of rows, for copying long outputs in one call. */
  #outputs: Float32Array[] = [];
  /**
   * Values between layers: two arrays serve any number of layers. Float32 holds every integer here.
   */
  readonly #between: Float32Array[] = [];
  /**
   * The interleaved order of projected inputs, and scratch for one of them; null if the order is
   * kept.
   */
  readonly #interleaving: Int32Array | null;
  readonly #inOrder: Float32Array | null;

  constructor(
    program: SimdProgram,
    kernel: SimdExports,
    arena: Arena,
    cells: readonly (readonly SimdCell[])[],
    tokens: readonly (SimdTokens | null)[],
  ) {
    const { qparams: input } = program.inputs[0]!;
    // Beyond this, qint32 is quantized by another rule.
    this.takesReals = input !== null && Math.max(-input.quantMin, input.quantMax) < EXACT;
    this.givesReals = cells[0]!.length === 1;
    const { width, interleaving } = layoutOf(program);
    this.#program = program;
    this.#kernel = kernel;
    this.#runSteps = interleaving === null ? kernel.runSteps : kernel.runGRUSteps;
    this.#arena = arena;
    this.#cells = cells;
    this.#tokens = tokens;
    this.#sizes = new ScratchSizes(program, cells);
    this.#hBytes = this.#sizes.hBytes;
    this.#cBytes = this.#sizes.cBytes;
    this.#splitUnits = this.#sizes.splitUnits;
    this.#stateSize = stateSize(program);
    this.#width = width;
    this.#interleaving = interleaving;
    this.#inOrder = interleaving && new Float32Array(interleaving.length);
    this.reserve(1, 1, program.splitGates);
  }

  createState(batch: number): ModuleState {
    const state = createSlots(this.#program, batch);
    return new SimdState(this, state) as unknown as ModuleState;
  }

  /** Grows the blocks to at least these sizes. If it fails, everything is unchanged. */
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
    // Units that only fill the last block read their states too, and old memory could hold NaN
    // there.
    arena.u8.fill(0, this.#h, addresses[addresses.length - 1]!);
    arena.i32[SHARED.ASIDE] = at.aside;
    // Growing the memory detaches its views, and the new blocks have other addresses.
    this.#outputs = [];
    this.#form = -1;
  }

  /** Writes the addresses of each row's scratch; they change only with the form and with growth. */
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

  /** Copies a state out of the kernel's memory, if it is there, and releases it. */
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

  /** Runs all batch rows through one layer and direction, each from its own first step. */
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
    // Distance between the outputs of successive rows in the kernel's memory. Outputs are written
    // in whole blocks, so a row must not reach into the next one. With a single row, each step
    // overwrites the excess of the previous one.
    const pitch = batch === 1 ? size : this.#sizes.stateUnits;
    // Whether `out` has the same values in the same order: no gaps between rows, and no other
    // direction.
    const contiguous = lengths === null && pitch === size && layer.length === 1;
    const reals = call.realsOut && l === this.#cells.length - 1;
    const minCopied = reals ? COPIED.REALS : COPIED.INTEGERS;
    const first = reals ? call.outputOffset : 0;
    for (let from = 0; from < steps; from += together) {
      const to = Math.min(from + together, steps);
      const count = (to - from) * batch;
      this.#projectChunk(l, d, x, from, to, call);
      this.#runChunk(fresh, l, d, from, to, call, pitch * 4, reals);
      if (contiguous && count * width >= minCopied) {
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
          // torch.cat keeps the qparams of the first tensor and requantizes the others.
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
   * Projects the inputs of steps `from` to `to` as one product, or stores them if gates are split,
   * and writes their addresses.
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
    // Inputs in their original order are copied in one call.
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
          const interleaving = this.#interleaving;
          if (interleaving === null) instance.float!(x, row * size, f32, projected / 4);
          else {
            instance.float!(x, row * size, this.#inOrder!, 0);
            writeInterleaved(this.#arena, projected / 4, this.#inOrder!, 0, interleaving);
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
   * Runs steps `from` to `to` on their projected inputs, as many at a time as have the same active
   * rows.
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
        const index = first + b;
        if (t >= length) continue;
        const row = this.#rows / 4 + rows * ROW.SIZE;
        const at = (t - from) * batch + b;
        i32[row + ROW.PROJECTION] = fresh[index] === 1 ? initial : running;
        i32[row + ROW.HIDDEN] = this.#h + index * this.#hBytes;
        i32[row + ROW.CELL] = this.#c + index * this.#cBytes;
        i32[row + ROW.INPUTS] = this.#inputs + at * 4;
        i32[row + ROW.OUTPUT] = this.#out + at * outBytes;
        end = Math.min(end, fresh[index] === 1 && initial !== running ? t + 1 : length);
        fresh[index] = 0;
        rows++;
      }
      if (rows === 0) return;
      this.#runSteps(cell, this.#rows, rows, batch * 4, batch * outBytes, end - t, this.#form);
    }
  }
}

/**
 * WebAssembly SIMD kernels for sessions, created by {@linkcode simdKernels}.
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
  /** Whether the module has relaxed dot products, which are used for 7-bit activations. */
  readonly relaxed: boolean;
  readonly #module: WasmModule;
  readonly #oneStep: boolean;
  /** The instance that probed the engine, reused for the first LSTM. */
  #unused: SimdExports | null;
  /** The memory of the next projector, as long as other projectors in it are in use. */
  #projectors: WeakRef<SimdProjectors> | null = null;

  /**
   * Use {@linkcode simdKernels}.
   *
   * @param oneStep For tests: whether a relaxed sum of four products counts as one instruction of
   * the processor.
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

  /** Distinguishes images of memory from those of other kernels or of another engine. */
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
    const constants = image?.kernels === this.#kind
      ? image.cells
      : this.#write(arena, program, tables);
    if (constants === null) return null;
    if (constants === image?.cells) {
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
        ...constants[l]![d]!,
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

  /** A new memory with its kernels. */
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

  /** Writes the constants of all cells; null if the kernels cannot run one of them. */
  #write(arena: Arena, program: SimdProgram, tables: readonly number[]): CellConstants[][] | null {
    const layers: CellConstants[][] = [];
    let from = program.inputs[0]!.qparams;
    for (const [l, layer] of program.layers!.entries()) {
      const constants: CellConstants[] = [];
      for (let d = 0; d < layer.length; d++) {
        const written = program.kind === GRU_KIND
          ? this.#writeGRU(arena, program, program.layers![l]![d]!, from, tables)
          : this.#writeLSTM(arena, program, program.layers![l]![d]!, from, tables);
        if (written === null) return null;
        constants.push(written);
      }
      layers.push(constants);
      from = layer[0]!.hidden;
    }
    return layers;
  }

  /**
   * Writes the weights of one product.
   *
   * @param usual The range of its values, except in a row's first step.
   */
  #writeOperand(
    arena: Arena,
    { engine }: SimdProgram,
    rows: WeightRows,
    span: Span,
    usual: Span,
    interleavedGates = 0,
  ): Operand | null {
    // fbgemm's qconfigs have reduce_range: 0 is then at about 64, and at 128 if all eight bits are
    // used.
    const reduced = engine === "fbgemm" && usual.min > -96;
    return writeOperand(arena, rows, span, this.relaxed, reduced, interleavedGates);
  }

  #writeLSTM(
    arena: Arena,
    lstm: LSTMProgram,
    program: LSTMCellProgram,
    from: PerTensorQParams | null,
    tables: readonly number[],
  ): CellConstants | null {
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
  ): CellConstants | null {
    const { cell, running, first, hidden: to } = program;
    const { inputRows, inputProjection, newOutput } = cell;
    const span = from && spanOf(from);
    const input = inputRows && this.#writeOperand(arena, gru, inputRows, span!, span!, GRU_GATES);
    const gates = newOutput === null ? GRU_GATES : GRU_GATES - 1;
    const hidden = this.#writeOperand(arena, gru, cell.hiddenRows, program, spanOf(to), gates);
    const reset = newOutput &&
      this.#writeSecond(arena, gru, newOutput, running.constants, RESET_PRODUCT + 1);
    if (hidden === null || (input === null) !== (inputRows === null)) return null;
    if ((reset === null) !== (newOutput === null)) return null;
    const projection = input && writeProjection(arena, inputProjection!, input, 0, GRU_GATES);
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
   * Writes the weights of the second product of a step.
   *
   * @param k Constants, including those of the product that yields the state, from index `product`
   * on.
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

/** Allocates the tables of all cells, and returns their addresses. */
function tablesOf(arena: Arena, program: SimdProgram): number[] {
  const layers: SimdLayers = program.layers!;
  return writeTables(arena, program.tables, layers.flat().map(({ cell }) => cell));
}

/** The range of integers minus their zero point. */
function spanOf({ quantMin, quantMax, zeroPoint }: PerTensorQParams): Span {
  return { min: quantMin - zeroPoint, max: quantMax - zeroPoint };
}
