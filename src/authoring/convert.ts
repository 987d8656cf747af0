/**
 * From observed modules to integer ones.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import { CELL_STATE, type CellQParams, GATES, lstmParts } from "../cells/lstm_parts.ts";
import type { Observer } from "../observer/observer.ts";
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { isPerChannel, type PerTensorQParams, sameQParams } from "../core/qparams.ts";
import { hiddenQParams, type QuantizedLstmCell } from "../modules/lstm/cell.ts";
import { QuantizedEmbedding } from "../modules/embedding/quantized.ts";
import { QuantizedLinear } from "../modules/linear/quantized.ts";
import { QuantizedLSTM } from "../modules/lstm/quantized.ts";
import { QuantizedModel, type QuantizedModule } from "./model.ts";
import type { LstmModule } from "./modules.ts";
import { convertEmbedding, ObservedEmbedding } from "../modules/embedding/observed.ts";
import { type ObservedCell, ObservedLSTM } from "../modules/lstm/observed.ts";
import { ObservedLinear } from "../modules/linear/observed.ts";
import { ObservedModel, type ObservedModule } from "./observed_model.ts";
import type { InputStatistics } from "./rounding_statistics.ts";
import { roundTokenTable, roundWeightRows } from "./weight_rounding.ts";
import { type NearestWeight, quantizeWeight } from "./weights.ts";

/** The parameters that an observer gives, or null where there is none; errors name the place. */
export function observedQParams(name: string, observer: Observer | null): PerTensorQParams | null {
  if (observer === null) return null;
  if (!observer.seen) {
    failRange(
      name,
      "an observer that has seen data: run calibration data through the observed model first",
      "none",
    );
  }
  const qparams = observer.calculateQParams();
  if (isPerChannel(qparams)) {
    return failType(`${name} observer`, "one for a whole tensor", observer.kind);
  }
  return qparams;
}

/** Rounds a weight against a gram matrix of its inputs, if there is one. */
function roundWeight(
  { weight, quantMin, quantMax }: NearestWeight,
  float: Float32Array,
  gram: Float64Array | null,
) {
  return gram === null ? weight : roundWeightRows(weight, float, gram, quantMin, quantMax);
}

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
    weightIh.length / rows,
    lstm.splitGates ? 4 : 1,
  );
}

/** @param weightIh The input weight where it is rounded already. */
function convertCell(
  name: string,
  lstm: ObservedLSTM,
  cell: ObservedCell,
  suffix: string,
  weightIh: LinearWeight | undefined,
): QuantizedLstmCell {
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
      weight.length / outFeatures,
      blocks,
    );
  const inputGram = statistics?.input.kind === "gram" ? statistics.input.gram : null;
  return {
    weightIh: weightIh ??
      roundWeight(
        nearestInputWeight(`${name}.weight_ih_${suffix}`, lstm, cell),
        weights.weightIh,
        inputGram,
      ),
    weightHh: roundWeight(
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
function suffixOf(layer: number, direction: number): string {
  return `l${layer}${direction === 1 ? "_reverse" : ""}`;
}

/** Rounds an embedding and the input weights of the LSTM that reads it together. */
function roundTogether(
  { embedding }: ObservedEmbedding,
  quantized: QuantizedEmbedding,
  name: string,
  lstm: ObservedLSTM,
): { embedding: QuantizedEmbedding; weightsIh: readonly LinearWeight[] } | null {
  const { weight: codes, scales, biases } = quantized;
  const [cells] = lstm.cells;
  const inputs = cells!.map(({ statistics }) => statistics?.input).filter((
    input,
  ): input is TokenStatistics => input?.kind === "tokens");
  if (inputs.length === 0 || isFloat32Array(codes)) return null;
  if (inputs[0]!.counts.every((count) => count === 0)) {
    failRange(name, "calibration data: run some through the observed model first", "none");
  }
  const nearest = cells!.map((cell, d) =>
    nearestInputWeight(`${name}.weight_ih_${suffixOf(0, d)}`, lstm, cell)
  );
  const rounded = roundTokenTable(
    embedding.weight,
    { codes, scales, biases },
    cells!.map(({ weights }, d) => ({
      weight: weights.weightIh,
      nearest: nearest[d]!.weight,
      weights: inputs[d]!.weights,
    })),
    inputs[0]!.counts,
    nearest[0]!.quantMin,
    nearest[0]!.quantMax,
  );
  return {
    embedding: new QuantizedEmbedding({ ...quantized, weight: rounded.codes }),
    weightsIh: rounded.projections,
  };
}

type TokenStatistics = Extract<InputStatistics, { kind: "tokens" }>;

/**
 * Parameters of given float32 initial states, or nothing where they are those of each cell's own state: where no state
 * was given, or none but zeros, which say nothing of a range; or a cell's state is float32.
 */
function stateInputOf(
  name: string,
  { state }: ObservedLSTM,
  cells: readonly QuantizedLstmCell[],
): Pick<LstmModule, "stateInput"> {
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

/** @param weightsIh The first layer's input weights where they are rounded already, one a direction. */
function convertModule(
  name: string,
  module: ObservedModule,
  input: PerTensorQParams | null,
  weightsIh: readonly LinearWeight[],
): QuantizedModule {
  if (module instanceof ObservedEmbedding) return convertEmbedding(module);
  const { qconfig } = module;
  const engine = qconfig.engine ?? "fbgemm";
  if (module instanceof ObservedLinear) {
    const { inFeatures, outFeatures, weight, bias } = module.linear;
    if (module.gram?.every((value) => value === 0)) {
      failRange(
        name,
        "calibration data: run some through the observed model first",
        "none, or nothing but zeros",
      );
    }
    return new QuantizedLinear({
      engine,
      weight: roundWeight(
        quantizeWeight(`${name}.weight`, qconfig.weight, weight, outFeatures, inFeatures),
        weight,
        module.gram,
      ),
      bias,
      input,
      output: observedQParams(name, module.output),
      dynamic: qconfig.dynamic,
    });
  }
  const { inputSize, hiddenSize, projSize, numLayers, bias, batchFirst, bidirectional } =
    module.lstm;
  const cells = module.cells.map((layer, l) =>
    layer.map((cell, d) =>
      convertCell(name, module, cell, suffixOf(l, d), l === 0 ? weightsIh[d] : undefined)
    )
  );
  return new QuantizedLSTM({
    inputSize,
    hiddenSize,
    projSize,
    numLayers,
    bias,
    batchFirst,
    bidirectional,
    engine,
    splitGates: module.splitGates,
    input,
    torchInitialState: qconfig.initialState !== "own",
    dynamic: qconfig.dynamic,
    ...stateInputOf(name, module, cells.flat()),
    cells,
  });
}

/** Parameters of what a module gives; null is float32. */
function outputOf(module: QuantizedModule): PerTensorQParams | null {
  return "output" in module ? module.output : null;
}

/**
 * Converts an observed and calibrated model to integers: int8 weights, each with its QConfig's weight observer, and the
 * observers' parameters for everything else. With `weightRounding: "calibrated"` the integers of a weight are those
 * that keep its outputs on the calibration data, not each the nearest one. Every weight and bias is copied; the
 * observed model stays as it is.
 *
 * @param observed What `prepare` gave, after calibration data has run through it.
 * @returns The model, ready for sessions and for `saveModel`.
 * @throws {TypeError} If `observed` is no observed model, or a part's observer is not for a whole tensor.
 * @throws {RangeError} If an observer has seen no data: it names the module and the part.
 *
 * @example
 * ```ts
 * import { convert, fbgemmQConfig, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const observed = prepare(lstm, fbgemmQConfig, { splitGates: true });
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const session = convert(observed).createSession();
 * const output = new Float32Array(3);
 * session.step(Float32Array.of(0.1, -0.4), output);
 * assertEquals(output.length, 3);
 * ```
 */
export function convert(observed: ObservedModel): QuantizedModel {
  return new QuantizedModel(convertModules(observed));
}

/** The integer modules that {@linkcode convert} makes a model of. */
export function convertModules(observed: ObservedModel): ReadonlyMap<string, QuantizedModule> {
  if (!(observed instanceof ObservedModel)) {
    failType("observed", "an ObservedModel, as prepare gives it", observed);
  }
  const modules = new Map<string, QuantizedModule>();
  let previous: PerTensorQParams | null = null,
    before: [name: string, ObservedModule] | null = null;
  for (const [name, module] of observed.modules) {
    const input: PerTensorQParams | null =
      module instanceof ObservedEmbedding || module.input === "float"
        ? null
        : module.input === "previous"
        ? previous
        : observedQParams(`${name}.input`, module.input);
    let weightsIh: readonly LinearWeight[] = [];
    if (
      module instanceof ObservedLSTM && before !== null && before[1] instanceof ObservedEmbedding
    ) {
      const embedding = modules.get(before[0]) as QuantizedEmbedding;
      const together = roundTogether(before[1], embedding, name, module);
      if (together !== null) {
        modules.set(before[0], together.embedding);
        weightsIh = together.weightsIh;
      }
    }
    const converted = convertModule(name, module, input, weightsIh);
    modules.set(name, converted);
    previous = outputOf(converted);
    before = [name, module];
  }
  return modules;
}
