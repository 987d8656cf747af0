/**
 * Functions for showing values to observers.
 *
 * @module
 */
import { isInt32Array } from "../../kernels/numeric/typed_array.ts";
import { dtypeRange } from "../core/dtype.ts";
import { checkFinite, failRange, failType } from "../core/errors.ts";
import { isPerChannel, type PerTensorQParams } from "../core/qparams.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import { FakeQuantize } from "../observer/fake_quantize.ts";
import { FixedQParamsObserver } from "../observer/fixed.ts";
import type { Observer } from "../observer/observer.ts";
import { PlaceholderObserver } from "../observer/placeholder.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { InputObserver, ObserveContext } from "./kind.ts";

/** The observer of values that stay float32. */
export const FLOAT_OBSERVER = PlaceholderObserver.withArgs({});

/** Shows a value to an observer; a fake-quantizer returns it fake-quantized. */
export function passThrough(
  observer: Observer | null,
  data: Float32Array,
  shape: readonly number[],
): Float32Array {
  if (observer === null) return data;
  if (observer instanceof FakeQuantize) return observer.forward(data, shape);
  observer.observe(data, shape);
  return data;
}

/** Shows the given rows of a value, or all of it, to an observer. */
export function observeRows(
  observer: Observer | null,
  value: Tensor,
  rows: readonly number[] | null,
): Tensor {
  const { data, shape } = value;
  if (observer === null) return value;
  if (rows === null) return { data: passThrough(observer, data, shape), shape };
  const width = shape[shape.length - 1]!;
  const valid = gatherRows(data, rows, width);
  const passed = passThrough(observer, valid, [rows.length, width]);
  if (passed === valid) return value;
  const out = data.slice();
  rows.forEach((row, r) => out.set(passed.subarray(r * width, (r + 1) * width), row * width));
  return { data: out, shape };
}

/** Rows of a value that are not padding, in [steps, batch] or [batch, steps] order. */
export function validRows(
  { data, shape }: Tensor | TokenTensor,
  lengths: ArrayLike<number>,
  batchFirst: boolean,
): number[] {
  // Token ids have no width; unbatched values have one row.
  const outer = isInt32Array(data) ? shape : shape.slice(0, -1);
  const [a = 1, b = 1] = outer;
  const batch = outer.length === 1 ? 1 : batchFirst ? a : b;
  const steps = a * b / batch;
  const rows: number[] = [];
  for (let row = 0; row < steps * batch; row++) {
    const step = batchFirst ? row % steps : Math.floor(row / batch);
    const at = batchFirst ? Math.floor(row / steps) : row % batch;
    if (step < lengths[at]!) rows.push(row);
  }
  return rows;
}

/** The given rows of a matrix, packed. */
export function gatherRows(
  data: Float32Array,
  rows: readonly number[],
  width: number,
): Float32Array {
  const out = new Float32Array(rows.length * width);
  rows.forEach((row, r) => out.set(data.subarray(row * width, (row + 1) * width), r * width));
  return out;
}

/**
 * Source of the input qparams of a module that requantizes its input.
 *
 * @param table Whether the inputs are rows of a table, which are projected only once.
 */
export function inputObserver(
  qconfig: QConfig,
  given: Observer | null,
  table = false,
): InputObserver {
  if (qconfig.dynamic) return "float";
  const own = (qconfig.input ?? qconfig.activation)();
  if (own.dtype === undefined) return given === null ? "float" : "previous";
  // Requantizing to more bits gains nothing, and requantizing rows that are projected only once
  // saves nothing.
  const wide = qconfig.input !== undefined && own.dtype === "qint32";
  if (given === null) return wide && table ? "float" : own;
  return wide || given.dtype === own.dtype ? "previous" : own;
}

/** Source of the input qparams of a module whose inputs keep their parameters. */
export function takenAsGiven(given: Observer | null): InputObserver {
  return given === null ? "float" : "previous";
}

/** The observer of a module's input: its own, or its producer's. */
export function inputObserved(input: InputObserver, given: Observer | null): Observer | null {
  return input === "previous" ? given : input === "float" ? null : input;
}

/** The observer that a QConfig gives an output; null if it stays float32. */
export function outputObserver({ activation, dynamic }: QConfig): Observer | null {
  const observer = activation();
  return dynamic || observer.dtype === undefined ? null : observer;
}

/**
 * The observer of an output that always lies in min..max: fixed parameters as in torch, n integers
 * at a scale of (max - min) / n. n is 256 for 8-bit dtypes; wider ones have the range of the
 * QConfig's observer. If that is a fake-quantizer, so is the result.
 *
 * @param activation The QConfig's observer factory for outputs.
 */
export function boundedObserver(activation: Observer, min: number, max: number): Observer {
  const fake = activation instanceof FakeQuantize ? activation : null;
  const own = (fake?.observer ?? activation) as Observer & Partial<PerTensorQParams>;
  const dtype = own.dtype!;
  const [lowest, highest] = dtypeRange(dtype);
  const wide = dtype === "qint32";
  const quantMin = (wide ? own.quantMin : undefined) ?? lowest;
  const quantMax = (wide ? own.quantMax : undefined) ?? highest;
  const scale = (max - min) / (quantMax - quantMin + 1);
  const zeroPoint = quantMin - Math.round(min / scale);
  const observer = FixedQParamsObserver.withArgs({ dtype, scale, zeroPoint, quantMin, quantMax });
  if (fake === null) return observer();
  const { observerEnabled, fakeQuantEnabled } = fake;
  return new FakeQuantize({ observer, observerEnabled, fakeQuantEnabled });
}

/** Requires a module's QConfig. */
export function requiredQConfig({ name, qconfig }: ObserveContext): QConfig {
  if (qconfig === null) {
    failRange(`qconfig of ${name}`, "a QConfig, since it has a weight of integers", null);
  }
  return qconfig!;
}

/** An observer's parameters, or null without an observer; errors name the value. */
export function observedQParams(name: string, observer: Observer | null): PerTensorQParams | null {
  if (observer === null) return null;
  if (!observer.seen) {
    const expected = "an observer that has seen data: run calibration data through the observed " +
      "model first";
    failRange(name, expected, "none");
  }
  const qparams = observer.calculateQParams();
  if (isPerChannel(qparams)) {
    return failType(`${name} observer`, "one for a whole tensor", observer.kind);
  }
  return qparams;
}

/** Requires a finite float32 result. */
export function finiteTensor(name: string, data: Float32Array, shape: readonly number[]): Tensor {
  checkFinite(name, data);
  return { data, shape };
}
