/**
 * Calibration statistics for rounding the weights of recurrent cells.
 *
 * @module
 */
import { accumulateGrams, GRAM_INPUTS } from "../../../kernels/float/gram.ts";
import type { Activation, HardSigmoid } from "../../../kernels/numeric/float_functions.ts";
import { type Cell, type CellExecutor, type Part, spanOf } from "../../cells/cell.ts";
import { rowsOf } from "./weight_rounding.ts";

/** The slope of a function, given its value y. */
type Slope = (y: number) => number;

/** Slopes of functions without parameters, by value. */
const SLOPES: Readonly<Record<string, Slope>> = {
  sigmoid: (y) => y * (1 - y),
  tanh: (y) => 1 - y * y,
  relu: (y) => y > 0 ? 1 : 0,
  linear: () => 1,
};

/** The slope of PyTorch's hard sigmoid between its bounds. */
const HARD_SIGMOID_SLOPE = 1 / 6;

/** A function's slope, given its value. */
function slopeOf(activation: Activation): Slope {
  if (typeof activation === "string" && activation !== "hardSigmoid") return SLOPES[activation]!;
  const slope = (activation as Partial<HardSigmoid>).slope ?? HARD_SIGMOID_SLOPE;
  return (y) => y > 0 && y < 1 ? slope : 0;
}

/** Statistics of a cell's inputs. */
export type InputStatistics =
  /** [blocks, inputSize, inputSize] */
  | { readonly kind: "gram"; readonly gram: Float64Array }
  /**
   * By token: number of occurrences, [tokens], and importance of each weight row for it, [tokens,
   * rows of the weight].
   */
  | { readonly kind: "tokens"; readonly counts: Float64Array; readonly weights: Float64Array };

/** Values of one step of a batch: by gate, the input of its weight rows and its output. */
interface SeenStep {
  readonly x: Float32Array[];
  readonly h: Float32Array[];
  readonly gates: Float32Array[];
  /** The factor of a gate's share of hgates; null if there is none. */
  reset: Float32Array | null;
}

/**
 * Largest total size, in doubles, for one gram matrix a row; beyond it, the rows of a gate share
 * one.
 */
const MAX_VALUES = 2 ** 17;

/** Number of gram matrices of a weight: one a row, or one a gate. */
function gramCount(rows: number, width: number, gates: number): number {
  return rows * width * width <= MAX_VALUES ? rows : gates;
}

/**
 * Gram matrices of the inputs of a cell's weights: one a weight row or, if these would take more
 * than 1 MB, one a gate, so that the work of a step grows with the square of the width, like the
 * cell's own. Each step is weighted by the squared slope of the gate's function (averaged over the
 * rows that share a matrix): y (1 - y) for a sigmoid, 1 - y² for a tanh. An error before a
 * saturated gate does not matter, nor one that is multiplied by a reset gate of 0.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { accurateQConfig } from "../../qconfig/presets.ts";
 * import { type ObservedRecurrent } from "../recurrent/observed.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), accurateQConfig);
 * const { statistics } = (observed.modules.get("lstm") as ObservedRecurrent).cells[0]![0]!;
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * assertEquals(statistics!.hidden.length, 12 * 3 * 3); // one 3 x 3 matrix a weight row
 * assertEquals(statistics!.input.kind, "gram");
 * ```
 */
export class CellStatistics {
  readonly #hidden: GramSums;
  readonly #input: GramSums | null;
  readonly #tokens: Extract<InputStatistics, { kind: "tokens" }> | null;
  readonly #cell: Cell;
  readonly #rows: number;
  /** Squared slopes for the rows of the weight of x. */
  readonly #slopes: Float64Array;
  /** Squared slopes for the rows of the weight of h. */
  readonly #hiddenSlopes: Float64Array;
  /** Slopes of the gates' functions. */
  readonly #slopeOf: readonly Slope[];
  /** The product of a reset gate and one gate's share of hgates, if the cell has one. */
  readonly #reset: Part | undefined;

  /**
   * All sums 0.
   *
   * @param hiddenSize Rows of each gate.
   * @param width Width of h: projSize or hiddenSize.
   * @param inputSize Width of x.
   * @param tokens Number of tokens if the inputs are an embedding's rows, else null.
   */
  constructor(
    cell: Cell,
    hiddenSize: number,
    width: number,
    inputSize: number,
    tokens: number | null,
  ) {
    const { gates, parts } = cell;
    this.#cell = cell;
    this.#rows = gates.length * hiddenSize;
    this.#slopeOf = gates.map((gate) =>
      slopeOf(parts.find(({ name }) => name === `${gate}_gate`)!.activation!)
    );
    this.#reset = parts.find(({ op, inputs }) => op === "mul" && inputs[1]!.startsWith("hgates."));
    this.#slopes = new Float64Array(this.#rows);
    this.#hiddenSlopes = this.#reset === undefined ? this.#slopes : this.#slopes.slice();
    this.#hidden = new GramSums(this.#rows, width, gates.length);
    this.#input = tokens === null ? new GramSums(this.#rows, inputSize, gates.length) : null;
    this.#tokens = tokens === null ? null : {
      kind: "tokens",
      counts: new Float64Array(tokens),
      weights: new Float64Array(tokens * this.#rows),
    };
  }

  /** [blocks, width of h, width of h] */
  get hidden(): Float64Array {
    return this.#hidden.grams;
  }

  /** Statistics of the weight of x: gram matrices, or sums by token if x is an embedding's rows. */
  get input(): InputStatistics {
    return this.#tokens ?? { kind: "gram", gram: this.#input!.grams };
  }

  /**
   * Runs a step through an executor and adds its statistics.
   *
   * @param executor The executor of the parts.
   * @param tokens The batch rows' tokens, if the inputs are an embedding's rows.
   */
  watch(
    executor: CellExecutor<Float32Array>,
    tokens: readonly number[] | null,
  ): CellExecutor<Float32Array> {
    const cell = this.#cell;
    const seen: SeenStep = { x: [], h: [], gates: [], reset: null };
    let left = cell.gates.length;
    return {
      apply: (part, gate, inputs) => {
        const out = executor.apply(part, gate, inputs);
        if (part.op === "linear") {
          const reads = part.weight === "ih" ? seen.x : seen.h;
          const [from, to] = gate < 0 ? spanOf(cell, part) : [gate, gate + 1];
          if (part.weight !== "hr") { for (let g = from; g < to; g++) reads[g] = inputs[0]!; }
        } else if (part === this.#reset) seen.reset = inputs[0]!;
        else {
          const at = cell.gates.findIndex((each) => part.name === `${each}_gate`);
          if (at >= 0) {
            seen.gates[at] = out;
            if (--left === 0) this.#add(seen, tokens);
          }
        }
        return out;
      },
      chunk: executor.chunk,
      ...(executor.read === undefined ? {} : { read: executor.read }),
    };
  }

  #add({ x, h, gates, reset }: SeenStep, tokens: readonly number[] | null): void {
    const rows = this.#rows;
    const slopes = this.#slopes;
    const hiddenSlopes = this.#hiddenSlopes;
    const hiddenSize = rows / gates.length;
    const batch = gates[0]!.length / hiddenSize;
    const scaled = reset === null
      ? -1
      : this.#cell.gates.indexOf(this.#reset!.inputs[1]!.split(".")[1]!);
    for (let b = 0; b < batch; b++) {
      for (let gate = 0, row = 0; gate < gates.length; gate++) {
        const values = gates[gate]!;
        const slopeOf = this.#slopeOf[gate]!;
        for (let at = b * hiddenSize; at < (b + 1) * hiddenSize; at++, row++) {
          const slope = slopeOf(values[at]!);
          slopes[row] = slope * slope;
          if (reset !== null) {
            const factor = gate === scaled ? reset[at]! : 1;
            hiddenSlopes[row] = slopes[row]! * factor * factor;
          }
        }
      }
      this.#hidden.add(h, b, batch, hiddenSlopes);
      this.#input?.add(x, b, batch, slopes);
      if (this.#tokens === null) continue;
      const { weights, counts } = this.#tokens;
      const token = tokens![b]!;
      for (let row = 0; row < rows; row++) weights[token * rows + row]! += slopes[row]!;
      counts[token]!++;
    }
  }
}

/**
 * Gram matrices of inputs, for blocks of a weight's rows. Several inputs are added at a time, so
 * that the matrices are read and written only once for all of them.
 */
class GramSums {
  readonly #grams: Float64Array;
  readonly #views: readonly Float64Array[];
  readonly #width: number;
  /** Inputs of each gate's rows that wait to be added, [GRAM_INPUTS, width]. */
  readonly #inputs: readonly Float64Array[];
  /** [blocks, GRAM_INPUTS]: weight of each input. */
  readonly #weights: readonly Float64Array[];
  #waiting = 0;

  constructor(rows: number, width: number, gates: number) {
    const blocks = gramCount(rows, width, gates);
    this.#width = width;
    this.#grams = new Float64Array(blocks * width * width);
    // Views made once: for small cells making one takes longer than adding to it.
    this.#views = rowsOf(this.#grams, width * width);
    this.#inputs = Array.from({ length: gates }, () => new Float64Array(GRAM_INPUTS * width));
    this.#weights = Array.from({ length: blocks }, () => new Float64Array(GRAM_INPUTS));
  }

  /** The inputs of a block of rows. */
  #inputsOf(block: number): Float64Array {
    return this.#inputs[Math.floor(block * this.#inputs.length / this.#views.length)]!;
  }

  /** [blocks, width, width] */
  get grams(): Float64Array {
    this.#addWaiting();
    return this.#grams;
  }

  /**
   * Adds row `b` of `batch` of the inputs of each gate's rows, weighted for each row of the weight
   * by its squared slope.
   */
  add(reads: readonly Float32Array[], b: number, batch: number, slopes: Float64Array): void {
    const width = this.#width;
    const waiting = this.#waiting++;
    for (let gate = 0; gate < reads.length; gate++) {
      const read = reads[gate]!;
      const inputs = this.#inputs[gate]!;
      const from = b * (read.length / batch);
      for (let k = 0; k < width; k++) inputs[waiting * width + k] = read[from + k]!;
    }
    const blocks = this.#views.length;
    const rows = slopes.length / blocks;
    for (let block = 0, row = 0; block < blocks; block++) {
      let sum = 0;
      for (const end = row + rows; row < end; row++) sum += slopes[row]!;
      this.#weights[block]![waiting] = sum / rows;
    }
    if (this.#waiting === GRAM_INPUTS) this.#addWaiting();
  }

  #addWaiting(): void {
    const width = this.#width;
    const count = this.#waiting;
    for (let block = 0; count > 0 && block < this.#views.length; block++) {
      const inputs = this.#inputsOf(block).subarray(0, count * width);
      accumulateGrams(this.#views[block]!, inputs, width, this.#weights[block]!.subarray(0, count));
    }
    this.#waiting = 0;
  }
}
