/**
 * From an observed recurrent module to integers.
 *
 * @module
 */
import type { LinearWeight } from "../../../kernels/ops/linear.ts";
import { type CellQParams, gateSuffix, ofPart } from "../../cells/cell.ts";
import type { DType } from "../../core/dtype.ts";
import type { Work } from "../../core/work.ts";
import { sameQParams } from "../../core/qparams.ts";
import type { ConvertContext, TableProjection } from "../kind.ts";
import { observedQParams } from "../observing.ts";
import type { InputStatistics } from "../rounding/statistics.ts";
import type { NearestWeight } from "../rounding/weight_rounding.ts";
import { quantizeWeight, roundWeight } from "../rounding/weights.ts";
import { type QuantizedCell, stateQParams } from "./cell.ts";
import { cellName, type RecurrentModule } from "./data.ts";
import type { FloatRecurrent } from "./float.ts";
import type { ObservedCell, ObservedRecurrent } from "./observed.ts";

/** Number of a weight's row blocks with scales of their own if gates are split. */
function blocksOf({ module, splitGates }: ObservedRecurrent): number {
  return splitGates ? module.cell.gates.length : 1;
}

/** A cell's input weight, rounded to the nearest integers. */
function nearestInputWeight(
  name: string,
  observed: ObservedRecurrent,
  { weights: { weightIh } }: ObservedCell,
): NearestWeight {
  const { qconfig, module: { rows } } = observed;
  return quantizeWeight(name, qconfig.weight, weightIh, rows, blocksOf(observed));
}

const BYTES: readonly DType[] = ["quint8", "qint8"];

/** @param weightIh The input weight if it is rounded already. */
function* convertCell(
  name: string,
  observed: ObservedRecurrent,
  own: ObservedCell,
  suffix: string,
  weightIh: LinearWeight | undefined,
): Work<QuantizedCell> {
  const { qconfig, splitGates, module: { cell, rows } } = observed;
  const { weights, observers } = own;
  const parts: Record<string, unknown> = {};
  for (const part of cell.parts) {
    const all = ofPart(observers, part.name);
    const at = `${name}.${suffix}.${part.name}`;
    const qparams = part.gated && splitGates
      ? all.map((each, g) => observedQParams(`${at}${gateSuffix(cell, g)}`, each))
      : Array(all.length).fill(observedQParams(at, all[0]!));
    parts[part.name] = part.gated ? qparams : qparams[0];
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
  const { weightHh, weightHr = null } = weights;
  // Rounding an 8-bit hidden state costs more than other scales of the rows that read it gain.
  const hidden = ofPart(parts as unknown as CellQParams, cell.states[0]!.part)[0];
  const hasByteState = hidden !== null && BYTES.includes(hidden!.dtype);
  const { statistics } = own;
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
        nearestInputWeight(`${name}.weight_ih_${suffix}`, observed, own),
        weights.weightIh,
        inputGram,
        true,
      )),
    weightHh: yield* roundWeight(
      nearest("hh", weightHh, rows, blocksOf(observed)),
      weightHh,
      statistics?.hidden ?? null,
      !hasByteState,
    ),
    weightHr: weightHr && nearest("hr", weightHr, observed.module.stateSize, 1).weight,
    biasIh: weights.biasIh,
    biasHh: weights.biasHh,
    parts: parts as unknown as CellQParams,
  };
}

/**
 * Parameters of given float32 initial states; undefined to use each cell's own: if no state was
 * observed, or only zeros, which have no range, or a cell's state is float32.
 */
function stateInputOf(
  name: string,
  { state, module: { cell } }: ObservedRecurrent,
  cells: readonly QuantizedCell[],
): Pick<RecurrentModule, "stateInput"> {
  if (state === null) return {};
  const stateInput = state.map((observer, i) => {
    if (observer === null || !observer.seen) return null;
    if (observer.minVal === 0 && observer.maxVal === 0) return null;
    const own = cells.map((each) => stateQParams(cell, each, i));
    const given = observedQParams(`${name}.${cell.states[i]!.name}0`, observer)!;
    return own.includes(null) || own.every((q) => sameQParams(q!, given)) ? null : given;
  });
  return stateInput.every((q) => q === null) ? {} : { stateInput };
}

/** Rows of weights that converting a module rounds against calibration data. */
export function rowsToRound({ module: { rows }, cells }: ObservedRecurrent): number {
  return cells.flat().reduce((sum, { statistics }) => {
    if (statistics === null) return sum;
    return sum + (statistics.input.kind === "gram" ? 2 : 1) * rows;
  }, 0);
}

type TokenStatistics = Extract<InputStatistics, { kind: "tokens" }>;

/** The first layer's input weights with their statistics by token; null if there are none. */
export function tableProjections(
  name: string,
  observed: ObservedRecurrent,
): TableProjection[] | null {
  const [cells] = observed.cells;
  const inputs = cells!.map(({ statistics }) => statistics?.input)
    .filter((input): input is TokenStatistics => input?.kind === "tokens");
  if (inputs.length === 0) return null;
  return cells!.map((cell, d) => ({
    weight: cell.weights.weightIh,
    nearest: nearestInputWeight(`${name}.weight_ih_${cellName(0, d)}`, observed, cell),
    counts: inputs[d]!.counts,
    weights: inputs[d]!.weights,
  }));
}

/** Converts the cells of a module. */
export function* convertCells<F extends FloatRecurrent>(
  observed: ObservedRecurrent<F>,
  { name, input, inputWeights }: ConvertContext,
): Work<Omit<RecurrentModule, "kind" | "cell" | "projSize">> {
  const { qconfig, module, splitGates } = observed;
  const { inputSize, hiddenSize, numLayers, bias, batchFirst, bidirectional } = module;
  const cells: QuantizedCell[][] = [];
  for (const [l, layer] of observed.cells.entries()) {
    const converted: QuantizedCell[] = [];
    for (const [d, cell] of layer.entries()) {
      const weightIh = l === 0 ? inputWeights[d] : undefined;
      converted.push(yield* convertCell(name, observed, cell, cellName(l, d), weightIh));
    }
    cells.push(converted);
  }
  return {
    inputSize,
    hiddenSize,
    numLayers,
    bias,
    batchFirst,
    bidirectional,
    engine: qconfig.engine ?? "fbgemm",
    splitGates,
    input,
    torchInitialState: qconfig.initialState !== "own",
    dynamic: qconfig.dynamic ?? false,
    ...stateInputOf(name, observed, cells.flat()),
    cells,
  };
}
