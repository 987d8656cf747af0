/**
 * An LSTM whose parts are observed one by one.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import { PART_SLOTS } from "../cells/names.ts";
import { LSTM } from "../modules/lstm/float.ts";
import { checkPartKey, checkPartObserver, checkQConfig } from "../qconfig/mapping.ts";
import type { PartObserver, PartObservers, QConfig } from "../qconfig/qconfig.ts";
import { getPreset } from "../qconfig/presets.ts";
import type { ObservedModel } from "./observed_model.ts";
import { prepare, type PrepareOptions } from "./prepare.ts";

/**
 * Options of {@linkcode observeLSTMParts}.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import {
 *   MinMaxObserver,
 *   observeLSTMParts,
 *   type ObserveLSTMPartsOptions,
 * } from "@splitgate/splitgate/qconfig";
 * const bits16 = { dtype: "qint32", quantMin: -(2 ** 15), quantMax: 2 ** 15 - 1 } as const;
 * const options: ObserveLSTMPartsOptions = { splitGates: true };
 * observeLSTMParts(
 *   new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   { cellState: MinMaxObserver.withArgs(bits16) },
 *   options,
 * );
 * ```
 */
export interface ObserveLSTMPartsOptions extends PrepareOptions {
  /**
   * The LSTM's own QConfig, which every part not listed inherits; `getPreset("x86")` by default.
   */
  readonly qconfig?: QConfig;
}

/**
 * Observes each part of an LSTM's cells by an observer or fake-quantizer of its own: torch's
 * `_get_lstm_with_individually_observed_parts`, for every layer and direction, and also for
 * tanh(cell), the two projections of the gates and the projection of the hidden state. Weights and
 * biases are those of the float LSTM, copied: before calibration the output is the float LSTM's,
 * bit for bit.
 *
 * @param lstm The float LSTM.
 * @param parts By slot (`inputProjection`, `hiddenProjection`, `linearOutput`, `sigmoid`, `tanh`,
 * `cellState`, `cellTanh`, `hiddenState`, `projection`) or, more specific, by part (`forget_gate`):
 * an observer factory, null for "not quantized", four of them, one a gate, for the parts that span
 * the gates and are split, or an object of `output` and `inputs`. Parts not listed have the
 * activation observer of the LSTM's QConfig.
 * @param options.splitGates Whether each gate has a Linear and an add of its own.
 * @returns The observed model, with the one module `lstm`: run calibration data through it, then
 * `convert` it or `convertToReference` it.
 * @throws {TypeError} If an argument is of the wrong kind.
 * @throws {RangeError} If there is no such part, fused gates have an observer each, or the backend
 * cannot run a part.
 *
 * @example Gates and cell state in 16 bits
 * ```ts
 * import { LSTM, tensor } from "@splitgate/splitgate";
 * import { FixedQParamsObserver, observeLSTMParts } from "@splitgate/splitgate/qconfig";
 * import { convertToReference } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 }),
 *   x = tensor([0.5, -1, 0.25, 2], [2, 1, 2]);
 * const bits16 = { dtype: "qint32", quantMin: -32768, quantMax: 32767, zeroPoint: 0 } as const;
 * const observed = observeLSTMParts(lstm, {
 *   linearOutput: FixedQParamsObserver.withArgs({ ...bits16, scale: 2 ** -11 }),
 *   cellState: FixedQParamsObserver.withArgs({ ...bits16, scale: 2 ** -11 }),
 * }, { splitGates: true });
 * assertEquals(observed.forward(x), lstm.forward(x)[0]);
 * const gates = convertToReference(observed).nodes.filter(({ op, part }) =>
 *   op === "quantize" && part === "gates"
 * );
 * assertEquals(
 *   gates.map(({ dtype, scale }) => [dtype, scale]),
 *   Array(4).fill(["qint32", 2 ** -11]),
 * );
 * ```
 */
export function observeLSTMParts(
  lstm: LSTM,
  parts: PartObservers,
  options: ObserveLSTMPartsOptions = {},
): ObservedModel {
  if (!(lstm instanceof LSTM)) failType("lstm", "an LSTM", lstm);
  if (typeof parts !== "object" || parts === null) {
    failType("parts", "an object of observers", parts);
  }
  const { qconfig = getPreset("x86"), ...rest } = options;
  if (qconfig === null) failType("options.qconfig", "a QConfig", qconfig);
  checkQConfig(qconfig);
  const all: Record<string, PartObserver> = {};
  for (const slot of PART_SLOTS) all[slot] = qconfig.activation;
  const own = lstm.cell.parts;
  for (const [key, observer] of Object.entries({ ...qconfig.parts, ...parts })) {
    checkPartKey("parts", key, own);
    checkPartObserver(`part ${key}`, key, observer);
    if (key === "projection" && lstm.projSize === 0 && key in parts) {
      failRange("part projection", "an LSTM with projSize: leave it out", "projSize 0");
    }
    if (key in parts && !own.some(({ name, slot }) => name === key || slot === key)) {
      const given = [...new Set(own.map(({ slot }) => slot))].join(", ");
      failRange(`part ${key}`, `a slot of an LSTM of these functions: ${given}`, key);
    }
    all[key] = observer;
  }
  return prepare(lstm, { ...qconfig, parts: all }, rest);
}
