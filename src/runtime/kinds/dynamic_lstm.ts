/**
 * Running LSTM with dynamic quantization.
 *
 * @module
 */
import type { Engine, LinearWeight } from "../../../kernels/ops/linear.ts";
import {
  type CellActivation,
  type CellFunctions,
  finishStepFloat32,
  type FloatCellFunctions,
  floatCellFunctions,
  LSTM_FUNCTIONS,
} from "../../../kernels/float/lstm.ts";
import { clamp, MAX_FLOAT32, saturateFloat32 } from "../../../kernels/numeric/requantize.ts";
import { DynamicRows } from "../dynamic_rows.ts";
import {
  type Call,
  type ModuleInstance,
  type ModuleState,
  type NodeProgram,
  reserveBetween,
  type RunningKind,
  type Values,
} from "../kind.ts";

/** One layer and direction of a dynamic LSTM. */
export interface DynamicCellProgram {
  /** int8 [4 * hiddenSize, width of the input] */
  readonly weightIh: LinearWeight;
  /** int8 [4 * hiddenSize, hiddenSize] */
  readonly weightHh: LinearWeight;
  /** [4 * hiddenSize] or null. */
  readonly biasIh: Float32Array | null;
  /** [4 * hiddenSize] or null. */
  readonly biasHh: Float32Array | null;
}

/** A dynamic LSTM's numbers. */
export interface DynamicLSTMProgram extends NodeProgram {
  /** Tells modules apart. */
  readonly kind: "DynamicLSTM";
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Width of the hidden and the cell state. */
  readonly hiddenSize: number;
  /** Which functions its cells have; torch.nn.LSTM's where there are none. */
  readonly functions?: CellFunctions;
  /** By layer, then direction. */
  readonly cells: readonly (readonly DynamicCellProgram[])[];
}

/** One layer and direction. */
interface DynamicCell {
  readonly ih: DynamicRows;
  readonly hh: DynamicRows;
}

function isBounded(activation: CellActivation): boolean {
  return activation === "tanh" || activation === "sigmoid";
}

/**
 * A cell's functions; of sums that float32 does not hold, those that have no bounds give the
 * largest value.
 */
function saturating(functions: CellFunctions): FloatCellFunctions {
  const float = floatCellFunctions(functions);
  const bounded = (name: CellActivation, f: (x: number) => number) =>
    isBounded(name) ? f : (x: number) => clamp(f(x), -MAX_FLOAT32, MAX_FLOAT32);
  return {
    ...float,
    candidate: bounded(functions.activation, float.candidate),
    cell: bounded(functions.cellActivation, float.cell),
  };
}

class DynamicLSTM implements ModuleInstance {
  readonly infallible = true;
  readonly mixesSteps = true;
  readonly #hiddenSize: number;
  readonly #cells: readonly (readonly DynamicCell[])[];
  readonly #functions: FloatCellFunctions;
  /** Whether a cell state can grow beyond float32, since what enters it has no bounds. */
  readonly #grows: boolean;
  readonly #between: Float64Array[] = [];

  constructor({ engine, hiddenSize, functions = LSTM_FUNCTIONS, cells }: DynamicLSTMProgram) {
    this.#hiddenSize = hiddenSize;
    this.#functions = saturating(functions);
    this.#grows = !isBounded(functions.activation);
    this.#cells = cells.map((layer) =>
      layer.map(({ weightIh, weightHh, biasIh, biasHh }) => ({
        ih: new DynamicRows(engine, weightIh, biasIh),
        hh: new DynamicRows(engine, weightHh, biasHh),
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
      for (let d = 0; d < this.#cells[l]!.length; d++) {
        this.#run(state, l, d, from, to, call);
      }
    }
  }

  /**
   * One layer and direction, as torch on a CPU: the whole sequence is projected at once, so that
   * its steps share a range; the hidden states of the rows that have a step share one a step.
   */
  #run(
    state: ModuleState,
    l: number,
    d: number,
    x: Values,
    out: Values,
    { steps, batch, lengths }: Call,
  ): void {
    const hiddenSize = this.#hiddenSize;
    const functions = this.#functions;
    const grows = this.#grows;
    const directions = this.#cells[l]!.length;
    const { ih, hh } = this.#cells[l]![d]!;
    const { inFeatures } = ih.weight;
    const first = (l * directions + d) * batch;
    const h = state.h as Float64Array;
    const c = state.c as Float64Array;
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
        const index = first + b;
        const to = ((t * batch + b) * directions + d) * hiddenSize;
        const units = index * hiddenSize;
        const gates = 4 * hiddenSize;
        const x = (at + a) * gates;
        finishStepFloat32(ih.y, x, hh.y, a * gates, hiddenSize, c, units, h, units, functions);
        for (let k = 0; k < hiddenSize; k++) {
          out[to + k] = h[units + k]!;
          if (grows) c[units + k] = clamp(c[units + k]!, -MAX_FLOAT32, MAX_FLOAT32);
        }
        state.fresh![index] = 0;
        a++;
      }
      if (d === 0) at += active;
    }
  }
}

/**
 * How LSTM runs with dynamic quantization.
 *
 * @example
 * ```ts
 * import { compileModel, LSTM, quantizeDynamic } from "@splitgate/splitgate";
 * import { loadProgram } from "@splitgate/splitgate/runtime";
 * import { dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
 * import { assertEquals } from "@std/assert";
 * const model = quantizeDynamic(new LSTM({ inputSize: 2, hiddenSize: 3 }));
 * const program = loadProgram(compileModel(model), { kinds: [dynamicLSTM] });
 * assertEquals(program.outputSize, 3);
 * ```
 */
export const dynamicLSTM: RunningKind<DynamicLSTMProgram> = {
  kind: "DynamicLSTM",
  instantiate: (program) => new DynamicLSTM(program),
};
