/**
 * One observed recurrent cell: float weights, and an observer for each part's output.
 *
 * @module
 */
import { FakeQuantize } from "../../observer/fake_quantize.ts";
import type { Observer, ObserverFactory } from "../../observer/observer.ts";
import { failRange } from "../../core/errors.ts";
import {
  type Cell,
  type CellExecutor,
  gateCount,
  ofPart,
  type OfParts,
  type Part,
  type PartInputs,
} from "../../cells/cell.ts";
import { boundedObserver, passThrough } from "../observing.ts";
import { partConfig } from "../../qconfig/mapping.ts";
import type { PartConfig, QConfig } from "../../qconfig/qconfig.ts";

/**
 * The observers of a cell's parts: one (fused) or one a gate (split) for gated parts; null for
 * parts that are not quantized. `inputs` observes inputs that parts requantize.
 */
export type CellObservers = OfParts<Observer | null> & { readonly inputs?: PartInputs<Observer> };

/** Functions whose outputs lie between 0 or -1 and 1. */
const BOUNDED: ReadonlySet<Part["op"]> = new Set(["sigmoid", "hardsigmoid", "tanh"]);

/** The observer that a factory makes, or null if that is a placeholder for float32. */
function make(factory: ObserverFactory | null): Observer | null {
  const observer = factory === null ? null : factory();
  return observer === null || observer.dtype === undefined ? null : observer;
}

/** A QConfig's setting for a part: by its name or else by its slot. */
function configOf({ parts = {} }: QConfig, part: Part): PartConfig {
  const [own, slot] = [parts[part.name], parts[part.slot]].map((given) =>
    given === undefined ? {} : partConfig(given)
  );
  return {
    output: own!.output !== undefined ? own!.output : slot!.output,
    // A function that shares a slot with sums and products has other inputs than they.
    inputs: own!.inputs ?? (slot!.inputs?.length === part.inputs.length ? slot!.inputs : undefined),
  };
}

/** The observer of one part, or of one gate of it: set by the QConfig, or inherited. */
function makeObserver(qconfig: QConfig, part: Part, gate: number): Observer | null {
  const { output } = configOf(qconfig, part);
  if (output === null || typeof output === "function") return make(output);
  if (output !== undefined) return make(output[Math.max(gate, 0)]!);
  const activation = qconfig.activation();
  const { dtype } = activation;
  if (BOUNDED.has(part.op) && (dtype === "quint8" || dtype === "qint8")) {
    // torch's tanh of the cell state is a function call, not a module, and so is never
    // fake-quantized.
    const fake = activation instanceof FakeQuantize && part.name === "tanh_cy";
    return boundedObserver(fake ? activation.observer : activation, part.op === "tanh" ? -1 : 0, 1);
  }
  return make(qconfig.activation);
}

/**
 * New observers for every part of a cell.
 *
 * @throws {RangeError} If gates are fused and a gate has an observer of its own.
 */
export function cellObservers(
  qconfig: QConfig,
  cell: Cell,
  splitGates: boolean,
): CellObservers {
  const observers: Record<string, unknown> = {};
  const inputs: Record<string, unknown> = {};
  for (const part of cell.parts) {
    const config = configOf(qconfig, part);
    if (config.inputs?.some((factory) => factory !== null)) {
      inputs[part.name] = config.inputs.map(make);
    }
    const { output } = config;
    const gates = Array.from({ length: gateCount(cell, part) }, (_, gate) => gate);
    const { length } = cell.gates;
    if (Array.isArray(output) && output.length !== length) {
      failRange(`part ${part.name}`, `${length} observers, one a gate`, output.length);
    }
    // A part of one gate has that gate's setting.
    if (!part.gated) observers[part.name] = makeObserver(qconfig, part, part.span?.[0] ?? -1);
    else if (splitGates) {
      observers[part.name] = gates.map((gate) => makeObserver(qconfig, part, gate));
    } else {
      if (Array.isArray(output) && output.some((factory) => factory !== output[0])) {
        failRange(
          `part ${part.name}`,
          "one observer for all gates, or splitGates: true",
          "one a gate",
        );
      }
      observers[part.name] = Array(gates.length).fill(makeObserver(qconfig, part, -1));
    }
  }
  if (Object.keys(inputs).length > 0) observers.inputs = inputs;
  return observers as unknown as CellObservers;
}

/** The observers of given initial states, of the kinds that observe a cell's own. */
export function stateObservers(
  qconfig: QConfig,
  { parts, states }: Cell,
): readonly (Observer | null)[] {
  return states.map((state) =>
    makeObserver(qconfig, parts.find(({ name }) => name === state.part)!, -1)
  );
}

/** The observer of a cell's state, the hidden state by default. */
export function stateObserver(
  { states }: Cell,
  observers: CellObservers,
  state: number = 0,
): Observer | null {
  return ofPart(observers, states[state]!.part)[0]!;
}

/**
 * The float cell's executor, with each part's output shown to its observer.
 *
 * @param float The executor; {@linkcode floatExecutor} of the cell's weights.
 * @param batch Rows of each value.
 */
export function observedExecutor(
  float: CellExecutor<Float32Array>,
  observers: CellObservers,
  batch: number,
): CellExecutor<Float32Array> {
  return {
    apply(part, gate, inputs) {
      const out = float.apply(part, gate, inputs);
      const own = ofPart(observers, part.name)[Math.max(gate, 0)];
      return passThrough(own ?? null, out, [batch, out.length / batch]);
    },
    chunk: float.chunk,
    read(part, _gate, index, value) {
      return passThrough(observers.inputs?.[part.name]?.[index] ?? null, value, [
        batch,
        value.length / batch,
      ]);
    },
  };
}
