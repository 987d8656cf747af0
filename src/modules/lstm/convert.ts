/**
 * From an observed LSTM to integers.
 *
 * @module
 */
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import { functionsOf } from "../../cells/functions.ts";
import { CELL_STATE, type CellQParams, GATES, lstmParts } from "../../cells/lstm_parts.ts";
import { sameQParams } from "../../core/qparams.ts";
import type { Work } from "../../core/work.ts";
import type { Observer } from "../../observer/observer.ts";
import type { ConvertContext, TableProjection } from "../kind.ts";
import { observedQParams } from "../observing.ts";
import type { InputStatistics } from "../rounding/statistics.ts";
import type { NearestWeight } from "../rounding/weight_rounding.ts";
import { quantizeWeight, roundWeight } from "../rounding/weights.ts";
import { hiddenQParams, type QuantizedLSTMCell } from "./cell.ts";
import type { LSTMModule } from "./data.ts";
import type { ObservedCell, ObservedLSTM } from "./observed.ts";
import { QuantizedLSTM } from "./quantized.ts";

/** The weight that reads a cell's input, rounded to the nearest integers. */
function nearestInputWeight(
  name: string,
  lstm: ObservedLSTM,
  { weights: { weightIh } }: ObservedCell,
): NearestWeight {
  const rows = 4 * lstm.lstm.hiddenSize;
  return quantizeWeight(
    name,
    lstm.qconfig.weight,
    weightIh,
    rows,
    lstm.splitGates ? 4 : 1,
  );
}

/** @param weightIh The input weight where it is rounded already. */
function* convertCell(
  name: string,
  lstm: ObservedLSTM,
  cell: ObservedCell,
  suffix: string,
  weightIh: LinearWeight | undefined,
): Work<QuantizedLSTMCell> {
  const { qconfig, splitGates } = lstm;
  const { weights, observers } = cell;
  const parts: Record<string, unknown> = {};
  const { hiddenSize, projSize } = lstm.lstm;
  for (const part of lstmParts(projSize > 0)) {
    const observer = observers[part.name];
    const at = `${name}.${suffix}.${part.name}`;
    if (!Array.isArray(observer)) {
      parts[part.name] = observedQParams(at, observer as Observer | null);
    } else if (splitGates) {
      parts[part.name] = observer.map((each, g) => observedQParams(`${at}.${GATES[g]}`, each));
    } else {
      parts[part.name] = Array(4).fill(observedQParams(at, observer[0]));
    }
  }
  if (observers.inputs !== undefined) {
    parts.inputs = Object.fromEntries(
      Object.entries(observers.inputs).map(([part, each]) => [
        part,
        each!.map((observer, i) =>
          observedQParams(`${name}.${suffix}.${part}.inputs[${i}]`, observer)
        ),
      ]),
    );
  }
  const { weightHh, weightHr } = weights;
  const { statistics } = cell;
  const blocks = splitGates ? 4 : 1;
  const nearest = (kind: string, weight: Float32Array, outFeatures: number, blocks: number) =>
    quantizeWeight(
      `${name}.weight_${kind}_${suffix}`,
      qconfig.weight,
      weight,
      outFeatures,
      blocks,
    );
  const inputGram = statistics?.input.kind === "gram" ? statistics.input.gram : null;
  return {
    weightIh: weightIh ??
      (yield* roundWeight(
        nearestInputWeight(`${name}.weight_ih_${suffix}`, lstm, cell),
        weights.weightIh,
        inputGram,
      )),
    weightHh: yield* roundWeight(
      nearest("hh", weightHh, 4 * hiddenSize, blocks),
      weightHh,
      statistics?.hidden ?? null,
    ),
    weightHr: weightHr === null ? null : nearest("hr", weightHr, projSize, 1).weight,
    biasIh: weights.biasIh,
    biasHh: weights.biasHh,
    parts: parts as unknown as CellQParams,
  };
}

/** What a direction is called in names of weights. */
export function suffixOf(layer: number, direction: number): string {
  return `l${layer}${direction === 1 ? "_reverse" : ""}`;
}

/**
 * Parameters of given float32 initial states, or nothing where they are those of each cell's own
 * state: where no state was given, or none but zeros, which say nothing of a range; or a cell's
 * state is float32.
 */
function stateInputOf(
  name: string,
  { state }: ObservedLSTM,
  cells: readonly QuantizedLSTMCell[],
): Pick<LSTMModule, "stateInput"> {
  if (state === null) return {};
  const [h, c] = state.map((observer, i) => {
    if (observer === null || !observer.seen) return null;
    if (observer.minVal === 0 && observer.maxVal === 0) return null;
    const own = cells.map((cell) => i === 0 ? hiddenQParams(cell) : cell.parts[CELL_STATE]);
    const given = observedQParams(`${name}.${i === 0 ? "h0" : "c0"}`, observer)!;
    return own.includes(null) || own.every((q) => sameQParams(q!, given)) ? null : given;
  });
  return h === null && c === null ? {} : { stateInput: [h!, c!] };
}

/** Rows of weights that converting an LSTM rounds against calibration data. */
export function rowsToRound({ lstm, cells }: ObservedLSTM): number {
  const rows = 4 * lstm.hiddenSize;
  return cells.flat().reduce((sum, { statistics }) => {
    if (statistics === null) return sum;
    return sum + (statistics.input.kind === "gram" ? 2 : 1) * rows;
  }, 0);
}

type TokenStatistics = Extract<InputStatistics, { kind: "tokens" }>;

/**
 * The first layer's input weights, and what calibration data tells about them by token; null where
 * it does not.
 */
export function tableProjections(name: string, lstm: ObservedLSTM): TableProjection[] | null {
  const [cells] = lstm.cells;
  const inputs = cells!.map(({ statistics }) => statistics?.input)
    .filter((input): input is TokenStatistics => input?.kind === "tokens");
  if (inputs.length === 0) return null;
  return cells!.map((cell, d) => ({
    weight: cell.weights.weightIh,
    nearest: nearestInputWeight(`${name}.weight_ih_${suffixOf(0, d)}`, lstm, cell),
    counts: inputs[d]!.counts,
    weights: inputs[d]!.weights,
  }));
}

/** Converts an LSTM. */
export function* convertLSTM(
  observed: ObservedLSTM,
  { name, input, inputWeights }: ConvertContext,
): Work<QuantizedLSTM> {
  const { qconfig, lstm, splitGates } = observed;
  const { inputSize, hiddenSize, projSize, numLayers, bias, batchFirst, bidirectional } = lstm;
  const cells: QuantizedLSTMCell[][] = [];
  for (const [l, layer] of observed.cells.entries()) {
    const converted: QuantizedLSTMCell[] = [];
    for (const [d, cell] of layer.entries()) {
      const weightIh = l === 0 ? inputWeights[d] : undefined;
      converted.push(yield* convertCell(name, observed, cell, suffixOf(l, d), weightIh));
    }
    cells.push(converted);
  }
  return new QuantizedLSTM({
    inputSize,
    hiddenSize,
    projSize,
    numLayers,
    bias,
    batchFirst,
    bidirectional,
    engine: qconfig.engine ?? "fbgemm",
    splitGates,
    input,
    torchInitialState: qconfig.initialState !== "own",
    dynamic: qconfig.dynamic ?? false,
    ...functionsOf(lstm),
    ...stateInputOf(name, observed, cells.flat()),
    cells,
  });
}
