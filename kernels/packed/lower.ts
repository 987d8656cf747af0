/**
 * Lowering: from weights and qparams to the numbers for the fast steps.
 *
 * @module
 */
import { activationKey } from "../numeric/activation.ts";
import { type CellFunctions, LSTM_FUNCTIONS } from "../float/lstm.ts";
import type { Activation } from "../numeric/float_functions.ts";
import { buildFixedPointAdd, type FixedPointAdd, mulMultiplier } from "../ops/elementwise.ts";
import {
  biasTerm,
  canRescale,
  type Engine,
  linearEngine,
  linearMultiplier,
  type LinearWeight,
  plainBiasTerm,
} from "../ops/linear.ts";
import {
  CANDIDATE,
  CELL_CONSTANTS,
  CELL_SUM,
  FORGET,
  HIDDEN,
  type LSTMCell,
  type Projection,
  type StateBinding,
  SUM_SIZE,
} from "./lstm_cell.ts";
import { columnsTogether, packedLength, type WeightRows } from "./pack.ts";
import type { ActivationProgram, CellProgram } from "./program.ts";
import type { Affine } from "../numeric/quantize.ts";
import { reciprocal } from "../numeric/requantize.ts";

/**
 * Max magnitude of an integer minus its zero point.
 *
 * @example
 * ```ts
 * import { integerBound } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(integerBound({ scale: 1, zeroPoint: 100, quantMin: 0, quantMax: 255 }), 155);
 * ```
 */
export function integerBound(q: Affine): number {
  return Math.max(centeredMax(q), -centeredMin(q));
}

/**
 * Index of row `gate * hiddenSize + unit` of a PyTorch LSTM weight in an array over the gates,
 * which is unit after unit.
 *
 * @example
 * ```ts
 * import { gateOrder } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * // The input, forget, cell and output gate of unit 0, then of unit 1.
 * assertEquals([...gateOrder(2)], [0, 2, 4, 6, 1, 3, 5, 7]);
 * ```
 */
export function gateOrder(hiddenSize: number): Int32Array {
  const order = new Int32Array(4 * hiddenSize);
  for (let i = 0; i < order.length; i++) order[i] = (i & 3) * hiddenSize + (i >> 2);
  return order;
}

/**
 * Rows in their own order, padded to groups of four.
 *
 * @example
 * ```ts
 * import { rowOrder } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([...rowOrder(3)], [0, 1, 2, -1]);
 * ```
 */
export function rowOrder(count: number): Int32Array {
  const order = new Int32Array((count + 3) & ~3).fill(-1);
  for (let row = 0; row < count; row++) order[row] = row;
  return order;
}

/**
 * Rows of a weight minus their zero points, in another order.
 *
 * @param order The row at each index: each row once, then -1 for padding.
 * @param bound Max magnitude of an activation minus its zero point.
 *
 * @example
 * ```ts
 * import { orderRows } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(1, -2, 3, 4),
 *   outFeatures: 2,
 *   inFeatures: 2,
 *   perChannel: true,
 *   scales: Float32Array.of(1, 1),
 *   zeroPoints: Int32Array.of(0, 1),
 * };
 * const { data, sums } = orderRows(weight, [1, 0], 255);
 * assertEquals(data, Int8Array.of(2, 3, 0, 0, 1, -2, 0, 0));
 * assertEquals(sums, Int32Array.of(2, 3, 1, -2));
 * ```
 */
export function orderRows(
  weight: LinearWeight,
  order: ArrayLike<number>,
  bound: number,
): WeightRows {
  const { data, zeroPoints, inFeatures, outFeatures } = weight;
  const size = packedLength(inFeatures);
  const centered = new Int16Array(outFeatures * size);
  const sums = new Int32Array(outFeatures * 2);
  let largest = 0;
  for (let index = 0; index < outFeatures; index++) {
    const row = order[index]!;
    const zeroPoint = zeroPoints[Math.floor(row * zeroPoints.length / outFeatures)]!;
    let magnitudes = 0;
    for (let k = 0; k < inFeatures; k++) {
      const w = data[row * inFeatures + k]! - zeroPoint;
      centered[index * size + k] = w;
      sums[2 * index + (k & 1)]! += w;
      magnitudes += Math.abs(w);
    }
    largest = Math.max(largest, magnitudes);
  }
  return {
    data: centered.every((w) => w >= -128 && w <= 127) ? Int8Array.from(centered) : centered,
    sums,
    largest,
    count: outFeatures,
    length: inFeatures,
    columns: columnsTogether(centered, inFeatures, largest, bound),
  };
}

/**
 * Min integer of the given qparams minus the zero point; NaN without qparams.
 *
 * @example
 * ```ts
 * import { centeredMin } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(centeredMin({ scale: 1, zeroPoint: 100, quantMin: 0, quantMax: 255 }), -100);
 * ```
 */
export function centeredMin(q: Affine | null): number {
  return q === null ? NaN : q.quantMin - q.zeroPoint;
}

/**
 * Max integer of the given qparams minus the zero point; NaN without qparams.
 *
 * @example
 * ```ts
 * import { centeredMax } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(centeredMax({ scale: 1, zeroPoint: 100, quantMin: 0, quantMax: 255 }), 155);
 * ```
 */
export function centeredMax(q: Affine | null): number {
  return q === null ? NaN : q.quantMax - q.zeroPoint;
}

/** A linear map of rows. */
export interface LinearMap {
  /** The engine whose rounding it uses. */
  readonly engine: Engine;
  /** int8 [outFeatures, inFeatures] */
  readonly weight: LinearWeight;
  /** [outFeatures] or null. */
  readonly bias: Float32Array | null;
  /** The weight's row at each index of the packed rows; -1 for padding. */
  readonly order: Int32Array;
}

/**
 * The constants of one projection.
 *
 * @param map The linear map and its order of rows.
 * @param from Qparams of the input.
 * @param to Qparams of the outputs, by packed row modulo their number; null gives float32 outputs,
 * whose bias is added by the per-channel rule.
 * @throws {RangeError} If the scale of an accumulator (input's times weight's) cannot be rescaled
 * in float32.
 *
 * @example
 * ```ts
 * import { lowerProjection, rowOrder } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const weight = {
 *   data: Int8Array.of(1, -2, 3, 4),
 *   outFeatures: 2,
 *   inFeatures: 2,
 *   perChannel: false,
 *   scales: Float32Array.of(1),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const bias = Float32Array.of(0, 1);
 * const map = { engine: "fbgemm", weight, bias, order: rowOrder(2) } as const;
 * const input = { scale: 0.5, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * const projection = lowerProjection(map, input, [null]);
 * // Accumulators times this are float32 outputs.
 * assertEquals([...projection.multiplier.subarray(0, 2)], [0.5, 0.5]);
 * ```
 */
export function lowerProjection(
  { engine, weight, bias, order }: LinearMap,
  from: Affine,
  to: readonly (Affine | null)[],
): Projection {
  const { data, inFeatures, outFeatures, perChannel, scales, zeroPoints } = weight;
  const largest = integerBound(from);
  const rule = linearEngine(engine, from, to);
  const bounds = to.length === 1 ? Array<Affine | null>(4).fill(to[0]!) : to;
  const lo = Float64Array.from(bounds, centeredMin);
  const hi = Float64Array.from(bounds, centeredMax);
  const plain = new Float64Array(order.length);
  const term = new Float64Array(order.length);
  const multiplier = new Float64Array(order.length);
  for (let index = 0; index < order.length; index++) {
    const row = order[index]!;
    if (row < 0) continue;
    const channel = Math.floor(row * scales.length / outFeatures);
    // Any small bound will do.
    let bound = 255 * inFeatures;
    if (bound * largest >= 2 ** 24) {
      bound = 0;
      for (let k = row * inFeatures; k < (row + 1) * inFeatures; k++) {
        bound += Math.abs(data[k]! - zeroPoints[channel]!);
      }
    }
    const scale = Math.fround(from.scale * scales[channel]!);
    const out = to[index % to.length]!;
    const factor = multiplier[index] = out === null
      ? scale
      : linearMultiplier(rule, scale, out.scale);
    if (!canRescale(scale, factor)) {
      throw new RangeError(
        `weight.scales[${channel}]: expected one that suits the input's, got ${scales[channel]}`,
      );
    }
    term[index] = biasTerm(rule, perChannel || out === null, bias?.[row] ?? 0, scale);
    plain[index] = plainBiasTerm(
      rule,
      perChannel || out === null,
      term[index]!,
      bound * largest,
      factor,
    );
  }
  const exact = plain.some((value) => value !== value);
  return {
    term: exact ? term : plain,
    multiplier,
    exact,
    lo,
    hi,
  };
}

/** Qparams of a part; the dtype decides whether qnnpack adds in fixed point. */
export interface PartParameters extends Affine {
  /** Dtype of the part's integers; 16-bit ranges are qint32. */
  readonly dtype: "quint8" | "qint8" | "qint32";
}

/**
 * Qparams of the parts of a cell; `igates`, `hgates` and `gates` by gate. null means not quantized.
 */
export interface CellParameters {
  /** W_ih x + b_ih, four entries; null if it is not quantized. */
  readonly igates: readonly (PartParameters | null)[];
  /** W_hh h + b_hh, four entries; null if it is not quantized. */
  readonly hgates: readonly (PartParameters | null)[];
  /** Their sum, four entries: the input of sigmoid and tanh. */
  readonly gates: readonly PartParameters[];
  /** i, a sigmoid. */
  readonly input_gate: PartParameters;
  /** f, a sigmoid. */
  readonly forget_gate: PartParameters;
  /** g, a tanh. */
  readonly cell_gate: PartParameters;
  /** o, a sigmoid. */
  readonly output_gate: PartParameters;
  /** f * c. */
  readonly fgate_cx: PartParameters;
  /** i * g. */
  readonly igate_cgate: PartParameters;
  /** The new cell state, f * c + i * g. */
  readonly fgate_cx_igate_cgate: PartParameters;
  /** The tanh of the new cell state. */
  readonly tanh_cy: PartParameters;
  /** o * tanh(c): the new hidden state, unless it is projected. */
  readonly ogate_cy: PartParameters;
  /** The projected hidden state, if there is one. */
  readonly proj?: PartParameters;
}

/**
 * Whether an engine adds tensors of these dtypes in fixed point: qnnpack does if all are quint8.
 *
 * @example
 * ```ts
 * import { addsInFixedPoint } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = { dtype: "quint8", scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 } as const;
 * assertEquals([addsInFixedPoint("qnnpack", q, q, q), addsInFixedPoint("fbgemm", q, q, q)], [
 *   true,
 *   false,
 * ]);
 * ```
 */
export function addsInFixedPoint(
  engine: Engine,
  a: PartParameters | null,
  b: PartParameters | null,
  to: PartParameters | null,
): boolean {
  return engine === "qnnpack" && a?.dtype === "quint8" && b?.dtype === "quint8" &&
    to?.dtype === "quint8";
}

/**
 * Constants of qnnpack's fixed-point addition.
 *
 * @throws {RangeError} If it does not support the scales, as in torch.
 *
 * @example
 * ```ts
 * import { fixedPointAdd } from "./lower.ts";
 * import { assertThrows } from "@std/assert";
 * const q = { scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 };
 * assertThrows(
 *   () => fixedPointAdd("gates", { ...q, scale: 2 ** 20 }, q, q),
 *   RangeError,
 *   "gates: expected scales",
 * );
 * ```
 */
export function fixedPointAdd(name: string, a: Affine, b: Affine, to: Affine): FixedPointAdd {
  const add = buildFixedPointAdd(a.scale, b.scale, to.scale);
  if (add === null) {
    throw new RangeError(
      `${name}: expected scales within 2^-14..2^8 of the output's for qnnpack's addition, ` +
        `got ${a.scale}, ${b.scale} for ${to.scale}`,
    );
  }
  return add;
}

/** Weights of a cell, rows in PyTorch's order. */
export interface CellWeights {
  /** [4 * hiddenSize, inputSize] */
  readonly weightIh: LinearWeight;
  /** [4 * hiddenSize, hiddenSize], or [4 * hiddenSize, projSize]. */
  readonly weightHh: LinearWeight;
  /** [projSize, hiddenSize], or null. */
  readonly weightHr: LinearWeight | null;
  /** [4 * hiddenSize], or null. */
  readonly biasIh: Float32Array | null;
  /** [4 * hiddenSize], or null. */
  readonly biasHh: Float32Array | null;
}

/** The arithmetic of a cell that depends only on its qparams. */
export type CellArithmetic = Pick<LSTMCell, "constants" | "fixedPoint" | "exactScale">;

/**
 * The activations of the four gates and of the cell state, with the qparams of their input and
 * output.
 *
 * @example
 * ```ts
 * import { cellActivations } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = {
 *   dtype: "quint8",
 *   scale: 1 / 128,
 *   zeroPoint: 128,
 *   quantMin: 0,
 *   quantMax: 255,
 * } as const;
 * const four = [q, q, q, q];
 * const products = {
 *   fgate_cx: q,
 *   igate_cgate: q,
 *   fgate_cx_igate_cgate: q,
 *   tanh_cy: q,
 *   ogate_cy: q,
 * };
 * const gates = { input_gate: q, forget_gate: q, cell_gate: q, output_gate: q };
 * const activations = cellActivations({
 *   igates: four,
 *   hgates: four,
 *   gates: four,
 *   ...gates,
 *   ...products,
 * });
 * assertEquals(activations.map(([activation]) => activation), [
 *   "sigmoid",
 *   "sigmoid",
 *   "tanh",
 *   "sigmoid",
 *   "tanh",
 * ]);
 * ```
 */
export function cellActivations(
  parts: CellParameters,
  functions: CellFunctions = LSTM_FUNCTIONS,
): [activation: Activation, from: Affine, to: Affine][] {
  const { gateActivation, activation, cellActivation } = functions;
  const [input, forget, cell, output] = parts.gates;
  return [
    [gateActivation, input!, parts.input_gate],
    [gateActivation, forget!, parts.forget_gate],
    [activation, cell!, parts.cell_gate],
    [gateActivation, output!, parts.output_gate],
    [cellActivation, parts.fgate_cx_igate_cgate, parts.tanh_cy],
  ];
}

/**
 * The constants of a sum, in the order of {@linkcode SUM_A} and the following.
 *
 * @param a Qparams of the first term; null for float32.
 * @throws {RangeError} If qnnpack's fixed-point addition does not support the scales, as in torch.
 *
 * @example
 * ```ts
 * import { sumConstants } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = { dtype: "qint8", scale: 0.5, zeroPoint: 0, quantMin: -128, quantMax: 127 } as const;
 * assertEquals(sumConstants("fbgemm", "gates", q, null, q).constants, [0.5, 1, 2, -128, 127]);
 * ```
 */
export function sumConstants(
  engine: Engine,
  name: string,
  a: PartParameters | null,
  b: PartParameters | null,
  to: PartParameters,
): { readonly constants: readonly number[]; readonly fixed: boolean } {
  const fixed = addsInFixedPoint(engine, a, b, to) ? fixedPointAdd(name, a!, b!, to) : null;
  return {
    constants: [
      fixed?.multiplierA ?? a?.scale ?? 1,
      fixed?.multiplierB ?? b?.scale ?? 1,
      fixed?.step ?? reciprocal(to.scale),
      centeredMin(to),
      centeredMax(to),
    ],
    fixed: fixed !== null,
  };
}

/**
 * The constants of a product of integers: multiplier and bounds.
 *
 * @example
 * ```ts
 * import { productConstants } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 0.5, zeroPoint: 0, quantMin: -128, quantMax: 127 };
 * assertEquals(productConstants(q, q, q), [0.5, -128, 127]);
 * ```
 */
export function productConstants(a: Affine, b: Affine, to: Affine): readonly number[] {
  return [mulMultiplier(a.scale, b.scale, to), centeredMin(to), centeredMax(to)];
}

/**
 * Lowers the sums and products of a cell between its projections and its hidden state.
 *
 * @throws {RangeError} If qnnpack's fixed-point addition does not support the scales, as in torch.
 *
 * @example
 * ```ts
 * import { CELL_CONSTANTS } from "./lstm_cell.ts";
 * import { lowerArithmetic } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = {
 *   dtype: "quint8",
 *   scale: 1 / 128,
 *   zeroPoint: 128,
 *   quantMin: 0,
 *   quantMax: 255,
 * } as const;
 * const four = [q, q, q, q];
 * const products = {
 *   fgate_cx: q,
 *   igate_cgate: q,
 *   fgate_cx_igate_cgate: q,
 *   tanh_cy: q,
 *   ogate_cy: q,
 * };
 * const gates = { input_gate: q, forget_gate: q, cell_gate: q, output_gate: q };
 * const parts = { igates: four, hgates: four, gates: four, ...gates, ...products };
 * assertEquals(lowerArithmetic("fbgemm", parts).constants.length, CELL_CONSTANTS);
 * assertEquals(lowerArithmetic("qnnpack", parts).fixedPoint, 0b11111); // every addition
 * ```
 */
export function lowerArithmetic(
  engine: Engine,
  parts: CellParameters,
): CellArithmetic {
  const k = new Float64Array(CELL_CONSTANTS);
  let fixedPoint = 0;
  let exactScale = 0;
  const sum = (
    name: string,
    i: number,
    a: PartParameters | null,
    b: PartParameters | null,
    to: PartParameters,
  ): void => {
    const { constants, fixed } = sumConstants(engine, name, a, b, to);
    if (fixed) fixedPoint |= 1 << i;
    // The scale is a power of two if it has only one nonzero binary digit.
    if (a === null && b === null && to.scale.toString(2).split("1").length === 2) {
      exactScale |= 1 << i;
    }
    k.set(constants, i * SUM_SIZE);
  };
  const product = (at: number, a: Affine, b: Affine, to: Affine): void =>
    k.set(productConstants(a, b, to), at);
  const {
    igates,
    hgates,
    gates,
    fgate_cx: forget,
    igate_cgate: candidate,
    fgate_cx_igate_cgate: cell,
  } = parts;
  gates.forEach((to, gate) => sum("gates", gate, igates[gate]!, hgates[gate]!, to));
  sum("fgate_cx_igate_cgate", CELL_SUM, forget, candidate, cell);
  product(FORGET, parts.forget_gate, cell, forget);
  product(CANDIDATE, parts.input_gate, parts.cell_gate, candidate);
  product(HIDDEN, parts.output_gate, parts.tanh_cy, parts.ogate_cy);
  return { constants: k, fixedPoint, exactScale };
}

/**
 * Activation tables that cells share, without duplicates, and the activations of all these cells.
 */
export interface SharedTables extends TableList {
  /** The activations that the tables tabulate. */
  readonly functions: CellFunctions;
}

/** Activation tables that cells share, without duplicates. */
export interface TableList {
  /** The tables; cells refer to them by index. */
  readonly list: ActivationProgram[];
  /** The index of each table, by {@linkcode activationKey}. */
  readonly indices: Map<string, number>;
}

/**
 * An empty list of tables for {@linkcode lowerCell} to add to.
 *
 * @example
 * ```ts
 * import { sharedTables } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(sharedTables().list, []);
 * ```
 */
export function sharedTables(functions: CellFunctions = LSTM_FUNCTIONS): SharedTables {
  return { functions, list: [], indices: new Map() };
}

/**
 * The index of a table in a list; the table is added if it is missing.
 *
 * @example
 * ```ts
 * import { sharedTables, tableIndex } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = { scale: 0.5, zeroPoint: 0, quantMin: -128, quantMax: 127 }, tables = sharedTables();
 * const indices = [tableIndex(tables, "tanh", q, q), tableIndex(tables, "tanh", q, q)];
 * assertEquals([indices, tables.list.length], [[0, 0], 1]);
 * ```
 */
export function tableIndex(
  { list, indices }: TableList,
  activation: Activation,
  from: Affine,
  to: Affine,
): number {
  const key = activationKey(activation, from, to);
  let index = indices.get(key);
  if (index === undefined) {
    indices.set(key, index = list.push({ activation, from, to, outputs: null }) - 1);
  }
  return index;
}

/** The numbers of a cell, and the tables that they refer to. */
export interface LoweredCell {
  /** The cell, for buildCell. */
  readonly cell: CellProgram;
  /** The given tables, followed by new ones. */
  readonly tables: ActivationProgram[];
}

/** A cell before lowering. */
export interface CellSource {
  /** The engine whose rounding it uses. */
  readonly engine: Engine;
  /** Its weights. */
  readonly weights: CellWeights;
  /** Qparams of its parts. */
  readonly parts: CellParameters;
}

/**
 * Lowers a cell.
 *
 * @param input Qparams of the input, or null if projected inputs will be given.
 * @param stateBound Max magnitude of a hidden state minus its zero point, including a given initial
 * state.
 * @param tables Activation tables that other cells share, and the activations of all these cells;
 * new tables are added.
 * @throws {RangeError} If qnnpack's fixed-point addition does not support the scales, as in torch.
 *
 * @example
 * ```ts
 * import { lowerCell } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = {
 *   dtype: "quint8",
 *   scale: 1 / 128,
 *   zeroPoint: 128,
 *   quantMin: 0,
 *   quantMax: 255,
 * } as const;
 * const four = [q, q, q, q];
 * const products = {
 *   fgate_cx: q,
 *   igate_cgate: q,
 *   fgate_cx_igate_cgate: q,
 *   tanh_cy: q,
 *   ogate_cy: q,
 * };
 * const gates = { input_gate: q, forget_gate: q, cell_gate: q, output_gate: q };
 * const parts = { igates: four, hgates: four, gates: four, ...gates, ...products };
 * const weight = {
 *   data: new Int8Array(4 * 3 * 3),
 *   outFeatures: 12,
 *   inFeatures: 3,
 *   perChannel: false,
 *   scales: Float32Array.of(0.01),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const weights = {
 *   weightIh: weight,
 *   weightHh: weight,
 *   weightHr: null,
 *   biasIh: null,
 *   biasHh: null,
 * };
 * const source = { engine: "fbgemm", weights, parts } as const;
 * const { cell, tables } = lowerCell(source, q, 128);
 * assertEquals([cell.hiddenSize, cell.activations, tables.length], [3, [0, 0, 1, 0, 1], 2]);
 * const projected = lowerCell(source, null, 128); // its inputs are projected elsewhere
 * assertEquals(projected.cell.inputRows, null);
 * ```
 */
export function lowerCell(
  { engine, weights, parts }: CellSource,
  input: Affine | null,
  stateBound: number,
  tables: SharedTables = sharedTables(),
): LoweredCell {
  const { weightIh, weightHh, weightHr, biasIh } = weights;
  const { ogate_cy: hidden, proj } = parts;
  const { functions, list } = tables;
  const activations = cellActivations(parts, functions).map((each) => tableIndex(tables, ...each));
  const rows = weightHr && rowOrder(weightHr.outFeatures);
  const hiddenSize = weightHh.outFeatures / 4;
  const order = gateOrder(hiddenSize);
  const cell: CellProgram = {
    hiddenSize,
    inputRows: input === null ? null : orderRows(weightIh, order, integerBound(input)),
    inputProjection: input === null
      ? null
      : lowerProjection({ engine, weight: weightIh, bias: biasIh, order }, input, parts.igates),
    hiddenRows: orderRows(weightHh, order, stateBound),
    ...lowerArithmetic(engine, parts),
    activations,
    hiddenOutput: rows === null || weightHr === null || proj === undefined ? null : {
      rows: orderRows(weightHr, rows, integerBound(hidden)),
      projection: lowerProjection(
        { engine, weight: weightHr, bias: null, order: rows },
        hidden,
        [proj],
      ),
    },
  };
  return { cell, tables: list };
}

/**
 * The constants with which a state of the given qparams enters a step.
 *
 * @example
 * ```ts
 * import { bindState } from "./lower.ts";
 * import { assertEquals } from "@std/assert";
 * const q = {
 *   dtype: "quint8",
 *   scale: 1 / 128,
 *   zeroPoint: 128,
 *   quantMin: 0,
 *   quantMax: 255,
 * } as const;
 * const four = [q, q, q, q];
 * const products = {
 *   fgate_cx: q,
 *   igate_cgate: q,
 *   fgate_cx_igate_cgate: q,
 *   tanh_cy: q,
 *   ogate_cy: q,
 * };
 * const gates = { input_gate: q, forget_gate: q, cell_gate: q, output_gate: q };
 * const parts = { igates: four, hgates: four, gates: four, ...gates, ...products };
 * const weight = {
 *   data: new Int8Array(4 * 3 * 3),
 *   outFeatures: 12,
 *   inFeatures: 3,
 *   perChannel: false,
 *   scales: Float32Array.of(0.01),
 *   zeroPoints: Int32Array.of(0),
 * };
 * const weights = {
 *   weightIh: weight,
 *   weightHh: weight,
 *   weightHr: null,
 *   biasIh: null,
 *   biasHh: null,
 * };
 * const implicit = { scale: 1, zeroPoint: 0, quantMin: 0, quantMax: 255 }; // torch's first state
 * const source = { engine: "fbgemm", weights, parts } as const;
 * assertEquals(bindState(source, q, q).forgetMultiplier, 1 / 128);
 * assertEquals(bindState(source, implicit, implicit).forgetMultiplier, 1);
 * ```
 */
export function bindState(
  { engine, weights, parts }: CellSource,
  hidden: Affine,
  cell: Affine,
): StateBinding {
  const { weightHh: weight, biasHh: bias } = weights;
  const order = gateOrder(weight.outFeatures / 4);
  return {
    hiddenProjection: lowerProjection({ engine, weight, bias, order }, hidden, parts.hgates),
    forgetMultiplier: mulMultiplier(parts.forget_gate.scale, cell.scale, parts.fgate_cx),
  };
}
