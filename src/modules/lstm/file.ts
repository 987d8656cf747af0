/**
 * An LSTM's part of a model file.
 *
 * @module
 */
import type { CellFunctions } from "../../../kernels/float/lstm.ts";
import { checkCellFunctions, FUNCTION_OPTIONS, functionOptions } from "../../cells/functions.ts";
import { type CellQParams, GATED_PARTS, lstmParts, PART_NAMES } from "../../cells/lstm_parts.ts";
import { checkObject, failRange } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { ModuleReader, ModuleWriter } from "../file.ts";
import type { QuantizedLSTMCell } from "./cell.ts";
import { QuantizedLSTM } from "./quantized.ts";

/** Values of the gated parts, four each, and of the others, in a cell's list of qparams. */
const CELL_VALUES = 21;

const suffixOf = (l: number, d: number): string => `_l${l}${d ? "_reverse" : ""}`;

/** Writes an LSTM's tensors, and gives the fields of its JSON. */
export function writeLSTM(lstm: QuantizedLSTM, file: ModuleWriter): Record<string, unknown> {
  const inputs: Record<string, unknown> = {};
  const cells = lstm.cells.map((layer, l) =>
    layer.map((cell, d) => {
      const suffix = suffixOf(l, d);
      file.weight(`weight_ih${suffix}`, cell.weightIh);
      file.weight(`weight_hh${suffix}`, cell.weightHh);
      if (cell.weightHr !== null) file.weight(`weight_hr${suffix}`, cell.weightHr);
      if (cell.biasIh !== null) file.tensor(`bias_ih${suffix}`, cell.biasIh, cell.biasIh.length);
      if (cell.biasHh !== null) file.tensor(`bias_hh${suffix}`, cell.biasHh, cell.biasHh.length);
      const { inputs: requantized } = cell.parts;
      if (requantized !== undefined) {
        inputs[`${l}.${d}`] = Object.fromEntries(
          Object.entries(requantized).map(([part, each]) => [
            part,
            each!.map((q) => file.qparams(q)),
          ]),
        );
      }
      // Four qparams, one a gate, for each of the gated parts; then one a part.
      return lstmParts(lstm.projSize > 0).flatMap(({ name }) => cell.parts[name])
        .map((q) => file.qparams(q as PerTensorQParams | null));
    })
  );
  const { stateInput } = lstm;
  return {
    engine: lstm.engine,
    perChannel: lstm.cells[0]![0]!.weightIh.perChannel,
    batchFirst: lstm.batchFirst,
    splitGates: lstm.splitGates,
    torchInitialState: lstm.torchInitialState,
    input: file.qparams(lstm.input),
    ...lstm.dynamic && { dynamic: true },
    ...functionOptions(lstm),
    ...stateInput && { stateInput: stateInput.map((q) => file.qparams(q)) },
    cells,
    ...Object.keys(inputs).length > 0 && { inputs },
  };
}

/** What parts of a cell requantize before they read it. */
function readInputs(
  file: ModuleReader,
  at: string,
  value: unknown,
  projected: boolean,
): CellQParams["inputs"] {
  const parts = { ...checkObject(at, value) };
  const inputs: Record<string, unknown> = {};
  for (const { name: part, inputs: { length } } of lstmParts(projected)) {
    if (!Object.hasOwn(parts, part)) continue;
    const each = `${at}.${part}`;
    inputs[part] = file.list(each, parts[part], length)
      .map((index, i) => file.qparams(`${each}[${i}]`, index));
    delete parts[part];
  }
  for (const part in parts) failRange(`${file.name}.${at}`, "parts", part);
  return inputs as CellQParams["inputs"];
}

/** The functions of a file's cells. */
function readFunctions(file: ModuleReader): CellFunctions {
  const options = Object.fromEntries(FUNCTION_OPTIONS.map((key) => [key, file.field(key)]));
  return checkCellFunctions(options, `${file.name}.`);
}

/** Reads what {@linkcode writeLSTM} wrote. */
export function readLSTM(file: ModuleReader): QuantizedLSTM {
  // The first cell says of which sizes all are; there is a bias, a second direction, a projection
  // where its tensors are.
  const shapeOf = (key: string) => file.shapeOf(`weight_${key}_l0`) ?? [];
  const [, inputSize = 0] = shapeOf("ih");
  const [, size = 0] = shapeOf("hh");
  const [projSize = 0, hiddenSize = size] = shapeOf("hr");
  const bias = file.shapeOf("bias_ih_l0") !== undefined;
  const bidirectional = file.shapeOf("weight_ih_l0_reverse") !== undefined;
  const directions = bidirectional ? 2 : 1;
  const rows = 4 * hiddenSize;
  const engine = file.engine("engine");
  const perChannel = file.flag("perChannel");
  const given = file.field("inputs");
  const requantized = given === undefined ? {} : { ...checkObject("inputs", given) };
  const cells = file.list("cells", file.field("cells")).map((layer, l) =>
    file.list(`cells[${l}]`, layer, directions).map((indices, d): QuantizedLSTMCell => {
      const at = `cells[${l}][${d}]`;
      const key = `${l}.${d}`;
      const suffix = suffixOf(l, d);
      const all = file.list(at, indices, CELL_VALUES + (projSize ? 1 : 0))
        .map((index, i) => file.qparams(`${at}[${i}]`, index));
      const parts: Record<string, unknown> = {};
      PART_NAMES.slice(0, all.length - 3 * GATED_PARTS).forEach((part, i) => {
        parts[part] = i < GATED_PARTS ? all.slice(4 * i, 4 * i + 4) : all[i + 3 * GATED_PARTS];
      });
      if (Object.hasOwn(requantized, key)) {
        parts.inputs = readInputs(file, `inputs.${key}`, requantized[key], projSize > 0);
        delete requantized[key];
      }
      const weight = (kind: string, height: number, width: number) =>
        file.weight(`weight_${kind}${suffix}`, height, width, perChannel);
      const floats = (kind: string) => bias ? file.floats(`bias_${kind}${suffix}`, rows) : null;
      return {
        weightHh: weight("hh", rows, projSize || hiddenSize),
        weightIh: weight("ih", rows, l ? size * directions : inputSize),
        weightHr: projSize ? weight("hr", projSize, hiddenSize) : null,
        biasIh: floats("ih"),
        biasHh: floats("hh"),
        parts: parts as unknown as CellQParams,
      };
    })
  );
  for (const key in requantized) failRange(`${file.name}.inputs`, "cells", key);
  const numLayers = cells.length;
  if (!numLayers) failRange(`${file.name}.cells`, "at least one layer", numLayers);
  const input = file.qparams("input", file.field("input"));
  const states = file.field("stateInput");
  const stateInput = states === undefined ? undefined : file.list("stateInput", states, 2)
    .map((index, i) => file.qparams(`stateInput[${i}]`, index)) as [
      PerTensorQParams | null,
      PerTensorQParams | null,
    ];
  return new QuantizedLSTM({
    inputSize,
    hiddenSize,
    projSize,
    numLayers,
    bias,
    bidirectional,
    batchFirst: file.flag("batchFirst"),
    engine,
    splitGates: file.flag("splitGates"),
    input,
    torchInitialState: file.flag("torchInitialState"),
    dynamic: file.option("dynamic"),
    ...readFunctions(file),
    ...stateInput && { stateInput },
    cells,
  });
}
