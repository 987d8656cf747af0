/**
 * Holding an LSTM's parts to what a target runs.
 *
 * @module
 */
import { type Gate, GATES, lstmParts, type Part, type PartName } from "../../cells/lstm_parts.ts";
import type { Observer } from "../../observer/observer.ts";
import type { ObservedValue } from "../../qconfig/backend.ts";
import { type BackendFit, supports } from "../fit_backend.ts";
import type { ObservedLSTM } from "./observed.ts";
import type { CellObservers } from "./observed_cell.ts";

type Mutable = Record<string, Observer | null | (Observer | null)[]> & {
  inputs?: { [P in PartName]?: (Observer | null)[] };
};

/** The observers of a part's outputs, one a gate where it has several. */
function outputsOf(observers: CellObservers, part: Part, split: boolean): readonly ObservedValue[] {
  const own = observers[part.name] as Observer | null | readonly (Observer | null)[];
  return Array.isArray(own) ? (split ? own : own.slice(0, 1)) : [own as Observer | null];
}

/**
 * Holds an LSTM's parts to a target. A part that it does not run stays float32, and what reads it
 * requantizes it with the QConfig's activation observer, as torch does where an operation has none.
 *
 * @param x What observes the LSTM's input; null for float32.
 */
export function fitLSTM(
  fit: BackendFit,
  name: string,
  observed: ObservedLSTM,
  x: ObservedValue,
): void {
  const { lstm, qconfig, splitGates } = observed;
  const parts = lstmParts(lstm.projSize > 0, lstm);
  const weight = qconfig.weight();
  const last = parts[parts.length - 1]!.name;
  let given: ObservedValue = x;
  observed.cells.forEach((layer, l) => {
    layer.forEach(({ observers }, d) => {
      const mutable = observers as unknown as Mutable;
      const cell = `${name}.l${l}${d === 1 ? "_reverse" : ""}`;
      const floats = new Set<PartName>();
      const activation = qconfig.activation();
      const requantized: ObservedValue = activation.dtype === undefined ? null : activation;
      const producer = (input: string): Part | undefined => {
        const base = input === "h"
          ? last
          : input === "c"
          ? "fgate_cx_igate_cgate"
          : input.split(".")[0];
        return parts.find((part) => part.name === base);
      };
      /** What a part reads, gate by gate where it is split. */
      const inputOf = (part: Part, index: number, gate: number): ObservedValue => {
        const own = observers.inputs?.[part.name]?.[index] ?? null;
        if (own !== null) return own;
        const from = producer(part.inputs[index]!);
        if (from === undefined) return given;
        if (floats.has(from.name)) return requantized;
        const outputs = outputsOf(observers, from, splitGates);
        const [, which] = part.inputs[index]!.split(".");
        const at = which === undefined ? gate : GATES.indexOf(which as Gate);
        return outputs[Math.min(Math.max(at, 0), outputs.length - 1)]!;
      };
      // What stays float32 changes what others read, so that they are all asked again.
      for (let before = -1; before < floats.size;) {
        before = floats.size;
        for (const part of parts) {
          if (floats.has(part.name)) continue;
          const outputs = outputsOf(observers, part, splitGates);
          const runs = outputs.every((output, gate) =>
            supports(
              fit,
              `${cell}.${part.name}${outputs.length > 1 ? `.${GATES[gate]}` : ""}`,
              part.op,
              {
                inputs: part.inputs.map((_, index) => inputOf(part, index, gate)),
                output,
                ...(part.op === "linear"
                  ? { weight, bias: lstm.bias && part.name !== "proj" }
                  : {}),
              },
            )
          );
          if (!runs) floats.add(part.name);
        }
      }
      for (const part of parts) {
        if (floats.has(part.name)) {
          mutable[part.name] = part.gated ? [null, null, null, null] : null;
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
    const first = layer[0]!.observers as unknown as Record<string, Observer | null>;
    given = first[last]!;
  });
}
