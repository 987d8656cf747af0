/**
 * The quantized LSTM and what runs it.
 *
 * @module
 */
import { linearFloat32 } from "../../kernels/float_linear.ts";
import type { Engine, LinearWeight } from "../../kernels/linear.ts";
import {
  type FusedScratch,
  type LstmCell,
  lstmStepFused,
  lstmStepSplit,
  projectRows,
  type StateBinding,
} from "../../kernels/lstm_cell.ts";
import { bindState, gateOrder, integerBound, prepareCell } from "../../kernels/prepare.ts";
import { dequantizeValue, quantizeValue, reciprocal } from "../../kernels/requantize.ts";
import { failRange } from "../errors.ts";
import { type PerTensorQParams, sameQParams } from "../qparams.ts";
import { fastParts, type QuantizedLstmCell } from "./cell.ts";

/** Shape of an LSTM, PyTorch's words. */
export interface LstmShape {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bias: boolean;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
}

/** What a {@linkcode QuantizedLSTM} is made of. */
export interface QuantizedLstmOptions extends LstmShape {
  readonly engine: Engine;
  /** Whether it runs with split gates where nothing else is said. The results are the same. */
  readonly splitGates: boolean;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /** Whether an implicit initial state has scale 1 and zero point 0, as in torch, or the state's own parameters. */
  readonly torchInitialState: boolean;
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly QuantizedLstmCell[])[];
}

/** scale 1, zero point 0: what torch gives a state that nobody gave. */
const IMPLICIT_STATE: PerTensorQParams = { dtype: "quint8", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 };

/** Rows of float32 input that a token stands for. */
export interface TokenRows {
  readonly count: number;
  /** Writes row `token` [inputSize] into `out`. */
  read(token: number, out: Float32Array): void;
}

/** An LSTM of integers: int8 weights, and qparams of its own for every part of every cell. */
export class QuantizedLSTM implements QuantizedLstmOptions {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bias: boolean;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
  readonly engine: Engine;
  readonly splitGates: boolean;
  readonly input: PerTensorQParams | null;
  readonly torchInitialState: boolean;
  readonly cells: readonly (readonly QuantizedLstmCell[])[];

  constructor(options: QuantizedLstmOptions) {
    this.inputSize = options.inputSize;
    this.hiddenSize = options.hiddenSize;
    this.numLayers = options.numLayers;
    this.bias = options.bias;
    this.batchFirst = options.batchFirst;
    this.bidirectional = options.bidirectional;
    this.engine = options.engine;
    this.splitGates = options.splitGates;
    this.input = options.input;
    this.torchInitialState = options.torchInitialState;
    this.cells = options.cells;
  }

  /** Parameters of the output: the last layer's hidden state, forward direction (torch.cat keeps the first's). */
  get output(): PerTensorQParams | null {
    return this.cells[this.numLayers - 1][0].parts.ogate_cy;
  }
}

/** Dequantized weights in the order of the gates array, for float32 input. */
function floatRows(
  weight: LinearWeight,
  bias: Float32Array | null,
): { weight: Float32Array; bias: Float32Array | null } {
  const { data, inFeatures, outFeatures, scales, zeroPoints } = weight;
  const order = gateOrder(outFeatures / 4), out = new Float32Array(data.length);
  const outBias = bias === null ? null : new Float32Array(outFeatures);
  for (let place = 0; place < outFeatures; place++) {
    const row = order[place], channel = Math.floor(row * scales.length / outFeatures);
    for (let k = 0; k < inFeatures; k++) {
      out[place * inFeatures + k] = dequantizeValue(data[row * inFeatures + k], scales[channel], zeroPoints[channel]);
    }
    if (outBias !== null) outBias[place] = bias![row];
  }
  return { weight: out, bias: outBias };
}

/** One layer and direction made ready: constants that all sessions share. */
class PreparedCell {
  readonly cell: LstmCell;
  readonly running: StateBinding;
  readonly initial: StateBinding;
  readonly hidden: PerTensorQParams;
  readonly cellState: PerTensorQParams;
  /** Receives one projected input, [4 * hiddenSize]: only where the input is float32. */
  readonly row: Float32Array | null = null;
  readonly #float: { weight: Float32Array; bias: Float32Array | null } | null = null;
  readonly #source: QuantizedLstmCell;

  constructor(
    lstm: QuantizedLSTM,
    source: QuantizedLstmCell,
    readonly input: PerTensorQParams | null,
    state: readonly [PerTensorQParams, PerTensorQParams] | null,
  ) {
    const { engine } = lstm, { weightIh, weightHh, biasIh, biasHh } = source;
    const parts = fastParts(source.parts);
    if (parts === null) {
      failRange(
        "parts",
        "every part but igates and hgates quantized, to 24 bits at most with a zero point",
        "others",
      );
    }
    this.#source = source;
    this.hidden = source.parts.ogate_cy!;
    this.cellState = source.parts.fgate_cx_igate_cgate!;
    const initial = state ?? (lstm.torchInitialState ? [IMPLICIT_STATE, IMPLICIT_STATE] as const : null);
    const stateBound = Math.max(integerBound(this.hidden), initial === null ? 0 : integerBound(initial[0]));
    this.cell = prepareCell(engine, weightIh, weightHh, biasIh, parts, input, stateBound);
    this.running = bindState(engine, weightHh, biasHh, parts, this.hidden, this.cellState);
    this.initial = initial === null ? this.running : bindState(engine, weightHh, biasHh, parts, initial[0], initial[1]);
    if (input === null) {
      this.#float = floatRows(weightIh, biasIh);
      this.row = new Float32Array(weightIh.outFeatures);
    }
  }

  /** Projects a float32 input [inputSize] at `offset` to the integers, or floats, that a step takes. */
  projectFloat(x: Float32Array, offset: number, out: Float32Array, outOffset: number): void {
    const { weight, bias } = this.#float!, { inFeatures, outFeatures } = this.#source.weightIh;
    linearFloat32(x, offset, weight, bias, inFeatures, outFeatures, out, outOffset);
    const { igates } = this.#source.parts;
    for (let row = 0; row < outFeatures; row++) {
      const q = igates[row & 3];
      if (q === null) continue;
      out[outOffset + row] = quantizeValue(
        out[outOffset + row],
        reciprocal(q.scale),
        0,
        q.quantMin - q.zeroPoint,
        q.quantMax - q.zeroPoint,
      );
    }
  }
}

/** Projected inputs by token, [count, 4 * hiddenSize], each row computed when its token is first met. */
class TokenTable {
  readonly rows: Float32Array;
  readonly #known: Uint8Array;
  readonly #x: Float32Array;
  readonly #integers: Float64Array;
  readonly #sums: Float64Array = new Float64Array(8);
  readonly #width: number;

  constructor(readonly cell: PreparedCell, readonly source: TokenRows, inputSize: number) {
    this.#width = cell.cell.hiddenSize * 4;
    this.rows = new Float32Array(source.count * this.#width);
    this.#known = new Uint8Array(source.count);
    this.#x = new Float32Array(inputSize);
    this.#integers = new Float64Array(inputSize);
  }

  /** Where the row of a token starts. */
  at(token: number): number {
    const offset = token * this.#width;
    if (this.#known[token] === 0) {
      this.source.read(token, this.#x);
      const { input, cell } = this.cell;
      if (input === null) {
        this.cell.projectFloat(this.#x, 0, this.rows, offset);
      } else {
        quantizeShifted(this.#x, 0, this.#integers, 0, this.#x.length, input);
        projectRows(cell.inputRows!, cell.inputProjection!, this.#integers, this.#sums, this.rows, offset, this.#width);
      }
      this.#known[token] = 1;
    }
    return offset;
  }
}

/** Quantizes floats to integers less the zero point. */
export function quantizeShifted(
  x: ArrayLike<number>,
  offset: number,
  out: Float64Array,
  outOffset: number,
  length: number,
  to: PerTensorQParams,
): void {
  const inverse = reciprocal(to.scale), lo = to.quantMin - to.zeroPoint, hi = to.quantMax - to.zeroPoint;
  for (let i = 0; i < length; i++) out[outOffset + i] = quantizeValue(x[offset + i], inverse, 0, lo, hi);
}

/** The constants of a whole LSTM: made once, shared by all its sessions. */
export class PreparedLSTM {
  readonly cells: readonly (readonly PreparedCell[])[];
  readonly tables: readonly TokenTable[] | null;
  readonly scratch: FusedScratch;
  readonly x: Float64Array;
  readonly xFloat: Float32Array;

  /**
   * @param tokens Rows to fold into the first layer: its input is then token ids.
   * @param state Parameters of a given initial state (h, c).
   */
  constructor(
    readonly lstm: QuantizedLSTM,
    tokens: TokenRows | null,
    input: PerTensorQParams | null = lstm.input,
    state: readonly [PerTensorQParams, PerTensorQParams] | null = null,
  ) {
    const { hiddenSize, inputSize } = lstm;
    let from = input;
    const cells: PreparedCell[][] = [];
    for (const layer of lstm.cells) {
      const prepared = layer.map((cell) => new PreparedCell(lstm, cell, from, state));
      cells.push(prepared);
      from = prepared[0].hidden;
    }
    this.cells = cells;
    this.tables = tokens === null ? null : cells[0].map((cell) => new TokenTable(cell, tokens, inputSize));
    this.x = new Float64Array(Math.max(inputSize, 2 * hiddenSize));
    this.xFloat = new Float32Array(inputSize);
    this.scratch = {
      input: new Float64Array(8),
      hidden: new Float64Array(8),
      hNext: new Float64Array(hiddenSize),
      igates: new Float64Array(4 * hiddenSize),
      hgates: new Float64Array(4 * hiddenSize),
      gates: new Float64Array(4 * hiddenSize),
    };
  }
}

/** Hidden and cell state of one layer and direction of one batch row, less their zero points. */
export interface LstmState {
  readonly h: Float64Array;
  readonly c: Float64Array;
  /** Whether no step has been made yet. */
  fresh: boolean;
}

/** Runs an LSTM over a batch. Everything is allocated here. */
export class LstmRunner {
  /** By layer, direction, batch row. */
  readonly states: readonly (readonly (readonly LstmState[])[])[];
  readonly #between: readonly Float64Array[];
  readonly #prepared: PreparedLSTM;

  constructor(
    prepared: PreparedLSTM,
    readonly batch: number,
    readonly maxSteps: number,
    readonly splitGates: boolean,
  ) {
    this.#prepared = prepared;
    const { hiddenSize, numLayers } = prepared.lstm;
    this.states = prepared.cells.map((layer) =>
      layer.map(() =>
        Array.from({ length: batch }, () => ({
          h: new Float64Array(hiddenSize),
          c: new Float64Array(hiddenSize),
          fresh: true,
        }))
      )
    );
    const width = hiddenSize * prepared.cells[0].length * batch * maxSteps;
    this.#between = numLayers === 1 ? [] : [new Float64Array(width), new Float64Array(width)].slice(0, numLayers - 1);
  }

  /** Bytes of state and of scratch that this form needs for its steps. */
  get workingBytes(): number {
    const { hiddenSize, scratch } = { hiddenSize: this.#prepared.lstm.hiddenSize, scratch: this.#prepared.scratch };
    const states = this.states.flat(2).length * hiddenSize * 16;
    const between = this.#between.reduce((sum, a) => sum + a.byteLength, 0);
    const gates = this.splitGates
      ? 0
      : scratch.igates.byteLength + scratch.hgates.byteLength + scratch.gates.byteLength;
    return states + between + gates + scratch.input.byteLength + scratch.hidden.byteLength + scratch.hNext.byteLength;
  }

  /** Back to the initial state, all zeros. */
  reset(): void {
    for (const layer of this.states) {
      for (const direction of layer) {
        for (const state of direction) {
          state.h.fill(0);
          state.c.fill(0);
          state.fresh = true;
        }
      }
    }
  }

  /**
   * Runs `steps` steps.
   *
   * @param x [steps, batch, inputSize] integers less the zero point or floats, or [steps, batch] token ids.
   * @param out [steps, batch, directions * hiddenSize], integers less the zero point.
   */
  process(x: Float64Array, out: Float64Array, steps: number): void {
    const { cells, lstm } = this.#prepared, last = cells.length - 1;
    for (let l = 0; l <= last; l++) {
      const from = l === 0 ? x : this.#between[(l - 1) & 1], to = l === last ? out : this.#between[l & 1];
      const size = l === 0 ? lstm.inputSize : lstm.hiddenSize * cells[0].length;
      for (let d = 0; d < cells[l].length; d++) this.#direction(l, d, from, size, to, steps);
    }
  }

  #direction(l: number, d: number, x: Float64Array, size: number, out: Float64Array, steps: number): void {
    const prepared = this.#prepared, { x: row, xFloat, scratch } = prepared;
    const { cell, running, initial, input, hidden, row: floatRow } = prepared.cells[l][d];
    const table = l === 0 && prepared.tables !== null ? prepared.tables[d] : null;
    const batch = this.batch, { hiddenSize } = cell, width = hiddenSize * prepared.cells[l].length;
    const first = prepared.cells[l][0].hidden, convert = d === 1 && !sameQParams(first, hidden);
    for (let i = 0; i < steps; i++) {
      const t = d === 0 ? i : steps - 1 - i;
      for (let b = 0; b < batch; b++) {
        const state = this.states[l][d][b], binding = state.fresh ? initial : running;
        let inputs: Float64Array | null = null, projected: Float32Array | null = null, offset = 0;
        if (table !== null) {
          projected = table.rows;
          offset = table.at(x[t * batch + b]);
        } else if (input === null) {
          for (let k = 0, at = (t * batch + b) * size; k < size; k++) xFloat[k] = x[at + k];
          prepared.cells[l][d].projectFloat(xFloat, 0, floatRow!, 0);
          projected = floatRow;
        } else {
          for (let k = 0, at = (t * batch + b) * size; k < size; k++) row[k] = x[at + k];
          inputs = row;
        }
        if (this.splitGates) {
          lstmStepSplit(cell, binding, inputs, projected, offset, state.h, state.c, scratch);
        } else {
          lstmStepFused(cell, binding, inputs, projected, offset, state.h, state.c, scratch);
        }
        state.fresh = false;
        const h = state.h, at = (t * batch + b) * width + d * hiddenSize;
        if (convert) {
          // torch.cat keeps the first tensor's parameters and requantizes the others.
          for (let j = 0; j < hiddenSize; j++) row[j] = dequantizeValue(h[j], hidden.scale, 0);
          quantizeShifted(row, 0, out, at, hiddenSize, first);
        } else {
          for (let j = 0; j < hiddenSize; j++) out[at + j] = h[j];
        }
      }
    }
  }
}
