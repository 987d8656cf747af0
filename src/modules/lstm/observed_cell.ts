/**
 * One observed LSTM cell: float weights, and an observer for each part's output.
 *
 * @module
 */
import { FakeQuantize } from "../../observer/fake_quantize.ts";
import type { Observer, ObserverFactory } from "../../observer/observer.ts";
import { failRange } from "../../core/errors.ts";
import {
  CELL_STATE,
  type CellExecutor,
  lstmParts,
  type OfParts,
  type Part,
  type PartInputs,
} from "../../cells/lstm_parts.ts";
import { boundedObserver, passThrough } from "../observing.ts";
import { partConfig } from "../../qconfig/mapping.ts";
import type { PartConfig, QConfig } from "../../qconfig/qconfig.ts";

/**
 * The observers of a cell's parts: of a gated part one (fused) or four (split); null where it is
 * not quantized. `inputs`: of what parts requantize before they read it.
 */
export type CellObservers = OfParts<Observer | null> & { readonly inputs?: PartInputs<Observer> };

/** Functions whose outputs lie between 0 or -1 and 1. */
const BOUNDED: ReadonlySet<Part["op"]> = new Set(["sigmoid", "hardsigmoid", "tanh"]);

/** The observer that a factory makes, or null where it stands for a float32 value. */
function make(factory: ObserverFactory | null): Observer | null {
  const observer = factory === null ? null : factory();
  return observer === null || observer.dtype === undefined ? null : observer;
}

/** What a QConfig says of a part, the part's own name over its slot. */
function configOf({ parts = {} }: QConfig, part: Part): PartConfig {
  const [own, slot] = [parts[part.name], parts[part.slot]].map((given) =>
    given === undefined ? {} : partConfig(given)
  );
  return {
    output: own!.output !== undefined ? own!.output : slot!.output,
    // A function that shares its slot with sums and products does not read what they read.
    inputs: own!.inputs ?? (slot!.inputs?.length === part.inputs.length ? slot!.inputs : undefined),
  };
}

/** The observer of one part, or of one gate of it: what the QConfig says, or what it inherits. */
function makeObserver(qconfig: QConfig, part: Part, gate: number): Observer | null {
  const { output } = configOf(qconfig, part);
  if (output === null || typeof output === "function") return make(output);
  if (output !== undefined) return make(output[Math.max(gate, 0)]!);
  const activation = qconfig.activation();
  const { dtype } = activation;
  if (BOUNDED.has(part.op) && (dtype === "quint8" || dtype === "qint8")) {
    // torch's tanh of the cell state is a function call, not a module: it is never fake-quantized.
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
  parts: readonly Part[],
  splitGates: boolean,
): CellObservers {
  const observers: Record<string, unknown> = {}, inputs: Record<string, unknown> = {};
  for (const part of parts) {
    const config = configOf(qconfig, part);
    if (config.inputs?.some((factory) => factory !== null)) {
      inputs[part.name] = config.inputs.map(make);
    }
    if (!part.gated) observers[part.name] = makeObserver(qconfig, part, -1);
    else if (splitGates) {
      observers[part.name] = [0, 1, 2, 3].map((gate) => makeObserver(qconfig, part, gate));
    } else {
      const { output } = config;
      if (Array.isArray(output) && output.some((factory) => factory !== output[0])) {
        failRange(
          `part ${part.name}`,
          "one observer for all gates, or splitGates: true",
          "one a gate",
        );
      }
      observers[part.name] = Array(4).fill(makeObserver(qconfig, part, -1));
    }
  }
  if (Object.keys(inputs).length > 0) observers.inputs = inputs;
  return observers as unknown as CellObservers;
}

/** The observers of a given initial h and c, of the kinds that observe a cell's own. */
export function stateObservers(
  qconfig: QConfig,
  projected: boolean,
): readonly [h: Observer | null, c: Observer | null] {
  const parts = lstmParts(projected);
  const cellState = parts.find(({ name }) => name === CELL_STATE)!;
  return [makeObserver(qconfig, parts.at(-1)!, -1), makeObserver(qconfig, cellState, -1)];
}

/** The observer of a cell's hidden state: its last part's. */
export function hiddenObserver({ ogate_cy, proj }: CellObservers): Observer | null {
  return proj === undefined ? ogate_cy : proj;
}

/**
 * The float cell's executor, with each part's output shown to its observer.
 *
 * @param float What computes; {@linkcode floatExecutor} of the cell's weights.
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
      const observer = observers[part.name];
      const own = Array.isArray(observer) ? observer[Math.max(gate, 0)] : observer;
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
