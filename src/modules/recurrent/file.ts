/**
 * A recurrent module's part of a model file.
 *
 * @module
 */
import { type Cell, type CellQParams, gateCount, ofPart } from "../../cells/cell.ts";
import { checkObject, failRange } from "../../core/errors.ts";
import type { ModuleReader, ModuleWriter } from "../file.ts";
import type { QuantizedCell } from "./cell.ts";
import { cellName, type RecurrentModule } from "./data.ts";

/**
 * Writes a module's tensors, and gives the fields of its JSON.
 *
 * @param own Fields that only its kind has.
 */
export function writeRecurrent(
  module: RecurrentModule,
  file: ModuleWriter,
  own: object,
): Record<string, unknown> {
  const inputs: Record<string, unknown> = {};
  const cells = module.cells.map((layer, l) =>
    layer.map((cell, d) => {
      const suffix = `_${cellName(l, d)}`;
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
      // Gated parts have the qparams of all gates.
      return module.cell.parts.flatMap(({ name }) => ofPart(cell.parts, name))
        .map((q) => file.qparams(q));
    })
  );
  const { stateInput } = module;
  return {
    engine: module.engine,
    perChannel: module.cells[0]![0]!.weightIh.perChannel,
    batchFirst: module.batchFirst,
    splitGates: module.splitGates,
    torchInitialState: module.torchInitialState,
    input: file.qparams(module.input),
    ...module.dynamic && { dynamic: true },
    ...own,
    ...stateInput && { stateInput: stateInput.map((q) => file.qparams(q)) },
    cells,
    ...Object.keys(inputs).length > 0 && { inputs },
  };
}

/** Parameters to which parts requantize their inputs. */
function readInputs(
  file: ModuleReader,
  at: string,
  value: unknown,
  cell: Cell,
): CellQParams["inputs"] {
  const parts = { ...checkObject(at, value) };
  const inputs: Record<string, unknown> = {};
  for (const { name: part, inputs: { length } } of cell.parts) {
    if (!Object.hasOwn(parts, part)) continue;
    const each = `${at}.${part}`;
    inputs[part] = file.list(each, parts[part], length)
      .map((index, i) => file.qparams(`${each}[${i}]`, index));
    delete parts[part];
  }
  for (const part in parts) failRange(`${file.name}.${at}`, "parts", part);
  return inputs as CellQParams["inputs"];
}

/** Sizes of a file's cells, from the first one. */
export interface FileSizes {
  readonly inputSize: number;
  readonly hiddenSize: number;
  /** 0 where the hidden state is not projected. */
  readonly projSize: number;
}

/** Reads sizes; bias, second direction and projection exist if their tensors do. */
export function readSizes(file: ModuleReader): FileSizes {
  const shapeOf = (key: string) => file.shapeOf(`weight_${key}_l0`) ?? [];
  const [, inputSize = 0] = shapeOf("ih");
  const [, size = 0] = shapeOf("hh");
  const [projSize = 0, hiddenSize = size] = shapeOf("hr");
  return { inputSize, hiddenSize, projSize };
}

/** Reads what {@linkcode writeRecurrent} wrote, for cells of the given dataflow. */
export function readRecurrent(
  file: ModuleReader,
  { inputSize, hiddenSize, projSize }: FileSizes,
  cell: Cell,
): Omit<RecurrentModule, "kind" | "cell" | "projSize"> {
  const bias = file.shapeOf("bias_ih_l0") !== undefined;
  const bidirectional = file.shapeOf("weight_ih_l0_reverse") !== undefined;
  const directions = bidirectional ? 2 : 1;
  const rows = cell.gates.length * hiddenSize;
  const width = projSize || hiddenSize;
  const engine = file.engine("engine");
  const perChannel = file.flag("perChannel");
  const given = file.field("inputs");
  const requantized = given === undefined ? {} : { ...checkObject("inputs", given) };
  const counts = cell.parts.map((part) => gateCount(cell, part));
  const values = counts.reduce((sum, count) => sum + count, 0);
  const cells = file.list("cells", file.field("cells")).map((layer, l) =>
    file.list(`cells[${l}]`, layer, directions).map((indices, d): QuantizedCell => {
      const at = `cells[${l}][${d}]`;
      const key = `${l}.${d}`;
      const suffix = `_${cellName(l, d)}`;
      const all = file.list(at, indices, values)
        .map((index, i) => file.qparams(`${at}[${i}]`, index));
      const parts: Record<string, unknown> = {};
      cell.parts.forEach(({ name, gated }, i) => {
        const own = all.splice(0, counts[i]);
        parts[name] = gated ? own : own[0];
      });
      if (Object.hasOwn(requantized, key)) {
        parts.inputs = readInputs(file, `inputs.${key}`, requantized[key], cell);
        delete requantized[key];
      }
      const weight = (kind: string, height: number, width: number) =>
        file.weight(`weight_${kind}${suffix}`, height, width, perChannel);
      const floats = (kind: string) => bias ? file.floats(`bias_${kind}${suffix}`, rows) : null;
      return {
        weightHh: weight("hh", rows, width),
        weightIh: weight("ih", rows, l ? width * directions : inputSize),
        weightHr: projSize ? weight("hr", projSize, hiddenSize) : null,
        biasIh: floats("ih"),
        biasHh: floats("hh"),
        parts: parts as CellQParams,
      };
    })
  );
  for (const key in requantized) failRange(`${file.name}.inputs`, "cells", key);
  const numLayers = cells.length;
  if (!numLayers) failRange(`${file.name}.cells`, "at least one layer", numLayers);
  const input = file.qparams("input", file.field("input"));
  const states = file.field("stateInput");
  const stateInput = states === undefined
    ? undefined
    : file.list("stateInput", states, cell.states.length)
      .map((index, i) => file.qparams(`stateInput[${i}]`, index));
  return {
    inputSize,
    hiddenSize,
    numLayers,
    bias,
    bidirectional,
    batchFirst: file.flag("batchFirst"),
    engine,
    splitGates: file.flag("splitGates"),
    input,
    torchInitialState: file.flag("torchInitialState"),
    dynamic: file.option("dynamic"),
    ...stateInput && { stateInput },
    cells,
  };
}
