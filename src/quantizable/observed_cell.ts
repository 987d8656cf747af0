/**
 * One observed LSTM cell: float weights, and an observer for each part's output.
 *
 * @module
 */
import { FakeQuantize } from "../observer/fake_quantize.ts";
import { FixedQParamsObserver } from "../observer/fixed.ts";
import type { Observer } from "../observer/observer.ts";
import { type CellExecutor, lstmParts, type OfParts, type Part } from "../lstm_parts.ts";
import type { QConfig } from "../qconfig/qconfig.ts";

/** The observers of a cell's parts: of a gated part one (fused) or four (split); null where it is not quantized. */
export type CellObservers = OfParts<Observer | null>;

/** Parameters that torch's operators give their outputs on 8 bits, whatever the QConfig. */
function fixedObserver(op: "sigmoid" | "tanh", dtype: "quint8" | "qint8"): Observer {
  const scale = op === "sigmoid" ? 1 / 256 : 2 / 256;
  const middle = dtype === "quint8" ? 128 : 0;
  return new FixedQParamsObserver({ dtype, scale, zeroPoint: op === "sigmoid" ? middle - 128 : middle });
}

/** The observer of one part, or of one gate of it: what the QConfig says, or what it inherits. */
function makeObserver(qconfig: QConfig, part: Part, gate: number): Observer | null {
  const { parts = {}, activation } = qconfig;
  const given = parts[part.name] !== undefined ? parts[part.name] : parts[part.slot];
  if (given !== undefined) {
    const factory = given === null || typeof given === "function" ? given : given[Math.max(gate, 0)];
    const observer = factory === null ? null : factory();
    return observer === null || observer.dtype === undefined ? null : observer;
  }
  const observer = activation();
  if (part.op === "sigmoid" || part.op === "tanh") {
    const { dtype } = observer;
    if (dtype === "quint8" || dtype === "qint8") return fixedObserver(part.op, dtype);
  }
  return observer.dtype === undefined ? null : observer;
}

/** New observers for every part of a cell. */
export function cellObservers(qconfig: QConfig, projected: boolean, splitGates: boolean): CellObservers {
  const observers: Record<string, unknown> = {};
  for (const part of lstmParts(projected)) {
    if (!part.gated) observers[part.name] = makeObserver(qconfig, part, -1);
    else if (splitGates) observers[part.name] = [0, 1, 2, 3].map((gate) => makeObserver(qconfig, part, gate));
    else observers[part.name] = Array(4).fill(makeObserver(qconfig, part, -1));
  }
  return observers as unknown as CellObservers;
}

/** Shows a value to an observer; a fake-quantizer gives back what it makes of it. */
export function passThrough(observer: Observer | null, data: Float32Array, shape: readonly number[]): Float32Array {
  if (observer === null) return data;
  if (observer instanceof FakeQuantize) return observer.forward(data, shape);
  observer.observe(data, shape);
  return data;
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
      const out = float.apply(part, gate, inputs), observer = observers[part.name];
      const own = Array.isArray(observer) ? observer[Math.max(gate, 0)] : observer;
      return passThrough(own ?? null, out, [batch, out.length / batch]);
    },
    chunk: float.chunk,
  };
}
