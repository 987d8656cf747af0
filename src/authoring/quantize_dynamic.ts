/**
 * From a float model to a dynamically quantized one.
 *
 * @module
 */
import { failRange } from "../core/errors.ts";
import type { QConfigMapping } from "../qconfig/mapping.ts";
import { dynamicQConfig, type QConfig } from "../qconfig/qconfig.ts";
import type { QuantizedModel } from "./model.ts";
import { convert } from "./convert.ts";
import { kindOf } from "../modules/kinds.ts";
import type { Module } from "../modules/module.ts";
import { prepare } from "./prepare.ts";

/**
 * torch.ao.quantization.quantize_dynamic: int8 weights, and float32 activations that are quantized
 * at each call, by their own range. It needs no calibration, and is
 * `convert(prepare(model, qconfig))` for QConfigs that are dynamic.
 *
 * Each call has its own ranges: a Linear's spans all the rows it is given, an LSTM's layer the
 * whole sequence of all rows and, for the hidden state, the rows at one step. So the rows of a
 * batch depend on each other, and a sequence run step by step gives other values than run whole, as
 * in torch. Steps beyond a row's length count for nothing.
 *
 * @param model A Linear, Embedding or LSTM, or a Sequential of them; copied. An Embedding stays
 * float32 unless its QConfig has `embeddingBits`.
 * @param qconfig A dynamic QConfig, or a mapping to them; {@linkcode dynamicQConfig} by default.
 * @returns The model, ready for sessions and for `saveModel`.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If a QConfig is not dynamic, a key of the mapping matches nothing, or an
 * LSTM projects its hidden state.
 *
 * @example
 * ```ts
 * import { Linear, quantizeDynamic } from "@splitgate/splitgate";
 * import { assertAlmostEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 8, outFeatures: 1 }),
 *   x = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
 * const y = new Float32Array(1);
 * quantizeDynamic(linear).createSession().step(x, y);
 * assertAlmostEquals(y[0], linear.forward({ data: x, shape: [1, 8] }).data[0], 0.1);
 * ```
 */
export function quantizeDynamic(
  model: Module,
  qconfig: QConfig | QConfigMapping = dynamicQConfig,
): QuantizedModel {
  const observed = prepare(model, qconfig);
  for (const [name, module] of observed.modules) {
    if (kindOf(name, module).hasWeight && !module.qconfig!.dynamic) {
      failRange(
        `qconfig of ${name}`,
        "a dynamic QConfig (prepare and convert take any)",
        "one that is not",
      );
    }
  }
  return convert(observed);
}
