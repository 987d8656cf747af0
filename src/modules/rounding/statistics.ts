/**
 * What calibration data tells about the weights of recurrent cells, for rounding them.
 *
 * @module
 */
import type { Activation, HardSigmoid } from "../../../kernels/numeric/float_functions.ts";
import { type Cell, type CellExecutor, type Part, spanOf } from "../../cells/cell.ts";
import { accumulateGram, accumulateGrams, GRAM_INPUTS, rowsOf } from "./weight_rounding.ts";

/** The slope of a function where its value is y. */
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

/** A function's slope, from its value. */
function slopeOf(activation: Activation): Slope {
  if (typeof activation === "string" && activation !== "hardSigmoid") return SLOPES[activation]!;
  const slope = (activation as Partial<HardSigmoid>).slope ?? HARD_SIGMOID_SLOPE;
  return (y) => y > 0 && y < 1 ? slope : 0;
}

/** What is known of a cell's inputs. */
export type InputStatistics =
  /** [blocks, inputSize, inputSize] */
  | { readonly kind: "gram"; readonly gram: Float64Array }
  /**
   * By token: how often it came, [tokens], and how much each row mattered then, [tokens, rows of
   * the weight].
   */
  | { readonly kind: "tokens"; readonly counts: Float64Array; readonly weights: Float64Array };

/** What a step showed of a batch: by gate what its rows multiplied with and what it gave. */
interface SeenStep {
  readonly x: Float32Array[];
  readonly h: Float32Array[];
  readonly gates: Float32Array[];
  /** What multiplied a gate's share of hgates; null where nothing did. */
  reset: Float32Array | null;
}

/**
 * Doubles that gram matrices of one row each may take at most; beyond, the rows of a gate share
 * one.
 */
const MAX_VALUES = 2 ** 17;

/** How many gram matrices the rows of a weight have: one each, or one a gate. */
function gramCount(rows: number, width: number, gates: number): number {
  return rows * width * width <= MAX_VALUES ? rows : gates;
}

/**
 * Gram matrices of what a cell's weights read: one a weight row, or, where these would take more
 * than 1 MB, one a gate, so that the work of a step grows with the square of the width, as the cell does. A step counts with the square of the gate's slope there (averaged over
 * the rows that share a matrix): y (1 - y) of a sigmoid, 1 - y² of a tanh. Where a gate is
 * saturated, an error before it does not matter; nor where a reset gate is 0, if it multiplies what
 * the hidden state gives.
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
  /** Of the rows, where x is read. */
  readonly #slopes: Float64Array;
  /** And where h is read. */
  readonly #hiddenSlopes: Float64Array;
  /** Of the gates' functions. */
  readonly #slopeOf: readonly Slope[];
  /** The product of a reset gate and one gate's share of hgates, if the cell has one. */
  readonly #reset: Part | undefined;

  /**
   * All sums 0.
   *
   * @param hiddenSize Rows of each gate.
   * @param width Width of h: projSize or hiddenSize.
   * @param inputSize Width of x.
   * @param tokens How many tokens there are where the input is an embedding's rows, or null.
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

  /**
   * Of the weight that reads x: gram matrices, or sums by token where x is the rows of an
   * embedding.
   */
  get input(): InputStatistics {
    return this.#tokens ?? { kind: "gram", gram: this.#input!.grams };
  }

  /**
   * Takes in a step that an executor runs.
   *
   * @param executor What computes the parts.
   * @param tokens The batch rows' tokens, where the input is an embedding's rows.
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
 * Gram matrices of inputs, for blocks of a weight's rows. Inputs are taken in several at a time, so
 * that the matrices are read and written once for all of them.
 */
class GramSums {
  readonly #grams: Float64Array;
  readonly #views: readonly Float64Array[];
  readonly #width: number;
  /** What each gate's rows multiply with, [GRAM_INPUTS, width], of which some wait. */
  readonly #inputs: readonly Float64Array[];
  /** [blocks, GRAM_INPUTS]: how much each input counts. */
  readonly #weights: readonly Float64Array[];
  #waiting = 0;

  constructor(rows: number, width: number, gates: number) {
    const blocks = gramCount(rows, width, gates);
    this.#width = width;
    this.#grams = new Float64Array(blocks * width * width);
    // Views, since small cells take longer to make one than to add to it.
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
    const width = this.#width;
    for (let i = 0; i < this.#waiting; i++) {
      this.#views.forEach((gram, block) => {
        const x = this.#inputsOf(block).subarray(i * width, (i + 1) * width);
        accumulateGram(gram, x, this.#weights[block]![i]!);
      });
    }
    this.#waiting = 0;
    return this.#grams;
  }

  /**
   * Takes in row `b` of what each gate's rows multiply with, of `batch` rows, which counts in each
   * row of the weight with its squared slope.
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
    if (this.#waiting < GRAM_INPUTS) return;
    for (let block = 0; block < blocks; block++) {
      const inputs = this.#inputsOf(block);
      accumulateGrams(this.#views[block]!, inputs, width, this.#weights[block]!);
    }
    this.#waiting = 0;
  }
}
