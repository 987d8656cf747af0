/**
 * GRU as a kind of module.
 *
 * @module
 */
import {
  checkGRUConventions,
  conventionOptions,
  conventionsOf,
  GRU_OPTIONS,
} from "../../cells/functions.ts";
import { GRU_GATES, gruCell } from "../../cells/gru_parts.ts";
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { dynamicGRU } from "../../runtime/kinds/dynamic_gru.ts";
import { gru as running } from "../../runtime/kinds/gru.ts";
import type { Kind } from "../kind.ts";
import { readRecurrent, readSizes } from "../recurrent/file.ts";
import type { ObservedRecurrent } from "../recurrent/observed.ts";
import { recurrentKind } from "../recurrent/recurrent_kind.ts";
import { GRU } from "./float.ts";
import { lowerDynamicGRU, lowerGRU } from "./lower.ts";
import { QuantizedGRU, type QuantizedGRUOptions } from "./quantized.ts";

/** GRU: any number of layers in one or both directions. */
export const gruKind: Kind<GRU, ObservedRecurrent<GRU>, QuantizedGRU> = recurrentKind<
  GRU,
  ObservedRecurrent<GRU>,
  QuantizedGRU
>({
  name: "GRU",
  gates: GRU_GATES.length,
  functionOptions: GRU_OPTIONS,
  functionsOf: conventionOptions,
  create(options, { projSize, ...sizes }) {
    if (projSize > 0) failRange("weight_hr_l0", "no tensor: a GRU does not project h", "one");
    return new GRU({ ...options, ...sizes });
  },
  forward: (module, x, state, options) =>
    module.forward(x, state as Tensor | undefined, options)[0],
  staticOnly({ resetAfter, activation }) {
    if (!resetAfter) {
      return { option: "resetAfter", expected: "true, since the GRU is dynamic", got: false };
    }
    const expected = "tanh, sigmoid or relu, since the GRU is dynamic";
    return activation === "linear" ? { option: "activation", expected, got: activation } : null;
  },
  // torch has no static GRU whose implicit state could be reproduced; a state of zeros is exact in
  // the cell's own parameters.
  quantized: (module, options) =>
    new QuantizedGRU({
      ...options as QuantizedGRUOptions,
      ...conventionsOf(module),
      torchInitialState: false,
    }),
  with: (quantized, changed) =>
    new QuantizedGRU({ ...quantized, ...changed } as QuantizedGRUOptions),
  fingerprint: (gru) => [
    gru.engine,
    gru.hiddenSize,
    gru.input,
    gru.torchInitialState,
    gru.dynamic,
    gru.cells,
    conventionsOf(gru),
  ],
  running: [running, dynamicGRU],
  lower: lowerGRU,
  lowerDynamic: lowerDynamicGRU,
  read(file) {
    const { projSize, ...sizes } = readSizes(file);
    if (projSize > 0) {
      failRange(`${file.name}.weight_hr_l0`, "no tensor: a GRU does not project h", "one");
    }
    const given = Object.fromEntries(GRU_OPTIONS.map((key) => [key, file.field(key)]));
    const conventions = checkGRUConventions(given, `${file.name}.`);
    const options = readRecurrent(file, { ...sizes, projSize }, gruCell(conventions));
    return new QuantizedGRU({ ...options, ...conventions } as QuantizedGRUOptions);
  },
});
