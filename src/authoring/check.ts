/**
 * What the constructors of quantized modules require of what they are given.
 *
 * Whatever passes here computes no NaN, and no infinity that is not clamped at once: a finite input
 * gives finite results, the same from all that run the module. Integers saturate at the ends of
 * their range wherever a float32 product or sum on the way to them overflows, since its sign is
 * right. So the scales that are multiplied, the values that integers stand for, biases in steps of
 * the accumulator, and sums that stay float32 have to be finite.
 *
 * @module
 */
import { mulMultiplier } from "../../kernels/ops/elementwise.ts";
import {
  biasTerm,
  canRescale,
  type Engine,
  linearEngine,
  type LinearWeight,
} from "../../kernels/ops/linear.ts";
import { isFloat32Array, isInt8Array, isUint8Array } from "../../kernels/numeric/typed_array.ts";
import { fmaFloat32 } from "../../kernels/numeric/requantize.ts";
import { integerBound } from "../../kernels/packed/lower.ts";
import { lstmParts, type PartName } from "../cells/lstm_parts.ts";
import { checkFinite, checkInteger, failRange, failType } from "../core/errors.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import { hiddenQParams, IMPLICIT_STATE, type QuantizedLstmCell } from "../modules/lstm/cell.ts";
import type { EmbeddingModule, LstmModule, ModuleData } from "./modules.ts";

/** null is float32. */
type OptionalQParams = PerTensorQParams | null;

/** Parameters of h and c at the first step; null of one that is float32. */
type InitialQParams = readonly [OptionalQParams, OptionalQParams];

/** What a linear operator computes with. */
interface LinearOperator {
  readonly engine: Engine;
  readonly weight: LinearWeight;
  readonly bias: Float32Array | null;
  /** Whether its weights are multiplied as integers though the input is float32. */
  readonly dynamic?: boolean | undefined;
}

function fitsFloat32(value: number): boolean {
  return Math.abs(Math.fround(value)) < Infinity;
}

/** Requires parameters whose integers stand for finite values. */
function checkValues(name: string, q: OptionalQParams): void {
  if (q !== null && !fitsFloat32(q.scale * Math.fround(integerBound(q)))) {
    failRange(
      name,
      `a scale of which float32 holds ${integerBound(q)} steps`,
      q.scale,
    );
  }
}

/** Sum of the magnitudes of a row's weights, and the largest of them, less the zero point. */
function rowMagnitudes({ data, inFeatures }: LinearWeight, row: number, zeroPoint: number) {
  let sum = 0, max = 0;
  for (let k = row * inFeatures; k < (row + 1) * inFeatures; k++) {
    const magnitude = Math.abs(data[k]! - zeroPoint);
    sum += magnitude;
    if (magnitude > max) max = magnitude;
  }
  return { sum, max };
}

/**
 * Requires a linear operator that suits its input's scale: the scale of the accumulator, the
 * product of both, has a finite reciprocal and leads to each output by a finite factor; and
 * weights, biases in its steps, and float32 outputs are finite.
 *
 * @param x Parameters of the input; null is float32.
 * @param to Parameters of the outputs, one a gate or one for all; null is float32.
 * @throws {RangeError} Naming the first that does not.
 */
export function checkLinear(
  name: string,
  { engine, weight, bias, dynamic = false }: LinearOperator,
  x: OptionalQParams,
  to: readonly OptionalQParams[],
): void {
  const { outFeatures, inFeatures, perChannel, scales, zeroPoints } = weight;
  const each = outFeatures / scales.length;
  scales.forEach((scale, channel) => {
    const at = `${name}.scales[${channel}]`;
    const step = Math.fround((x?.scale ?? 1) * scale);
    if (!(step > 0 && to.every((y) => canRescale(step, step / (y?.scale ?? 1))))) {
      failRange(at, "a positive number that suits the input's scale", scale);
    }
    // No int8 less its zero point is more than 255.
    const certain = dynamic || fitsFloat32(scale * 255);
    const rule = x === null ? engine : linearEngine(engine, x, to);
    for (let row = channel * each; row < (channel + 1) * each; row++) {
      if (!certain && !fitsFloat32(scale * rowMagnitudes(weight, row, zeroPoints[channel]!).max)) {
        failRange(at, "weights that are float32 values", scale);
      }
      if (x === null) continue;
      const y = to[Math.floor(row * to.length / outFeatures)]!;
      const term = biasTerm(rule, perChannel || y === null, bias?.[row] ?? 0, step);
      if (!fitsFloat32(term)) {
        failRange(`${name}'s bias[${row}]`, `float32 to hold it in steps of ${step}`, bias![row]);
      }
      if (y !== null) continue;
      const bound = integerBound(x);
      const fits = (sum: number) => fitsFloat32(Math.fround(Math.abs(term) + sum * bound) * step);
      if (
        !fits(255 * inFeatures) && !fits(rowMagnitudes(weight, row, zeroPoints[channel]!).sum)
      ) {
        failRange(at, "sums that are float32 values", scale);
      }
    }
  });
}

function checkLayer(
  name: string,
  operator: LinearOperator,
  from: readonly OptionalQParams[],
  to: readonly OptionalQParams[],
): void {
  const { weight, bias } = operator;
  const { data, outFeatures, inFeatures, scales, zeroPoints } = weight ?? {};
  const each = scales?.length;
  if (!isInt8Array(data)) failType(`${name}.data`, "an Int8Array", data);
  if (data.length !== outFeatures * inFeatures) {
    failRange(name, `[${outFeatures}, ${inFeatures}]`, data.length);
  }
  if (!(each > 0) || outFeatures % each !== 0 || zeroPoints?.length !== each) {
    failRange(`${name}.scales`, `as many as zeroPoints, a divisor of ${outFeatures}`, each);
  }
  zeroPoints.forEach((point, i) => checkInteger(`${name}.zeroPoints[${i}]`, point, -128, 127));
  if (bias !== null) {
    if (bias?.length !== outFeatures) {
      failRange(`${name}'s bias`, `${outFeatures} elements`, bias?.length);
    }
    checkFinite(`${name}'s bias`, bias);
  }
  for (const x of from) checkLinear(name, operator, x, to);
}

/** Requires the parts of a cell to suit each other, for what it reads. */
function checkCell(
  name: string,
  { engine, dynamic }: LstmModule,
  cell: QuantizedLstmCell,
  x: OptionalQParams,
  [h, c]: InitialQParams,
): void {
  const { parts, weightIh, weightHh, weightHr, biasIh, biasHh } = cell;
  const own = (part: string) => [parts[part as PartName] ?? null].flat() as OptionalQParams[];
  const read = (part: PartName, index: number, producer: string): readonly OptionalQParams[] => {
    const converted = parts.inputs?.[part]?.[index] ?? null;
    if (converted !== null) return [converted];
    return producer === "x"
      ? [x]
      : producer === "h"
      ? [hiddenQParams(cell), h]
      : producer === "c"
      ? [parts.fgate_cx_igate_cgate, c]
      : own(producer);
  };
  const operators: Partial<Record<PartName, readonly [string, LinearWeight, Float32Array | null]>> =
    {
      igates: ["weightIh", weightIh, biasIh],
      hgates: ["weightHh", weightHh, biasHh],
      ...(weightHr === null ? {} : { proj: ["weightHr", weightHr, null] as const }),
    };
  for (const { name: part, op, inputs } of lstmParts(parts.proj !== undefined)) {
    const at = `${name}.parts.${part}`;
    for (const q of [...own(part), ...parts.inputs?.[part] ?? []]) checkValues(at, q);
    if (op === "linear") {
      const [key, weight, bias] = operators[part]!;
      const operator = { engine, weight, bias, dynamic };
      checkLayer(`${name}.${key}`, operator, read(part, 0, inputs[0]!), own(part));
    } else if (op === "mul") {
      const [to] = own(part);
      for (const a of read(part, 0, inputs[0]!)) {
        for (const b of read(part, 1, inputs[1]!)) {
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
 * Requires the cells of an LSTM to suit each other, the parameters of its input, and those of its
 * state at the first step.
 *
 * @param initial null for those of the running state; undefined for what the LSTM says of an
 * implicit one.
 * @throws {TypeError} If a weight is no Int8Array.
 * @throws {RangeError} If a length, scale, zero point or bias is wrong.
 */
export function checkLstm(
  name: string,
  lstm: LstmModule,
  input: OptionalQParams,
  initial?: InitialQParams,
): void {
  checkValues(`${name}.input`, input);
  initial?.forEach((q, i) => checkValues(i === 0 ? "h0" : "c0", q));
  const implicit = lstm.torchInitialState && !lstm.dynamic ? IMPLICIT_STATE : null;
  lstm.cells.forEach((layer, l) => {
    const x = l === 0 ? input : hiddenQParams(lstm.cells[l - 1]![0]!);
    layer.forEach((cell, d) => {
      const [h, c] = initial ?? [implicit, implicit];
      const cellState = cell.parts.fgate_cx_igate_cgate;
      checkCell(`${name}.cells[${l}][${d}]`, lstm, cell, x, [
        h ?? hiddenQParams(cell),
        c ?? cellState,
      ]);
    });
  });
}

function checkEmbedding(
  name: string,
  { weight, numEmbeddings, embeddingDim, scales, biases }: EmbeddingModule,
): void {
  const rows = isFloat32Array(weight) ? 0 : numEmbeddings;
  if (weight?.length !== numEmbeddings * embeddingDim) {
    failRange(`${name}.weight`, `[${numEmbeddings}, ${embeddingDim}]`, weight?.length);
  }
  if (scales?.length !== rows || biases?.length !== rows) {
    failRange(`${name}.scales`, `${rows} scales and biases`, scales?.length);
  }
  for (const floats of [weight, scales, biases]) {
    if (isFloat32Array(floats)) checkFinite(name, floats);
  }
  const quantMax = isUint8Array(weight) ? 255 : 65535;
  scales.forEach((scale, row) => {
    if (!fitsFloat32(fmaFloat32(quantMax, scale, biases[row]!))) {
      failRange(`${name}.scales[${row}]`, "a row of float32 values", scale);
    }
  });
}

/**
 * Requires a module whose weights and scales can be run.
 *
 * @throws {TypeError} If a weight is no Int8Array.
 * @throws {RangeError} If a length, scale, zero point or bias is wrong.
 */
export function checkModule(name: string, module: ModuleData): void {
  if (module.kind === "Linear") {
    const { input, output } = module;
    checkValues(`${name}.input`, input);
    checkValues(`${name}.output`, output);
    checkLayer(`${name}.weight`, module, [input], [output]);
  } else if (module.kind === "LSTM") {
    checkLstm(name, module, module.input);
    if (module.stateInput) checkLstm(name, module, module.input, module.stateInput);
  } else checkEmbedding(name, module);
}
