/**
 * Checking the parts of recurrent cells against a target.
 *
 * @module
 */
import { gateSuffix, ofPart, type Part, type PartName } from "../../cells/cell.ts";
import type { Observer } from "../../observer/observer.ts";
import type { ObservedValue } from "../../qconfig/backend.ts";
import { type BackendFit, supports } from "../fit_backend.ts";
import { cellName } from "./data.ts";
import type { ObservedRecurrent } from "./observed.ts";
import type { CellObservers } from "./observed_cell.ts";

type Mutable = Record<string, Observer | null | (Observer | null)[]> & {
  inputs?: { [P in PartName]?: (Observer | null)[] };
};

/** The observers of a part's outputs, one a gate if it has several. */
function outputsOf(observers: CellObservers, part: Part, split: boolean): readonly ObservedValue[] {
  const own = ofPart(observers, part.name);
  return split ? own : own.slice(0, 1);
}

/**
 * Checks the parts of a module's cells against a target. A part that it does not run stays float32,
 * and its readers requantize it with the QConfig's activation observer, as torch does for an
 * operation without an observer.
 *
 * @param x The observer of the module's input; null for float32.
 */
export function fitRecurrent(
  fit: BackendFit,
  name: string,
  observed: ObservedRecurrent,
  x: ObservedValue,
): void {
  const { module, qconfig, splitGates } = observed;
  const { parts, gates, states } = module.cell;
  const weight = qconfig.weight();
  const hidden = states[0]!.part;
  let given: ObservedValue = x;
  observed.cells.forEach((layer, l) => {
    layer.forEach(({ observers }, d) => {
      const mutable = observers as unknown as Mutable;
      const cell = `${name}.${cellName(l, d)}`;
      const floats = new Set<PartName>();
      const activation = qconfig.activation();
      const requantized: ObservedValue = activation.dtype === undefined ? null : activation;
      const producer = (input: string): Part | undefined => {
        const state = states.find((each) => each.name === input);
        const base = state?.part ?? input.split(".")[0];
        return parts.find((part) => part.name === base);
      };
      /** The inputs of a part, by gate if it is split. */
      const inputOf = (part: Part, index: number, gate: number): ObservedValue => {
        const own = observers.inputs?.[part.name]?.[index] ?? null;
        if (own !== null) return own;
        const from = producer(part.inputs[index]!);
        if (from === undefined) return given;
        if (floats.has(from.name)) return requantized;
        const outputs = outputsOf(observers, from, splitGates);
        const [, which] = part.inputs[index]!.split(".");
        const at = which === undefined ? gate : gates.indexOf(which);
        return outputs[Math.min(Math.max(at, 0), outputs.length - 1)]!;
      };
      // A part left float32 changes the inputs of others, so all are checked again.
      for (let before = -1; before < floats.size;) {
        before = floats.size;
        for (const part of parts) {
          if (floats.has(part.name)) continue;
          const outputs = outputsOf(observers, part, splitGates);
          const runs = outputs.every((output, gate) =>
            supports(
              fit,
              `${cell}.${part.name}${gateSuffix(module.cell, outputs.length > 1 ? gate : -1)}`,
              part.op,
              {
                inputs: part.inputs.map((_, index) => inputOf(part, index, gate)),
                output,
                ...(part.op === "linear"
                  ? { weight, bias: module.bias && part.weight !== "hr" }
                  : {}),
              },
            )
          );
          if (!runs) floats.add(part.name);
        }
      }
      for (const part of parts) {
        if (floats.has(part.name)) {
          const own = ofPart(observers, part.name).map(() => null);
          mutable[part.name] = part.gated ? own : null;
          continue;
        }
        part.inputs.forEach((input, index) => {
          const from = producer(input);
          const own = observers.inputs?.[part.name]?.[index] ?? null;
          if (
            from === undefined || !floats.has(from.name) || own !== null || requantized === null
          ) return;
          const inputs = mutable.inputs ??= {};
          (inputs[part.name] ??= part.inputs.map(() => null))[index] = qconfig.activation();
        });
      }
    });
    given = ofPart(layer[0]!.observers, hidden)[0]!;
  });
}
