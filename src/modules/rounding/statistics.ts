/**
 * What calibration data tells about an LSTM cell's weights, for rounding them.
 *
 * @module
 */
import { type CellFunctions, LSTM_FUNCTIONS } from "../../../kernels/float/lstm.ts";
import type { Activation, HardSigmoid } from "../../../kernels/numeric/float_functions.ts";
import { type CellExecutor, GATES } from "../../cells/lstm_parts.ts";
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
   * By token: how often it came, [tokens], and how much each row mattered then, [tokens, 4 *
   * hiddenSize].
   */
  | { readonly kind: "tokens"; readonly counts: Float64Array; readonly weights: Float64Array };

/**
 * Doubles that gram matrices of one row each may take at most; beyond, the rows of a gate share
 * one.
 */
const MAX_VALUES = 2 ** 21;

/** How many gram matrices the rows of a weight have: one each, or one a gate. */
function gramCount(rows: number, width: number): number {
  return rows * width * width <= MAX_VALUES ? rows : 4;
}

/**
 * Gram matrices of what a cell's weights read: one a weight row, or, where these would take more
 * than 16 MB, one a gate. A step counts with the square of the gate's slope there (averaged over
 * the rows that share a matrix): y (1 - y) of a sigmoid, 1 - y² of a tanh. Where a gate is
 * saturated, an error before it does not matter.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { accurateQConfig } from "../../qconfig/presets.ts";
 * import { type ObservedLSTM } from "../lstm/observed.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), accurateQConfig);
 * const { statistics } = (observed.modules.get("lstm") as ObservedLSTM).cells[0]![0]!;
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
  readonly #rows: number;
  readonly #slopes: Float64Array;
  /** Of the four gates' functions. */
  readonly #slopeOf: readonly Slope[];
  readonly #hiddenGrams: readonly Float64Array[];
  readonly #inputGrams: readonly Float64Array[];

  /**
   * All sums 0.
   *
   * @param hiddenSize A quarter of the weights' rows.
   * @param width Width of h: projSize or hiddenSize.
   * @param inputSize Width of x.
   * @param tokens How many tokens there are where the input is an embedding's rows, or null.
   * @param functions The cell's.
   */
  constructor(
    hiddenSize: number,
    width: number,
    inputSize: number,
    tokens: number | null,
    { gateActivation, activation }: CellFunctions = LSTM_FUNCTIONS,
  ) {
    this.#rows = 4 * hiddenSize;
    this.#slopeOf = GATES.map((gate) => slopeOf(gate === "cell" ? activation : gateActivation));
    this.#slopes = new Float64Array(this.#rows);
    const grams = (width: number) => new Float64Array(gramCount(this.#rows, width) * width * width);
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
    const gates: Float32Array[] = [];
    let x: Float32Array = new Float32Array(0);
    let h = x;
    return {
      apply: (part, gate, inputs) => {
        const out = executor.apply(part, gate, inputs);
        if (part.name === "igates") x = inputs[0]!;
        else if (part.name === "hgates") h = inputs[0]!;
        else if (GATES.some((gate) => part.name === `${gate}_gate`)) gates.push(out);
        if (part.name === "output_gate") this.#add(x, h, gates, tokens);
        return out;
      },
      chunk: executor.chunk,
      ...(executor.read === undefined ? {} : { read: executor.read }),
    };
  }

  /** @param gates Outputs of the four gates, [batch, hiddenSize] each. */
  #add(
    x: Float32Array,
    h: Float32Array,
    gates: readonly Float32Array[],
    tokens: readonly number[] | null,
  ): void {
    const rows = this.#rows;
    const slopes = this.#slopes;
    const hiddenSize = rows / 4;
    const batch = gates[0]!.length / hiddenSize;
    const width = h.length / batch;
    const inputSize = x.length / batch;
    const { input } = this;
    for (let b = 0; b < batch; b++) {
      for (let row = 0; row < rows; row++) {
        const gate = Math.floor(row / hiddenSize);
        const y = gates[gate]![b * hiddenSize + row % hiddenSize]!;
        const slope = this.#slopeOf[gate]!(y);
        slopes[row] = slope * slope;
      }
      this.#addGrams(this.#hiddenGrams, h.subarray(b * width, (b + 1) * width));
      if (input.kind === "gram") {
        this.#addGrams(this.#inputGrams, x.subarray(b * inputSize, (b + 1) * inputSize));
      } else {
        const token = tokens![b]!;
        for (let row = 0; row < rows; row++) input.weights[token * rows + row]! += slopes[row]!;
        input.counts[token]!++;
      }
    }
  }

  #addGrams(grams: readonly Float64Array[], x: Float32Array): void {
    const rows = this.#rows / grams.length;
    for (let block = 0; block < grams.length; block++) {
      let weight = 0;
      for (let row = block * rows; row < (block + 1) * rows; row++) weight += this.#slopes[row]!;
      if (weight > 0) accumulateGram(grams[block]!, x, weight / rows);
    }
  }
}
