/**
 * From a float model to a dynamically quantized one, without calibration.
 *
 * @module
 */
import { failRange } from "../errors.ts";
import { Embedding } from "../nn/embedding.ts";
import type { Linear } from "../nn/linear.ts";
import { LSTM } from "../nn/lstm.ts";
import { asMapping, type QConfigMapping } from "../qconfig/mapping.ts";
import { dynamicQConfig, type QConfig } from "../qconfig/qconfig.ts";
import { DynamicLinear, DynamicLSTM } from "../quantized/dynamic.ts";
import type { Tensor, TokenTensor } from "../tensor.ts";
import { copyModule, type FloatModel, namedModules, typeOf } from "./prepare.ts";
import { quantizeWeight } from "./weights.ts";

/** A module of a {@linkcode DynamicModel}: quantized, or float where its QConfig was null. */
export type DynamicModule = DynamicLinear | DynamicLSTM | Linear | LSTM | Embedding;

/** What {@linkcode quantizeDynamic} gives. */
export class DynamicModel {
  /** The modules by name, in order. */
  readonly modules: ReadonlyMap<string, DynamicModule>;

  /** Use `quantizeDynamic`. */
  constructor(modules: ReadonlyMap<string, DynamicModule>) {
    this.modules = modules;
  }

  /**
   * @param x What the first module takes: float32, or token ids for an Embedding.
   * @returns What the last module gives; of an LSTM its output.
   * @throws {TypeError | RangeError} If a module refuses its input.
   */
  forward(x: Tensor | TokenTensor): Tensor {
    let value = x as Tensor;
    for (const module of this.modules.values()) {
      value = module instanceof LSTM || module instanceof DynamicLSTM
        ? module.forward(value)[0]
        : module.forward(value as Tensor & TokenTensor);
    }
    return value;
  }
}

function quantizeLstm(name: string, lstm: LSTM, qconfig: QConfig): DynamicLSTM {
  const { inputSize, hiddenSize, projSize, numLayers, batchFirst, bidirectional, numDirections } = lstm;
  if (projSize > 0) failRange(`${name}.projSize`, "0: a dynamic LSTM does not project its hidden state", projSize);
  const rows = 4 * hiddenSize;
  return new DynamicLSTM({
    inputSize,
    hiddenSize,
    numLayers,
    batchFirst,
    bidirectional,
    engine: qconfig.engine ?? "fbgemm",
    reduceRange: true,
    cells: lstm.cells.map((layer, l) =>
      layer.map(({ weightIh, weightHh, biasIh, biasHh }, d) => {
        const suffix = `l${l}${d === 1 ? "_reverse" : ""}`, width = l === 0 ? inputSize : hiddenSize * numDirections;
        return {
          weightIh: quantizeWeight(`${name}.weight_ih_${suffix}`, qconfig.weight, weightIh, rows, width).weight,
          weightHh: quantizeWeight(`${name}.weight_hh_${suffix}`, qconfig.weight, weightHh, rows, hiddenSize).weight,
          biasIh: biasIh?.slice() ?? null,
          biasHh: biasHh?.slice() ?? null,
        };
      })
    ),
  });
}

/**
 * Quantizes the weights of a float model's Linear and LSTM modules to int8 and leaves activations float32, each
 * quantized when it meets a weight, by its own range: torch.ao.quantization.quantize_dynamic. It needs no calibration.
 * An Embedding stays float.
 *
 * @param model A Linear, Embedding or LSTM, or a Sequential of them; copied.
 * @param qconfig A dynamic QConfig, or a mapping of modules to them; null leaves a module float. By default
 * {@linkcode dynamicQConfig} for all.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If a QConfig is not dynamic, a key of the mapping matches nothing, or an LSTM has a projection.
 *
 * @example
 * ```ts
 * import { Linear, quantizeDynamic, tensor } from "@splitgate/splitgate";
 * import { assertAlmostEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 8, outFeatures: 1 }), x = tensor([1, 2, 3, 4, 5, 6, 7, 8], [1, 8]);
 * const dynamic = quantizeDynamic(linear);
 * assertAlmostEquals(dynamic.forward(x).data[0], linear.forward(x).data[0], 0.1);
 * ```
 */
export function quantizeDynamic(model: FloatModel, qconfig: QConfig | QConfigMapping = dynamicQConfig): DynamicModel {
  const named = namedModules(model), modules = new Map<string, DynamicModule>();
  const qconfigs = asMapping(qconfig).resolve(named.map(([name, module]) => ({ name, type: typeOf(module) })));
  named.forEach(([name, module], i) => {
    const config = qconfigs[i];
    if (config !== null && !config.dynamic) {
      failRange(`qconfig of ${name}`, "a dynamic QConfig (prepare and convert take static ones)", "a static one");
    }
    if (config === null || module instanceof Embedding) {
      modules.set(name, copyModule(module));
    } else if (module instanceof LSTM) {
      modules.set(name, quantizeLstm(name, module, config));
    } else {
      const { weight, bias, outFeatures, inFeatures } = module;
      modules.set(
        name,
        new DynamicLinear({
          engine: config.engine ?? "fbgemm",
          weight: quantizeWeight(`${name}.weight`, config.weight, weight, outFeatures, inFeatures).weight,
          bias: bias?.slice() ?? null,
          reduceRange: true,
        }),
      );
    }
  });
  return new DynamicModel(modules);
}
