/**
 * The observed recurrent module: float arithmetic part by part, each part's output shown to its
 * observer.
 *
 * @module
 */
import { type FloatKernels, withFloatKernels } from "../../../kernels/float/kernels.ts";
import { checkFinite } from "../../core/errors.ts";
import { runCell } from "../../cells/cell.ts";
import { type FloatCellWeights, floatExecutor } from "../../cells/float_executor.ts";
import type { FloatRecurrent } from "./float.ts";
import { stateSizes } from "./data.ts";
import { planSequence, type RecurrentForwardOptions, type SequencePlan } from "./sequence.ts";
import type { FakeQuantize } from "../../observer/fake_quantize.ts";
import type { Observer } from "../../observer/observer.ts";
import type { QConfig } from "../../qconfig/qconfig.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  type CellObservers,
  cellObservers,
  observedExecutor,
  stateObserver,
  stateObservers,
} from "./observed_cell.ts";
import type { InputObserver, ObservedModule } from "../kind.ts";
import { gatherRows, passThrough } from "../observing.ts";
import { CellStatistics } from "../rounding/statistics.ts";
import { fakeQuantizeWeight, weightFakeQuantizers } from "../rounding/weights.ts";

/** One layer and direction: its weights, and the observers of its parts. */
export interface ObservedCell {
  /** The float weights, in PyTorch's gate order. */
  readonly weights: FloatCellWeights;
  /**
   * By part; one a gate for gated parts (the same one for all if gates are fused). null: not
   * quantized.
   */
  readonly observers: CellObservers;
  /**
   * Fake-quantizers of the weights, one a gate if gates are split; empty lists if the QConfig has
   * none.
   */
  readonly weightFakeQuant: { readonly [weight in "ih" | "hh" | "hr"]: readonly FakeQuantize[] };
  /** Statistics for calibrated rounding of the weights; null if the QConfig does not ask for it. */
  readonly statistics: CellStatistics | null;
}

/**
 * A recurrent module whose parts are observed one by one, in both directions of every layer.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../../qconfig/qconfig.ts";
 * import { ofPart } from "../../cells/cell.ts";
 * import { type ObservedRecurrent } from "./observed.ts";
 * import { assertEquals } from "@std/assert";
 * const float = new LSTM({ inputSize: 2, hiddenSize: 3, bidirectional: true });
 * const observed = prepare(float, fbgemmQConfig, { splitGates: true });
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const lstm = observed.modules.get("lstm") as ObservedRecurrent;
 * const backward = lstm.cells[0]![1]!.observers;
 * assertEquals(new Set(ofPart(backward, "gates")).size, 4); // an observer a gate
 * assertEquals(ofPart(backward, "tanh_cy")[0]!.seen, true);
 * ```
 */
export class ObservedRecurrent<F extends FloatRecurrent = FloatRecurrent>
  implements ObservedModule {
  /** Name of the kind. */
  readonly kind: string;
  /** A copy of the float module, independent of the original. */
  readonly module: F;
  /** Source of the observers; `convert` takes the weights' observers and the engine from it. */
  readonly qconfig: QConfig;
  /** Whether there is a Linear, an add and their observers for each gate, or one for all. */
  readonly splitGates: boolean;
  /** Source of the parameters of the first layer's x. */
  readonly input: InputObserver;
  /**
   * Observers of given initial states, shared by all cells; null if the QConfig's `initialState` is
   * "own", so that the cells' own observers see them.
   */
  readonly state: readonly (Observer | null)[] | null;
  /**
   * The observer of the last layer's forward hidden state, since torch.cat keeps the first tensor's
   * parameters.
   */
  readonly output: Observer | null;
  /** By layer and direction. */
  readonly cells: readonly (readonly ObservedCell[])[];

  /**
   * Called by `prepare`.
   *
   * @param tokens Number of rows of the embedding before it, if they are rounded together with the
   * input weights.
   */
  constructor(
    module: F,
    qconfig: QConfig,
    input: InputObserver,
    splitGates: boolean,
    tokens: number | null = null,
  ) {
    this.kind = module.kind;
    this.module = module;
    this.qconfig = qconfig;
    this.input = input;
    this.splitGates = splitGates;
    const { cell, hiddenSize, inputSize, outputSize, stateSize } = module;
    const blocks = splitGates ? cell.gates.length : 1;
    this.state = qconfig.initialState === "own" ? null : stateObservers(qconfig, cell);
    this.cells = module.cells.map((layer, l) =>
      layer.map((weights) => ({
        weights,
        observers: cellObservers(qconfig, cell, splitGates),
        weightFakeQuant: {
          ih: weightFakeQuantizers(qconfig.weight, blocks),
          hh: weightFakeQuantizers(qconfig.weight, blocks),
          hr: weightFakeQuantizers(qconfig.weight),
        },
        statistics: qconfig.weightRounding !== "calibrated"
          ? null
          : l === 0
          ? new CellStatistics(cell, hiddenSize, stateSize, inputSize, tokens)
          : new CellStatistics(cell, hiddenSize, stateSize, outputSize, null),
      }))
    );
    this.output = stateObserver(cell, this.cells[module.numLayers - 1]![0]!.observers);
  }

  /**
   * Runs the float module, as its own `forward`, and shows each part's output to its observer:
   * step by step, the batch rows that have the step together, as torch's quantizable LSTM does. A
   * given state is observed as well.
   *
   * @param tokens The embedding row of each row of x, in x's order.
   * @returns The float module's results, bit for bit unless fake-quantizers change them.
   * @throws {TypeError | RangeError} As the float module's `forward`.
   */
  forward(
    x: Tensor,
    state?: readonly Tensor[],
    options: RecurrentForwardOptions = {},
    tokens: Int32Array | null = null,
  ): [y: Tensor, state: readonly Tensor[]] {
    const plan = planSequence(this.module, x, state, options);
    if (state !== undefined) this.#observeState(plan.states.map(({ data }) => data));
    const { steps, batch } = plan;
    return withFloatKernels(steps * batch, (kernels) => this.#run(x, plan, tokens, kernels));
  }

  #run(
    x: Tensor,
    { steps, batch, lengths, states }: SequencePlan,
    tokens: Int32Array | null,
    kernels: FloatKernels,
  ): [y: Tensor, state: readonly Tensor[]] {
    const { module, splitGates } = this;
    const { cell: parts, hiddenSize, outputSize, numDirections, stateSize: width } = module;
    const sizes = states.map(({ shape }) => shape[shape.length - 1]!);
    const stepRows = module.batchFirst ? 1 : batch;
    const batchRows = module.batchFirst ? steps : 1;
    let from = x.data;
    let size = module.inputSize;
    this.cells.forEach((layer, l) => {
      const to = new Float32Array(steps * batch * outputSize);
      const both = this.qconfig.concatenation === "both";
      const output = stateObserver(parts, layer[0]!.observers);
      layer.forEach((cell, d) => {
        const { observers, statistics } = cell;
        const float = floatExecutor(parts, this.#fakeQuantized(cell), hiddenSize, kernels);
        const first = (l * numDirections + d) * batch;
        for (let i = 0; i < steps; i++) {
          const rows: number[] = [];
          const sources: number[] = [];
          for (let b = 0; b < batch; b++) {
            const length = lengths === null ? steps : lengths[b]!;
            if (i >= length) continue;
            rows.push(b);
            sources.push((d === 0 ? i : length - 1 - i) * stepRows + b * batchRows);
          }
          if (rows.length === 0) break;
          const at = rows.map((b) => first + b);
          const observing = observedExecutor(float, observers, rows.length);
          const executor = statistics === null ? observing : statistics.watch(
            observing,
            tokens === null ? null : sources.map((source) => tokens[source]!),
          );
          const xNow = gatherRows(from, sources, size);
          const before = states.map(({ data }, s) => gatherRows(data, at, sizes[s]!));
          const next = runCell(executor, parts, splitGates, xNow, before);
          const [h] = next;
          const y = d === 1 && both ? passThrough(output, h!, [rows.length, width]) : h!;
          rows.forEach((_, r) => {
            states.forEach(({ data }, s) => {
              const each = sizes[s]!;
              data.set(next[s]!.subarray(r * each, (r + 1) * each), at[r]! * each);
            });
            to.set(y.subarray(r * width, (r + 1) * width), sources[r]! * outputSize + d * width);
          });
        }
      });
      from = to;
      size = outputSize;
    });
    checkFinite("y", from);
    return [{ data: from, shape: [...x.shape.slice(0, -1), outputSize] }, states];
  }

  /** Shows given states to their observers, in place, since a fake-quantizer changes them. */
  #observeState(states: readonly Float32Array[]): void {
    const { module: { cell }, state } = this;
    const cells = this.cells.flat();
    const sizes = stateSizes(this.module);
    states.forEach((values, s) => {
      const width = sizes[s]!;
      const observe = (observer: Observer | null, values: Float32Array) =>
        values.set(passThrough(observer, values, [values.length / width, width]));
      if (state !== null) {
        observe(state[s]!, values);
        return;
      }
      const size = values.length / cells.length;
      cells.forEach(({ observers }, i) =>
        observe(stateObserver(cell, observers, s), values.subarray(i * size, (i + 1) * size))
      );
    });
  }

  /** A cell's effective weights: fake-quantized if it has fake-quantizers. */
  #fakeQuantized({ weights, weightFakeQuant: { ih, hh, hr } }: ObservedCell): FloatCellWeights {
    const { rows, stateSize } = this.module;
    const { weightIh, weightHh, weightHr = null } = weights;
    return {
      ...weights,
      weightIh: fakeQuantizeWeight(ih, weightIh, rows),
      weightHh: fakeQuantizeWeight(hh, weightHh, rows),
      weightHr: weightHr && fakeQuantizeWeight(hr, weightHr, stateSize),
    };
  }
}
