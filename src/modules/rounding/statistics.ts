/**
 * What calibration data tells about the weights of recurrent cells, for rounding them.
 *
 * @module
 */
import type { Activation, HardSigmoid } from "../../../kernels/numeric/float_functions.ts";
import { type Cell, type CellExecutor, type Part, spanOf } from "../../cells/cell.ts";
import { accumulateGram, rowsOf } from "./weight_rounding.ts";

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

/** Row `b` of matrices of `batch` rows. */
function rowOfEach(values: readonly Float32Array[], b: number, batch: number): Float32Array[] {
  let last = values[0]!;
  const width = last.length / batch;
  let row = last.subarray(b * width, (b + 1) * width);
  return values.map((each) => {
    if (each !== last) row = each.subarray(b * width, (b + 1) * width);
    last = each;
    return row;
  });
}

/**
 * Doubles that gram matrices of one row each may take at most; beyond, the rows of a gate share
 * one.
 */
const MAX_VALUES = 2 ** 21;

/** How many gram matrices the rows of a weight have: one each, or one a gate. */
function gramCount(rows: number, width: number, gates: number): number {
  return rows * width * width <= MAX_VALUES ? rows : gates;
}

/**
 * Gram matrices of what a cell's weights read: one a weight row, or, where these would take more
 * than 16 MB, one a gate. A step counts with the square of the gate's slope there (averaged over
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
  /** [blocks, width of h, width of h] */
  readonly hidden: Float64Array;
  /**
   * Of the weight that reads x: gram matrices, or sums by token where x is the rows of an
   * embedding.
   */
  readonly input: InputStatistics;
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
  readonly #hiddenGrams: readonly Float64Array[];
  readonly #inputGrams: readonly Float64Array[];

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
    const grams = (width: number) =>
      new Float64Array(gramCount(this.#rows, width, gates.length) * width * width);
    this.hidden = grams(width);
    this.input = tokens === null ? { kind: "gram", gram: grams(inputSize) } : {
      kind: "tokens",
      counts: new Float64Array(tokens),
      weights: new Float64Array(tokens * this.#rows),
    };
    // Views, since small cells take longer to make one than to add to it.
    this.#hiddenGrams = rowsOf(this.hidden, width * width);
    this.#inputGrams = this.input.kind === "gram"
      ? rowsOf(this.input.gram, inputSize * inputSize)
      : [];
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
    const { input } = this;
    const scaled = reset === null
      ? -1
      : this.#cell.gates.indexOf(this.#reset!.inputs[1]!.split(".")[1]!);
    for (let b = 0; b < batch; b++) {
      for (let row = 0; row < rows; row++) {
        const gate = Math.floor(row / hiddenSize);
        const at = b * hiddenSize + row % hiddenSize;
        const slope = this.#slopeOf[gate]!(gates[gate]![at]!);
        slopes[row] = slope * slope;
        if (reset !== null) {
          const factor = gate === scaled ? reset[at]! : 1;
          hiddenSlopes[row] = slopes[row]! * factor * factor;
        }
      }
      this.#addGrams(this.#hiddenGrams, rowOfEach(h, b, batch), hiddenSlopes);
      if (input.kind === "gram") {
        this.#addGrams(this.#inputGrams, rowOfEach(x, b, batch), slopes);
      } else {
        const token = tokens![b]!;
        for (let row = 0; row < rows; row++) input.weights[token * rows + row]! += slopes[row]!;
        input.counts[token]!++;
      }
    }
  }

  /** @param reads What each gate's rows multiply with. */
  #addGrams(
    grams: readonly Float64Array[],
    reads: readonly Float32Array[],
    slopes: Float64Array,
  ): void {
    const rows = this.#rows / grams.length;
    const each = this.#rows / reads.length;
    for (let block = 0; block < grams.length; block++) {
      let weight = 0;
      for (let row = block * rows; row < (block + 1) * rows; row++) weight += slopes[row]!;
      const read = reads[Math.floor(block * rows / each)]!;
      if (weight > 0) accumulateGram(grams[block]!, read, weight / rows);
    }
  }
}
