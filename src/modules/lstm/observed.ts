/**
 * The observed LSTM: float arithmetic part by part, each part's output shown to its observer.
 *
 * @module
 */
import type { LSTMWeights } from "../../../kernels/float/lstm.ts";
import { checkFinite } from "../../core/errors.ts";
import { CELL_STATE, lstmParts, runCell } from "../../cells/lstm_parts.ts";
import { floatExecutor } from "../../cells/float_executor.ts";
import type { LSTM } from "./float.ts";
import { type LSTMForwardOptions, planSequence } from "./sequence.ts";
import type { FakeQuantize } from "../../observer/fake_quantize.ts";
import type { Observer } from "../../observer/observer.ts";
import type { QConfig } from "../../qconfig/qconfig.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  type CellObservers,
  cellObservers,
  hiddenObserver,
  observedExecutor,
  stateObservers,
} from "./observed_cell.ts";
import type { InputObserver, ObservedModule } from "../kind.ts";
import { gatherRows, passThrough } from "../observing.ts";
import { CellStatistics } from "../rounding/statistics.ts";
import { fakeQuantizeWeight, weightFakeQuantizers } from "../rounding/weights.ts";

/** One layer and direction: its weights, and the observers of its parts. */
export interface ObservedCell {
  /** The float weights: PyTorch's gate order, input, forget, cell, output. */
  readonly weights: LSTMWeights;
  /**
   * By part; of a gated part one a gate, the same four times where gates are fused. null: not
   * quantized.
   */
  readonly observers: CellObservers;
  /**
   * Fake-quantizers of the weights, one a gate where gates are split; empty lists where the QConfig
   * has none.
   */
  readonly weightFakeQuant: { readonly [weight in "ih" | "hh" | "hr"]: readonly FakeQuantize[] };
  /** For calibrated rounding of the weights; null where the QConfig does not ask for it. */
  readonly statistics: CellStatistics | null;
}

/**
 * An LSTM whose parts are observed one by one, in both directions of every layer.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../../qconfig/qconfig.ts";
 * import { type ObservedLSTM } from "./observed.ts";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, bidirectional: true });
 * const observed = prepare(float, fbgemmQConfig, { splitGates: true });
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const lstm = observed.modules.get("lstm") as ObservedLSTM;
 * const backward = lstm.cells[0]![1]!.observers;
 * assertEquals(new Set(backward.gates).size, 4); // an observer a gate
 * assertEquals(backward.tanh_cy!.seen, true);
 * ```
 */
export class ObservedLSTM implements ObservedModule {
  /** Tells modules apart. */
  readonly kind = "LSTM";
  /** The float LSTM: a copy, so that what happens to the original does not matter. */
  readonly lstm: LSTM;
  /** Where the observers come from; `convert` takes the weights' and the engine from it. */
  readonly qconfig: QConfig;
  /** Whether there is a Linear, an add and their observers for each gate, or one for all four. */
  readonly splitGates: boolean;
  /** What observes x of the first layer, or why nothing does. */
  readonly input: InputObserver;
  /**
   * What observes given initial states, of all cells together; null where the cells' own observers
   * do: where the QConfig's `initialState` is "own".
   */
  readonly state: readonly [h: Observer | null, c: Observer | null] | null;
  /**
   * The last layer's hidden state, forward direction: torch.cat keeps the first tensor's
   * parameters.
   */
  readonly output: Observer | null;
  /** By layer and direction. */
  readonly cells: readonly (readonly ObservedCell[])[];

  /**
   * Use `prepare`.
   *
   * @param tokens How many rows the embedding before it has, if its rows are rounded together with
   * the input weights.
   */
  constructor(
    lstm: LSTM,
    qconfig: QConfig,
    input: InputObserver,
    splitGates: boolean,
    tokens: number | null = null,
  ) {
    this.lstm = lstm;
    this.qconfig = qconfig;
    this.input = input;
    this.splitGates = splitGates;
    const { hiddenSize, inputSize, outputSize } = lstm;
    const width = lstm.projSize || hiddenSize;
    this.state = qconfig.initialState === "own" ? null : stateObservers(qconfig, lstm.projSize > 0);
    this.cells = lstm.cells.map((layer, l) =>
      layer.map((weights) => ({
        weights,
        observers: cellObservers(qconfig, lstmParts(lstm.projSize > 0, lstm), splitGates),
        weightFakeQuant: {
          ih: weightFakeQuantizers(qconfig.weight, splitGates ? 4 : 1),
          hh: weightFakeQuantizers(qconfig.weight, splitGates ? 4 : 1),
          hr: weightFakeQuantizers(qconfig.weight),
        },
        statistics: qconfig.weightRounding !== "calibrated"
          ? null
          : l === 0
          ? new CellStatistics(hiddenSize, width, inputSize, tokens, lstm)
          : new CellStatistics(hiddenSize, width, outputSize, null, lstm),
      }))
    );
    this.output = hiddenObserver(this.cells[lstm.numLayers - 1]![0]!.observers);
  }

  /**
   * Runs the float LSTM, as {@linkcode LSTM.forward}, and shows each part's output to its observer:
   * step by step, the batch rows that have the step together, as torch's quantizable LSTM does. A
   * given state is observed as well.
   *
   * @param tokens Which row of an embedding each row of x is, in x's order.
   * @returns What the float LSTM returns, the same bits (but for what fake-quantizers change).
   * @throws {TypeError | RangeError} As {@linkcode LSTM.forward}.
   */
  forward(
    x: Tensor,
    state?: readonly [Tensor, Tensor],
    options: LSTMForwardOptions = {},
    tokens: Int32Array | null = null,
  ): [y: Tensor, state: [h: Tensor, c: Tensor]] {
    const { lstm, splitGates } = this;
    const { hiddenSize, outputSize, numDirections } = lstm;
    const { steps, batch, lengths, h, c, hShape, cShape } = planSequence(lstm, x, state, options);
    const width = lstm.projSize || hiddenSize;
    if (state !== undefined) this.#observeState(h, c);
    const parts = lstmParts(lstm.projSize > 0, lstm);
    const stepRows = lstm.batchFirst ? 1 : batch;
    const batchRows = lstm.batchFirst ? steps : 1;
    let from = x.data;
    let size = lstm.inputSize;
    this.cells.forEach((layer, l) => {
      const to = new Float32Array(steps * batch * outputSize);
      const both = this.qconfig.concatenation === "both";
      const output = hiddenObserver(layer[0]!.observers);
      layer.forEach((cell, d) => {
        const { observers, statistics } = cell;
        const float = floatExecutor(this.#fakeQuantized(cell), size, hiddenSize);
        const first = (l * numDirections + d) * batch;
        for (let i = 0; i < steps; i++) {
          const rows: number[] = [], places: number[] = [];
          for (let b = 0; b < batch; b++) {
            const length = lengths === null ? steps : lengths[b]!;
            if (i >= length) continue;
            rows.push(b);
            places.push((d === 0 ? i : length - 1 - i) * stepRows + b * batchRows);
          }
          if (rows.length === 0) break;
          const at = rows.map((b) => first + b);
          const observing = observedExecutor(float, observers, rows.length);
          const executor = statistics === null ? observing : statistics.watch(
            observing,
            tokens === null ? null : places.map((place) => tokens[place]!),
          );
          const xNow = gatherRows(from, places, size);
          const hNow = gatherRows(h, at, width);
          const next = runCell(
            executor,
            parts,
            splitGates,
            xNow,
            hNow,
            gatherRows(c, at, hiddenSize),
          );
          const y = d === 1 && both ? passThrough(output, next.h, [rows.length, width]) : next.h;
          rows.forEach((_, r) => {
            h.set(next.h.subarray(r * width, (r + 1) * width), at[r]! * width);
            c.set(next.c.subarray(r * hiddenSize, (r + 1) * hiddenSize), at[r]! * hiddenSize);
            to.set(y.subarray(r * width, (r + 1) * width), places[r]! * outputSize + d * width);
          });
        }
      });
      from = to;
      size = outputSize;
    });
    checkFinite("y", from);
    return [{ data: from, shape: [...x.shape.slice(0, -1), outputSize] }, [
      { data: h, shape: hShape },
      { data: c, shape: cShape },
    ]];
  }

  /** Shows given states to what observes them; in place, since a fake-quantizer changes them. */
  #observeState(h: Float32Array, c: Float32Array): void {
    const observe = (observer: Observer | null, values: Float32Array, width: number) =>
      values.set(passThrough(observer, values, [values.length / width, width]));
    const { lstm: { projSize, hiddenSize }, state } = this;
    const width = projSize || hiddenSize;
    if (state !== null) {
      observe(state[0], h, width);
      observe(state[1], c, hiddenSize);
      return;
    }
    const cells = this.cells.flat();
    cells.forEach(({ observers }, i) => {
      const cellOf = (values: Float32Array): Float32Array => {
        const size = values.length / cells.length;
        return values.subarray(i * size, (i + 1) * size);
      };
      observe(hiddenObserver(observers), cellOf(h), width);
      observe(observers[CELL_STATE], cellOf(c), hiddenSize);
    });
  }

  /** The weights that a cell computes with. */
  #fakeQuantized({ weights, weightFakeQuant: { ih, hh, hr } }: ObservedCell): LSTMWeights {
    const { hiddenSize, projSize } = this.lstm;
    const { weightIh, weightHh, weightHr } = weights;
    const rows = 4 * hiddenSize;
    return {
      ...weights,
      weightIh: fakeQuantizeWeight(ih, weightIh, rows),
      weightHh: fakeQuantizeWeight(hh, weightHh, rows),
      weightHr: weightHr === null ? null : fakeQuantizeWeight(hr, weightHr, projSize),
    };
  }
}
