/**
 * From observed modules to integer ones.
 *
 * @module
 */
import { failType } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { INPUT } from "../core/topology.ts";
import { finish, type Work } from "../core/work.ts";
import type { QuantizedModule } from "../modules/kind.ts";
import { kindOf } from "../modules/kinds.ts";
import { observedQParams } from "../modules/observing.ts";
import { QuantizedModel } from "./model.ts";
import { ObservedModel } from "./observed_model.ts";
import { roundTogether, rowsTogether } from "./rewrites.ts";

/**
 * Converts an observed and calibrated model to integers: int8 weights, each with its QConfig's
 * weight observer, and the observers' parameters for everything else. With
 * `weightRounding: "calibrated"` the integers of a weight are those that keep its outputs on the
 * calibration data, not each the nearest one. Every weight and bias is copied; the observed model
 * stays as it is.
 *
 * @param observed What `prepare` gave, after calibration data has run through it.
 * @returns The model, ready for sessions and for `saveModel`.
 * @throws {TypeError} If `observed` is no observed model, or a part's observer is not for a whole
 * tensor.
 * @throws {RangeError} If an observer has seen no data: it names the module and the part.
 *
 * @example
 * ```ts
 * import { convert, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { fbgemmQConfig } from "../qconfig/qconfig.ts";
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
  if (!(observed instanceof ObservedModel)) {
    failType("observed", "an ObservedModel, as prepare gives it", observed);
  }
  return finish(conversion(observed));
}

/** Units of work that {@linkcode conversion} is: one a module, and rows of weights. */
export function conversionSize(observed: ObservedModel): number {
  let size = observed.modules.size;
  for (const [name, module] of observed.modules) {
    size += rowsTogether(observed, name) + (kindOf(name, module).rowsToRound?.(module) ?? 0);
  }
  return size;
}

/** {@linkcode convert}, a row of a weight at a time. */
export function* conversion(observed: ObservedModel): Work<QuantizedModel> {
  const { modules, topology } = observed;
  const quantized = new Map<string, QuantizedModule>();
  const outputs = new Map<string, PerTensorQParams | null>([[INPUT, null]]);
  for (const [name, module] of modules) {
    const kind = kindOf(name, module);
    const given = topology.inputs.get(name)!.map((read) => outputs.get(read)!);
    const { input } = module;
    const taken = input === "float"
      ? null
      : input === "previous"
      ? given[0]!
      : observedQParams(`${name}.input`, input);
    const together = yield* roundTogether(observed, quantized, name);
    if (together !== null) quantized.set(together.table, together.embedding);
    const inputWeights = together?.weights ?? [];
    const work = kind.convert(module, { name, given, input: taken, inputWeights });
    const converted = Symbol.iterator in work ? yield* work : work;
    yield 1;
    quantized.set(name, converted);
    outputs.set(name, kind.ends(converted).output.qparams);
  }
  return new QuantizedModel(quantized, topology);
}
