/**
 * Running recurrent modules with dynamic quantization.
 *
 * @module
 */
import type { FloatFunction } from "../../kernels/float/kernels.ts";
import type { CellActivation } from "../../kernels/float/lstm.ts";
import type { Engine, LinearWeight } from "../../kernels/ops/linear.ts";
import { clamp, MAX_FLOAT32, saturateFloat32 } from "../../kernels/numeric/requantize.ts";
import { DynamicRows } from "./dynamic_rows.ts";
import {
  type Call,
  type ModuleInstance,
  type ModuleState,
  type NodeProgram,
  reserveBetween,
  type Values,
} from "./kind.ts";

/** One layer and direction of a dynamic recurrent module. */
export interface DynamicCellProgram {
  /** int8 [gates * hiddenSize, width of the input] */
  readonly weightIh: LinearWeight;
  /** int8 [gates * hiddenSize, hiddenSize] */
  readonly weightHh: LinearWeight;
  /** [gates * hiddenSize] or null. */
  readonly biasIh: Float32Array | null;
  /** [gates * hiddenSize] or null. */
  readonly biasHh: Float32Array | null;
}

/** A dynamic recurrent module's numbers. */
export interface DynamicRecurrentProgram extends NodeProgram {
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Width of the hidden state. */
  readonly hiddenSize: number;
  /** By layer, then direction. */
  readonly cells: readonly (readonly DynamicCellProgram[])[];
}

/** What a cell does with its projections. */
export interface DynamicStep {
  /** What the cell's functions read of both projections. */
  readonly gates: Float32Array;
  /** Writes `gates`, of W_ih x + b_ih and W_hh h + b_hh at offsets of their own. */
  add(
    igates: Float32Array,
    inputOffset: number,
    hgates: Float32Array,
    hiddenOffset: number,
    gates: Float32Array,
  ): void;
  /** The rest of a step of the row whose states begin at `units`: replaces them. */
  finish(state: ModuleState, units: number): void;
}

/** Whether what a function gives has bounds. */
export function isBounded(activation: CellActivation): boolean {
  return activation === "tanh" || activation === "sigmoid";
}

/**
 * A function that gives the largest value of sums that float32 does not hold, where it has no
 * bounds.
 */
export function saturating(name: CellActivation, f: FloatFunction): FloatFunction {
  if (isBounded(name)) return f;
  return (values, from, to) => {
    f(values, from, to);
    for (let i = from; i < to; i++) values[i] = clamp(values[i]!, -MAX_FLOAT32, MAX_FLOAT32);
  };
}

/** One layer and direction. */
interface DynamicCell {
  readonly ih: DynamicRows;
  readonly hh: DynamicRows;
  /** Index of the layer and direction, in which the states are. */
  readonly index: number;
  /** 0 forward, 1 backward. */
  readonly direction: number;
  /** Directions of the layer. */
  readonly directions: number;
}

/** A dynamic recurrent module made ready. */
export class DynamicRecurrent implements ModuleInstance {
  readonly infallible = true;
  readonly mixesSteps = true;
  readonly #hiddenSize: number;
  readonly #cells: readonly (readonly DynamicCell[])[];
  readonly #step: DynamicStep;
  readonly #between: Float64Array[] = [];

  constructor({ engine, hiddenSize, cells }: DynamicRecurrentProgram, step: DynamicStep) {
    this.#hiddenSize = hiddenSize;
    this.#step = step;
    this.#cells = cells.map((layer, l) =>
      layer.map(({ weightIh, weightHh, biasIh, biasHh }, direction) => ({
        ih: new DynamicRows(engine, weightIh, biasIh),
        hh: new DynamicRows(engine, weightHh, biasHh),
        index: l * layer.length + direction,
        direction,
        directions: layer.length,
      }))
    );
  }

  reserve(batch: number, steps: number): number {
    const size = batch * steps * this.#hiddenSize * this.#cells[0]!.length;
    let bytes = reserveBetween(this.#between, this.#cells.length, size);
    for (const { ih, hh } of this.#cells.flat()) {
      bytes += ih.reserve(batch * steps) + hh.reserve(batch);
    }
    return bytes;
  }

  process(state: ModuleState, inputs: readonly Values[], out: Values, call: Call): void {
    const last = this.#cells.length - 1;
    for (let l = 0; l <= last; l++) {
      const from = l === 0 ? inputs[0]! : this.#between[(l - 1) & 1]!;
      const to = l === last ? out : this.#between[l & 1]!;
      for (const cell of this.#cells[l]!) this.#run(cell, state, from, to, call);
    }
  }

  /**
   * One layer and direction, as torch on a CPU: the whole sequence is projected at once, so that
   * its steps share a range; the hidden states of the rows that have a step share one a step.
   */
  #run(cell: DynamicCell, state: ModuleState, x: Values, out: Values, call: Call): void {
    const { steps, batch, lengths } = call;
    const hiddenSize = this.#hiddenSize;
    const step = this.#step;
    const { ih, hh, direction, directions } = cell;
    const { inFeatures, outFeatures: gates } = ih.weight;
    const first = cell.index * batch;
    const h = state.h as Float64Array;
    let rows = 0;
    for (let row = 0; row < steps * batch; row++) {
      if (lengths !== null && Math.floor(row / batch) >= lengths[row % batch]!) continue;
      for (let k = 0; k < inFeatures; k++) {
        ih.x[rows * inFeatures + k] = x[row * inFeatures + k]!;
      }
      rows++;
    }
    ih.run(rows);
    // A cell's parts saturate: the sum of two infinities could be NaN.
    saturateFloat32(ih.y);
    // Where the projected rows of the current step begin.
    let at = direction === 0 ? 0 : rows;
    for (let i = 0; i < steps; i++) {
      const t = direction === 0 ? i : steps - 1 - i;
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
      if (direction === 1) at -= active;
      for (let b = 0, a = 0; b < batch; b++) {
        if (lengths !== null && t >= lengths[b]!) continue;
        const index = first + b;
        const to = ((t * batch + b) * directions + direction) * hiddenSize;
        const units = index * hiddenSize;
        step.add(ih.y, (at + a) * gates, hh.y, a * gates, step.gates);
        step.finish(state, units);
        for (let k = 0; k < hiddenSize; k++) out[to + k] = h[units + k]!;
        state.fresh![index] = 0;
        a++;
      }
      if (direction === 0) at += active;
    }
  }
}
