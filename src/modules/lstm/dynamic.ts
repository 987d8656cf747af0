/**
 * Dynamic quantization: int8 weights, and float32 activations that are quantized at each call, by their own range.
 *
 * @module
 */
import { linearDynamicInt8 } from "../../../kernels/ops/linear_dynamic.ts";
import type { Engine, LinearWeight } from "../../../kernels/ops/linear.ts";
import { finishStepFloat32 } from "../../../kernels/float/lstm.ts";
import { saturateFloat32 } from "../../../kernels/numeric/requantize.ts";
import { checkResult } from "../../core/errors.ts";
import {
  createState,
  type LstmBackend,
  type LstmState,
  type PreparedLstm,
  type PreparedModule,
  reserveBetween,
} from "../../runtime/backend.ts";
import type { QuantizedLstmCell } from "./cell.ts";
import type { LinearModule, LstmModule, TokenRows } from "../../authoring/modules.ts";
import type { LstmProgram } from "../../runtime/program.ts";

/** torch's modules always ask for it; qnnpack's kernel ignores it. */
const REDUCE_RANGE = true;

/** A dynamic linear operator with the memory for its rows. */
class Rows {
  x: Float32Array;
  y: Float32Array;
  #integers: Uint8Array;

  constructor(
    readonly engine: Engine,
    readonly weight: LinearWeight,
    readonly bias: Float32Array | null,
  ) {
    this.x = new Float32Array(0);
    this.y = this.x;
    this.#integers = new Uint8Array(0);
  }

  /** Makes room for `rows` rows, and gives the bytes in use. */
  reserve(rows: number): number {
    const { inFeatures, outFeatures } = this.weight;
    const size = rows * inFeatures;
    if (this.x.length < size) {
      this.x = new Float32Array(size);
      this.y = new Float32Array(rows * outFeatures);
      this.#integers = new Uint8Array(size);
    }
    return size * 5 + rows * outFeatures * 4;
  }

  /** Runs the first `rows` rows of `x`, which share one range, into `y`. */
  run(rows: number): void {
    if (rows === 0) return;
    const { engine, weight, bias, x, y } = this;
    linearDynamicInt8(
      engine,
      x.subarray(0, rows * weight.inFeatures),
      weight,
      bias,
      y,
      false,
      REDUCE_RANGE,
      this.#integers,
    );
  }
}

/** What runs a dynamic linear layer: all the rows of a call share one range, but for what lies beyond their lengths. */
export function dynamicRows({ engine, weight, bias }: LinearModule): PreparedModule {
  const linear = new Rows(engine, weight, bias);
  const { inFeatures, outFeatures } = weight;
  return {
    mixesSteps: true,
    reserve: (batch, steps) => linear.reserve(batch * steps),
    process(_state, x, out, steps, batch, lengths): void {
      const count = steps * batch;
      const valid = (r: number) => lengths === null || Math.floor(r / batch) < lengths[r % batch]!;
      let rows = 0;
      for (let r = 0; r < count; r++) {
        if (!valid(r)) continue;
        for (let k = 0; k < inFeatures; k++) {
          linear.x[rows * inFeatures + k] = x[r * inFeatures + k]!;
        }
        rows++;
      }
      linear.run(rows);
      rows = 0;
      for (let r = 0; r < count; r++) {
        if (!valid(r)) continue;
        for (let k = 0; k < outFeatures; k++) {
          const y = linear.y[rows * outFeatures + k]!;
          checkResult(y);
          out[r * outFeatures + k] = y;
        }
        rows++;
      }
    },
  };
}

/** One layer and direction. */
interface DynamicCell {
  readonly ih: Rows;
  readonly hh: Rows;
}

class DynamicLstm implements PreparedLstm {
  readonly mixesSteps = true;
  readonly infallible = true;
  readonly #lstm: LstmModule;
  readonly #program: LstmProgram;
  readonly #tokens: TokenRows | null;
  readonly #token: Float32Array;
  readonly #cells: readonly (readonly DynamicCell[])[];
  readonly #between: Float64Array[] = [];

  constructor(program: LstmProgram, lstm: LstmModule, tokens: TokenRows | null) {
    const { engine, inputSize } = lstm;
    this.#program = program;
    this.#lstm = lstm;
    this.#tokens = tokens;
    this.#token = new Float32Array(inputSize);
    const prepared = ({ weightIh, weightHh, biasIh, biasHh }: QuantizedLstmCell): DynamicCell => ({
      ih: new Rows(engine, weightIh, biasIh),
      hh: new Rows(engine, weightHh, biasHh),
    });
    this.#cells = lstm.cells.map((layer) => layer.map(prepared));
  }

  createState(batch: number): LstmState {
    return createState(this.#program, batch);
  }

  reserve(batch: number, steps: number): number {
    const size = batch * steps * this.#lstm.hiddenSize * this.#cells[0]!.length;
    let bytes = reserveBetween(this.#between, this.#cells.length, size);
    for (const { ih, hh } of this.#cells.flat()) {
      bytes += ih.reserve(batch * steps) + hh.reserve(batch);
    }
    return bytes;
  }

  process(
    state: LstmState,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
    lengths: Int32Array | null,
  ): void {
    const last = this.#cells.length - 1;
    for (let l = 0; l <= last; l++) {
      const from = l === 0 ? x : this.#between[(l - 1) & 1]!;
      const to = l === last ? out : this.#between[l & 1]!;
      for (let d = 0; d < this.#cells[l]!.length; d++) {
        this.#run(state, l, d, from, to, steps, batch, lengths);
      }
    }
  }

  /** Puts input row `row` at row `at` of what is projected. */
  #read(
    l: number,
    x: Float64Array,
    row: number,
    to: Float32Array,
    at: number,
    width: number,
  ): void {
    if (l === 0 && this.#tokens !== null) {
      this.#tokens.read(x[row]!, this.#token, 0);
      to.set(this.#token, at * width);
    } else {
      for (let k = 0; k < width; k++) to[at * width + k] = x[row * width + k]!;
    }
  }

  /**
   * One layer and direction, as torch on a CPU: the whole sequence is projected at once, so that its steps share a
   * range; the hidden states of the rows that have a step share one a step.
   */
  #run(
    state: LstmState,
    l: number,
    d: number,
    x: Float64Array,
    out: Float64Array,
    steps: number,
    batch: number,
    lengths: Int32Array | null,
  ): void {
    const { hiddenSize } = this.#lstm;
    const directions = this.#cells[l]!.length;
    const { ih, hh } = this.#cells[l]![d]!;
    const { inFeatures } = ih.weight;
    const first = (l * directions + d) * batch;
    const h = state.h as Float64Array;
    const c = state.c as Float64Array;
    let rows = 0;
    for (let row = 0; row < steps * batch; row++) {
      if (lengths !== null && Math.floor(row / batch) >= lengths[row % batch]!) continue;
      this.#read(l, x, row, ih.x, rows++, inFeatures);
    }
    ih.run(rows);
    // A cell's parts saturate: the sum of two infinities could be NaN.
    saturateFloat32(ih.y);
    // Where the projected rows of the current step begin.
    let at = d === 0 ? 0 : rows;
    for (let i = 0; i < steps; i++) {
      const t = d === 0 ? i : steps - 1 - i;
      let active = 0;
      for (let b = 0; b < batch; b++) {
        if (lengths !== null && t >= lengths[b]!) continue;
        for (let k = 0; k < hiddenSize; k++) {
          hh.x[active * hiddenSize + k] = h[(first + b) * hiddenSize + k]!;
        }
        active++;
      }
      hh.run(active);
      saturateFloat32(hh.y);
      if (d === 1) at -= active;
      for (let b = 0, a = 0; b < batch; b++) {
        if (lengths !== null && t >= lengths[b]!) continue;
        const place = first + b;
        const to = ((t * batch + b) * directions + d) * hiddenSize;
        const units = place * hiddenSize;
        const gates = 4 * hiddenSize;
        finishStepFloat32(ih.y, (at + a) * gates, hh.y, a * gates, hiddenSize, c, units, h, units);
        for (let k = 0; k < hiddenSize; k++) out[to + k] = h[place * hiddenSize + k]!;
        state.fresh[place] = 0;
        a++;
      }
      if (d === 0) at += active;
    }
  }
}

/** Runs dynamic LSTMs, and no others. */
export const dynamicLstm: LstmBackend = {
  name: "dynamic",
  prepare(lstm) {
    const { module, tokens = null } = lstm.source ?? {};
    return module?.dynamic ? new DynamicLstm(lstm, module, tokens) : null;
  },
};
