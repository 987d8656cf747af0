/**
 * Checks of quantized recurrent modules: no finite input may lead to NaN (see ../check.ts).
 *
 * @module
 */
import { mulMultiplier } from "../../../kernels/ops/elementwise.ts";
import { ofPart, type PartName } from "../../cells/cell.ts";
import { failRange } from "../../core/errors.ts";
import { checkLayer, checkValues, fitsFloat32, type OptionalQParams } from "../check.ts";
import { IMPLICIT_STATE, partWeight, type QuantizedCell, stateQParams } from "./cell.ts";
import type { RecurrentModule } from "./data.ts";

/** Names of a cell's weights. */
const WEIGHT_NAMES = { ih: "weightIh", hh: "weightHh", hr: "weightHr" } as const;

/** Parameters of the states at the first step, in the cell's order; null for float32. */
type InitialQParams = readonly OptionalQParams[];

/** Requires the parts of a cell to suit each other and its input. */
function checkCell(
  name: string,
  { engine, dynamic, cell }: RecurrentModule,
  own: QuantizedCell,
  x: OptionalQParams,
  initial: InitialQParams,
): void {
  const { parts } = own;
  const outputs = (part: PartName) => ofPart(parts, part) as readonly OptionalQParams[];
  const read = (part: PartName, index: number, producer: string): readonly OptionalQParams[] => {
    const converted = parts.inputs?.[part]?.[index] ?? null;
    if (converted !== null) return [converted];
    if (producer === "x") return [x];
    const state = cell.states.findIndex((each) => each.name === producer);
    if (state >= 0) return [stateQParams(cell, own, state), initial[state]!];
    const [producing, gate] = producer.split(".");
    const all = outputs(producing as PartName);
    return gate === undefined ? all : [all[cell.gates.indexOf(gate)]!];
  };
  for (const part of cell.parts) {
    const { name: key, op, inputs } = part;
    const at = `${name}.parts.${key}`;
    for (const q of [...outputs(key), ...parts.inputs?.[key] ?? []]) checkValues(at, q);
    if (op === "linear") {
      const operator = { engine, ...partWeight(cell, own, part, -1), dynamic };
      const weight = `${name}.${WEIGHT_NAMES[part.weight!]}`;
      checkLayer(weight, operator, read(key, 0, inputs[0]!), outputs(key));
    } else if (op === "mul") {
      const [to] = outputs(key);
      for (const a of read(key, 0, inputs[0]!)) {
        for (const b of read(key, 1, inputs[1]!)) {
          if (!a || !b || !to || fitsFloat32(mulMultiplier(a.scale, b.scale, to))) continue;
          failRange(
            at,
            `scales of ${inputs.join(" and ")} whose product over its own is a float32 value`,
            `${a.scale} * ${b.scale} / ${to.scale}`,
          );
        }
      }
    }
  }
}

/**
 * Requires the cells of a module to suit each other, the parameters of its input, and those of its
 * states at the first step.
 *
 * @param initial null for those of the running state; undefined for those of the module's implicit
 * initial state.
 * @throws {TypeError} If a weight is no Int8Array.
 * @throws {RangeError} If a length, scale, zero point or bias is wrong.
 */
export function checkRecurrent(
  name: string,
  module: RecurrentModule,
  input: OptionalQParams,
  initial?: InitialQParams,
): void {
  const { cell, cells } = module;
  checkValues(`${name}.input`, input);
  initial?.forEach((q, i) => checkValues(`${cell.states[i]!.name}0`, q));
  const implicit = module.torchInitialState && !module.dynamic ? IMPLICIT_STATE : null;
  cells.forEach((layer, l) => {
    const x = l === 0 ? input : stateQParams(cell, cells[l - 1]![0]!);
    layer.forEach((own, d) => {
      const states = cell.states.map((_, i) =>
        (initial === undefined ? implicit : initial[i]) ?? stateQParams(cell, own, i)
      );
      checkCell(`${name}.cells[${l}][${d}]`, module, own, x, states);
    });
  });
}
