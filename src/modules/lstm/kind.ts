/**
 * LSTM as a kind of module.
 *
 * @module
 */
import {
  checkCellFunctions,
  FUNCTION_OPTIONS,
  functionOptions,
  functionsOf,
  hasLSTMFunctions,
} from "../../cells/functions.ts";
import { LSTM_GATES, lstmCell } from "../../cells/lstm_parts.ts";
import type { Tensor } from "../../core/tensor.ts";
import { dynamicLSTM } from "../../runtime/kinds/dynamic_lstm.ts";
import { lstm as running } from "../../runtime/kinds/lstm.ts";
import type { Kind } from "../kind.ts";
import { readRecurrent, readSizes } from "../recurrent/file.ts";
import { recurrentKind } from "../recurrent/recurrent_kind.ts";
import { LSTM } from "./float.ts";
import { lowerDynamicLSTM, lowerLSTM } from "./lower.ts";
import type { ObservedLSTM } from "./observed.ts";
import { QuantizedLSTM, type QuantizedLSTMOptions } from "./quantized.ts";

/** LSTM: any number of layers in one or both directions. */
export const lstmKind: Kind<LSTM, ObservedLSTM, QuantizedLSTM> = recurrentKind<
  LSTM,
  ObservedLSTM,
  QuantizedLSTM
>({
  name: "LSTM",
  gates: LSTM_GATES.length,
  functionOptions: FUNCTION_OPTIONS,
  functionsOf: functionOptions,
  create: (options, sizes) => new LSTM({ ...options, ...sizes }),
  forward: (module, x, state, options) =>
    module.forward(x, state as readonly [Tensor, Tensor] | undefined, options)[0],
  staticOnly: ({ projSize }) =>
    projSize === 0
      ? null
      : { option: "projSize", expected: "0, since the LSTM is dynamic", got: projSize },
  quantized: (module, options) =>
    new QuantizedLSTM({
      ...options as QuantizedLSTMOptions,
      projSize: module.projSize,
      ...functionsOf(module),
    }),
  with: (quantized, changed) =>
    new QuantizedLSTM({ ...quantized, ...changed } as QuantizedLSTMOptions),
  fingerprint: (lstm) => [
    lstm.engine,
    lstm.hiddenSize,
    lstm.projSize,
    lstm.input,
    lstm.torchInitialState,
    lstm.dynamic,
    lstm.cells,
    ...hasLSTMFunctions(lstm) ? [] : [functionsOf(lstm)],
  ],
  running: [running, dynamicLSTM],
  lower: lowerLSTM,
  lowerDynamic: lowerDynamicLSTM,
  read(file) {
    const sizes = readSizes(file);
    const projected = sizes.projSize > 0;
    const options = readRecurrent(file, sizes, lstmCell(projected));
    const given = Object.fromEntries(FUNCTION_OPTIONS.map((key) => [key, file.field(key)]));
    const functions = checkCellFunctions(given, `${file.name}.`);
    return new QuantizedLSTM({
      ...options as QuantizedLSTMOptions,
      projSize: sizes.projSize,
      ...functions,
    });
  },
});
