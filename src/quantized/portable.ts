/**
 * The fast step, fused and split, in TypeScript: the default backend.
 *
 * @module
 */
import type { ActivationTables } from "../../kernels/activation.ts";
import {
  type LstmCell,
  type LstmScratch,
  lstmScratch,
  lstmStep,
  projectRows,
  type StateBinding,
  SUMS_TOGETHER,
} from "../../kernels/lstm_cell.ts";
import { packedLength } from "../../kernels/pack.ts";
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
} from "./backend.ts";
import { fastParts, hiddenQParams, packs, type QuantizedLstmCell } from "./cell.ts";
import { FloatProjection } from "./float_projection.ts";
import { type LstmModule, stateSize } from "./modules.ts";
import { convertShifted, quantizeShifted } from "./shifted.ts";

/** One layer and direction made ready. */
class PreparedCell {
  readonly cell: LstmCell;
  readonly running: StateBinding;
  readonly initial: StateBinding;
  readonly hidden: PerTensorQParams;
  /** Projects a float32 input; null where the input is quantized. */
  readonly float: FloatProjection | null;

  constructor(
    lstm: LstmModule,
    source: QuantizedLstmCell,
    parts: CellParameters,
    readonly input: PerTensorQParams | null,
    initial: readonly [PerTensorQParams, PerTensorQParams],
    tables: ActivationTables,
  ) {
    const { engine } = lstm,
      bind = (h: PerTensorQParams, c: PerTensorQParams) => bindState(engine, source, parts, h, c);
    this.hidden = hiddenQParams(source)!;
    const bound = Math.max(integerBound(this.hidden), integerBound(initial[0]));
    this.cell = prepareCell(engine, source, parts, input, bound, tables);
    const [h, c] = initial, cellState = parts.fgate_cx_igate_cgate as PerTensorQParams;
    this.running = bind(this.hidden, cellState);
    this.initial = h === this.hidden && c === cellState ? this.running : bind(h, c);
    this.float = input === null ? new FloatProjection(source) : null;
  }
}

/** Projected inputs by token, [count, 4 * hiddenSize], each row computed when its token is first met. */
class TokenTable {
  readonly rows: Float32Array;
  readonly #known: Uint8Array;
  readonly #x: Float32Array;
  readonly #integers: Float64Array;
  readonly #sums: Float64Array = new Float64Array(SUMS_TOGETHER);
  readonly #width: number;

  constructor(readonly cell: PreparedCell, readonly source: TokenRows, inputSize: number) {
    this.#width = cell.cell.hiddenSize * 4;
    this.rows = new Float32Array(source.count * this.#width);
    this.#known = new Uint8Array(source.count);
    this.#x = new Float32Array(inputSize);
    this.#integers = new Float64Array(packedLength(inputSize));
  }

  /** Where the row of a token starts. */
  at(token: number): number {
    const offset = token * this.#width;
    if (this.#known[token] === 0) {
      this.source.read(token, this.#x);
      const { input, cell } = this.cell;
      if (input === null) {
        this.cell.float!.project(this.#x, this.rows, offset);
      } else {
        quantizeShifted(this.#x, 0, this.#integers, 0, this.#x.length, input);
        projectRows(cell.inputRows!, cell.inputProjection!, this.#integers, this.#sums, this.rows, offset, this.#width);
      }
      this.#known[token] = 1;
    }
    return offset;
  }
}

class PortableLstm implements PreparedLstm {
  readonly #lstm: LstmModule;
  readonly #cells: readonly (readonly PreparedCell[])[];
  readonly #tables: readonly TokenTable[] | null;
  readonly #scratch: [fused: LstmScratch | null, split: LstmScratch | null] = [null, null];
  readonly #x: Float64Array;
  readonly #xFloat: Float32Array;
  readonly #row: Float32Array;
  #between: Float64Array[] = [];

  constructor(lstm: LstmModule, cells: readonly (readonly PreparedCell[])[], tokens: TokenRows | null) {
    const { hiddenSize, inputSize } = lstm;
    this.#lstm = lstm;
    this.#cells = cells;
    this.#tables = tokens === null ? null : cells[0]!.map((cell) => new TokenTable(cell, tokens, inputSize));
    this.#x = new Float64Array(packedLength(Math.max(inputSize, 2 * hiddenSize)));
    this.#xFloat = new Float32Array(inputSize);
    this.#row = new Float32Array(4 * hiddenSize);
  }

  createState(batch: number): LstmState {
    return createState(this.#lstm, batch);
  }

  reserve(batch: number, steps: number, splitGates: boolean): number {
    const { numLayers } = this.#lstm, layers = Math.min(2, numLayers - 1);
    const size = batch * steps * stateSize(this.#lstm) * this.#cells[0]!.length;
    if (this.#between.length < layers || (layers > 0 && this.#between[0]!.length < size)) {
      this.#between = Array.from({ length: layers }, () => new Float64Array(size));
    }
    const { hiddenSize, projSize } = this.#lstm;
    const { igates, hgates, gates, h, unprojected } = this.#scratch[+splitGates] ??= lstmScratch(
      hiddenSize,
      projSize,
      splitGates,
    );
    const used: ArrayBufferView[] = [igates, hgates, h, unprojected, this.#x];
    if (gates !== igates) used.push(gates);
    if (this.#cells[0]![0]!.input === null) used.push(this.#xFloat, this.#row);
    return used.reduce((sum, a) => sum + a.byteLength, layers * size * 8);
  }

  process(
    state: LstmState,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
    lengths: Int32Array | null,
    splitGates: boolean,
  ): void {
    const last = this.#cells.length - 1;
    for (let l = 0; l <= last; l++) {
      const from = l === 0 ? x : this.#between[(l - 1) & 1]!, to = l === last ? out : this.#between[l & 1]!;
      for (let d = 0; d < this.#cells[l]!.length; d++) {
        for (let b = 0; b < batch; b++) {
          this.#row1(
            state,
            l,
            d,
            b,
            from,
            to,
            lengths === null ? steps : Math.min(steps, lengths[b]!),
            batch,
            splitGates,
          );
        }
      }
    }
  }

  /** Runs one row of the batch through one layer and direction. */
  #row1(
    state: LstmState,
    l: number,
    d: number,
    b: number,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
    splitGates: boolean,
  ): void {
    const layer = this.#cells[l]!, prepared = layer[d]!, { cell, input } = prepared, directions = layer.length;
    const table = l === 0 && this.#tables !== null ? this.#tables[d]! : null;
    const h = state.h as Float64Array, c = state.c as Float64Array;
    const size = stateSize(this.#lstm), width = size * directions, place = (l * directions + d) * batch + b;
    const inputSize = table !== null ? 1 : l === 0 ? this.#lstm.inputSize : width;
    const hAt = place * size, cAt = place * cell.hiddenSize, scratch = this.#scratch[+splitGates]!;
    for (let i = 0; i < steps; i++) {
      const row = (d === 0 ? i : steps - 1 - i) * batch + b, from = row * inputSize;
      const binding = state.fresh[place] === 1 ? prepared.initial : prepared.running;
      let inputs: Float64Array | null = null, projected: Float32Array | null = null, offset = 0;
      if (table !== null) {
        projected = table.rows;
        offset = table.at(x[from]!);
      } else if (input === null) {
        for (let k = 0; k < inputSize; k++) this.#xFloat[k] = x[from + k]!;
        projected = this.#row;
        prepared.float!.project(this.#xFloat, projected, 0);
      } else {
        inputs = this.#x;
        for (let k = 0; k < inputSize; k++) inputs[k] = x[from + k]!;
      }
      lstmStep(cell, binding, inputs, projected, offset, h, hAt, c, cAt, scratch);
      state.fresh[place] = 0;
      const at = row * width + d * size;
      for (let j = 0; j < size; j++) out[at + j] = h[hAt + j]!;
      // torch.cat keeps the first tensor's parameters and requantizes the others.
      if (d === 1) convertShifted(out, at, size, prepared.hidden, layer[0]!.hidden);
    }
  }
}

/** The portable kernels. */
export const portable: LstmBackend = {
  name: "portable",
  prepare(lstm: LstmModule, { input, tokens, initial }: LstmUse): PreparedLstm | null {
    let from = input;
    const cells: PreparedCell[][] = [], tables: ActivationTables = new Map();
    for (const layer of lstm.cells) {
      const prepared: PreparedCell[] = [];
      for (const source of layer) {
        const parts = fastParts(source), [h, c] = initialQParams(lstm, source, initial);
        if (parts === null || !packs(from) || !packs(h)) return null;
        prepared.push(new PreparedCell(lstm, source, parts, from, [h!, c!], tables));
      }
      cells.push(prepared);
      from = prepared[0]!.hidden;
    }
    return new PortableLstm(lstm, cells, tokens);
  },
};
