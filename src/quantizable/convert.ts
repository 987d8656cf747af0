/**
 * From observed modules to integer ones.
 *
 * @module
 */
import { failRange, failType } from "../errors.ts";
import { saveModel } from "../io/model_write.ts";
import { type CellQParams, GATES, lstmParts } from "../lstm_parts.ts";
import type { Observer } from "../observer/observer.ts";
import { isPerChannel, type PerTensorQParams } from "../qparams.ts";
import type { QuantizedLstmCell } from "../quantized/cell.ts";
import { QuantizedLinear } from "../quantized/linear.ts";
import { QuantizedLSTM } from "../quantized/lstm.ts";
import { QuantizedModel, type QuantizedModule } from "../quantized/model.ts";
import { convertEmbedding, ObservedEmbedding } from "./observed_embedding.ts";
import type { ObservedCell, ObservedLSTM } from "./observed_lstm.ts";
import { ObservedLinear } from "./observed_linear.ts";
import { ObservedModel, type ObservedModule } from "./observed_model.ts";
import { quantizeWeight } from "./weights.ts";

/** The parameters that an observer gives, or null where there is none; errors name the place. */
export function observedQParams(name: string, observer: Observer | null): PerTensorQParams | null {
  if (observer === null) return null;
  if (!observer.seen) {
    failRange(name, "an observer that has seen data: run calibration data through the observed model first", "none");
  }
  const qparams = observer.calculateQParams();
  if (isPerChannel(qparams)) return failType(`${name} observer`, "one for a whole tensor", observer.kind);
  return qparams;
}

function convertCell(name: string, lstm: ObservedLSTM, cell: ObservedCell, suffix: string): QuantizedLstmCell {
  const { qconfig, splitGates } = lstm, { weights, observers } = cell, parts: Record<string, unknown> = {};
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
        each!.map((observer, i) => observedQParams(`${name}.${suffix}.${part}.inputs[${i}]`, observer)),
      ]),
    );
  }
  const blocks = splitGates ? 4 : 1, rows = 4 * hiddenSize, { weightIh, weightHh } = weights;
  const quantize = (kind: string, weight: Float32Array, outFeatures: number, blocks: number) =>
    quantizeWeight(
      `${name}.weight_${kind}_${suffix}`,
      qconfig.weight,
      weight,
      outFeatures,
      weight.length / outFeatures,
      blocks,
    );
  return {
    weightIh: quantize("ih", weightIh, rows, blocks),
    weightHh: quantize("hh", weightHh, rows, blocks),
    weightHr: weights.weightHr === null ? null : quantize("hr", weights.weightHr, projSize, 1),
    biasIh: weights.biasIh?.slice() ?? null,
    biasHh: weights.biasHh?.slice() ?? null,
    parts: parts as unknown as CellQParams,
  };
}

function convertModule(name: string, module: ObservedModule, input: PerTensorQParams | null): QuantizedModule {
  if (module instanceof ObservedEmbedding) return convertEmbedding(module);
  const { qconfig } = module, engine = qconfig.engine ?? "fbgemm";
  if (module instanceof ObservedLinear) {
    const { inFeatures, outFeatures, weight, bias } = module.linear;
    return new QuantizedLinear({
      engine,
      weight: quantizeWeight(`${name}.weight`, qconfig.weight, weight, outFeatures, inFeatures),
      bias: bias?.slice() ?? null,
      input,
      output: observedQParams(name, module.output),
    });
  }
  const { inputSize, hiddenSize, projSize, numLayers, bias, batchFirst, bidirectional } = module.lstm;
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
    cells: module.cells.map((layer, l) =>
      layer.map((cell, d) => convertCell(name, module, cell, `l${l}${d === 1 ? "_reverse" : ""}`))
    ),
  });
}

/** Parameters of what a module gives; null is float32. */
function outputOf(module: QuantizedModule): PerTensorQParams | null {
  return "output" in module ? module.output : null;
}

/**
 * Converts an observed and calibrated model to integers: int8 weights, each with its QConfig's weight observer, and
 * the observers' parameters for everything else. Every weight and bias is copied; the observed model stays as it is.
 *
 * @param observed What `prepare` gave, after calibration data has run through it.
 * @returns The model, ready for sessions and for `saveModel`.
 * @throws {TypeError} If `observed` is no observed model, or a weight's observer is not for qint8.
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
  return new QuantizedModel(convertModules(observed), saveModel);
}

/** The integer modules that {@linkcode convert} makes a model of. */
export function convertModules(observed: ObservedModel): ReadonlyMap<string, QuantizedModule> {
  if (!(observed instanceof ObservedModel)) failType("observed", "an ObservedModel, as prepare gives it", observed);
  const modules = new Map<string, QuantizedModule>();
  let previous: PerTensorQParams | null = null;
  for (const [name, module] of observed.modules) {
    const input: PerTensorQParams | null = module instanceof ObservedEmbedding || module.input === "float"
      ? null
      : module.input === "previous"
      ? previous
      : observedQParams(`${name}.input`, module.input);
    const converted = convertModule(name, module, input);
    modules.set(name, converted);
    previous = outputOf(converted);
  }
  return modules;
}
