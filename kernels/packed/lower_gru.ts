/**
 * Lowering of a GRU cell: from weights and qparams to the numbers for its fast step.
 *
 * @module
 */
import type { GRUConventions } from "../float/gru.ts";
import { mulMultiplier } from "../ops/elementwise.ts";
import type { Engine, LinearWeight } from "../ops/linear.ts";
import type { Affine } from "../numeric/quantize.ts";
import { reciprocal } from "../numeric/requantize.ts";
import {
  CHANGE_SUM,
  GRU_CONSTANTS,
  type GRUBinding,
  RESET_PRODUCT,
  STATE_SUM,
  UPDATE_PRODUCT,
} from "./gru_cell.ts";
import type { GRUCellProgram } from "./gru_program.ts";
import {
  centeredMax,
  centeredMin,
  integerBound,
  lowerProjection,
  orderRows,
  type PartParameters,
  productConstants,
  rowOrder,
  sumConstants,
  tableIndex,
  type TableList,
} from "./lower.ts";
import { SUM_SIZE } from "./lstm_cell.ts";

/** Qparams of the parts of a cell; null means not quantized. */
export interface GRUParameters {
  /** W_ih x + b_ih, by gate; null if it is not quantized. */
  readonly igates: readonly (PartParameters | null)[];
  /** W_hh h + b_hh, by gate; without the new gate if the state is reset before its product. */
  readonly hgates: readonly (PartParameters | null)[];
  /** The input of the reset gate's activation. */
  readonly rgates: PartParameters;
  /** The input of the update gate's activation. */
  readonly zgates: PartParameters;
  /** r */
  readonly reset_gate: PartParameters;
  /** z */
  readonly update_gate: PartParameters;
  /** r h, if the state is reset before its product. */
  readonly rgate_hx?: PartParameters;
  /** r (W_hn h + b_hn), or W_hn (r h) + b_hn, which may be unquantized (null). */
  readonly rgate_hgates: PartParameters | null;
  /** The input of the new gate's activation. */
  readonly ngates: PartParameters;
  /** n */
  readonly new_gate: PartParameters;
  /** h - n, or n - h. */
  readonly hx_ngate: PartParameters;
  /** z times that difference. */
  readonly zgate_hx_ngate: PartParameters;
  /** The new hidden state. */
  readonly hy: PartParameters;
}

/** Weights of a cell, rows in PyTorch's order. */
export interface GRUCellWeights {
  /** [3 * hiddenSize, inputSize] */
  readonly weightIh: LinearWeight;
  /** W_hh of the gates whose rows multiply h: [3 * hiddenSize, hiddenSize], or two gates. */
  readonly weightHh: LinearWeight;
  /** W_hn if the state is reset before its product, or null. */
  readonly weightHn: LinearWeight | null;
  /** [3 * hiddenSize], or null. */
  readonly biasIh: Float32Array | null;
  /** One value per row of weightHh, or null. */
  readonly biasHh: Float32Array | null;
  /** [hiddenSize], or null. */
  readonly biasHn: Float32Array | null;
}

/**
 * Index of row `gate * hiddenSize + unit` in an array over the gates, which is unit after unit.
 *
 * @example
 * ```ts
 * import { gruOrder } from "./lower_gru.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals([...gruOrder(3, 2)], [0, 2, 4, 1, 3, 5]);
 * ```
 */
export function gruOrder(gates: number, hiddenSize: number): Int32Array {
  return Int32Array.from(
    { length: gates * hiddenSize },
    (_, i) => (i % gates) * hiddenSize + Math.floor(i / gates),
  );
}

/** The activations and conventions of a cell. */
type Conventions = Pick<
  GRUConventions,
  "gateActivation" | "activation" | "complementedUpdate"
>;

/**
 * Lowers a cell.
 *
 * @param input Qparams of the input, or null if projected inputs will be given.
 * @param stateBound Max magnitude of a hidden state minus its zero point, including a given initial
 * state.
 * @param tables Activation tables that other cells share; new ones are added.
 * @throws {RangeError} If the scales do not fit together.
 */
export function lowerGRUCell(
  { engine, weights, parts, input, stateBound }: {
    readonly engine: Engine;
    readonly weights: GRUCellWeights;
    readonly parts: GRUParameters;
    readonly input: Affine | null;
    readonly stateBound: number;
  },
  { gateActivation, activation, complementedUpdate }: Conventions,
  tables: TableList,
): GRUCellProgram {
  const { weightIh, weightHh, weightHn, biasIh, biasHn } = weights;
  const { rgates, zgates, ngates, rgate_hx, rgate_hgates } = parts;
  const gates = parts.hgates.length;
  const hiddenSize = weightHh.outFeatures / gates;
  const order = gruOrder(3, hiddenSize);
  const rows = rowOrder(hiddenSize);
  return {
    hiddenSize,
    inputRows: input === null ? null : orderRows(weightIh, order, integerBound(input)),
    inputProjection: input === null
      ? null
      : lowerProjection({ engine, weight: weightIh, bias: biasIh, order }, input, parts.igates),
    hiddenRows: orderRows(weightHh, gruOrder(gates, hiddenSize), stateBound),
    newOutput: weightHn === null ? null : {
      rows: orderRows(weightHn, rows, integerBound(rgate_hx!)),
      projection: lowerProjection(
        { engine, weight: weightHn, bias: biasHn, order: rows },
        rgate_hx!,
        [rgate_hgates],
      ),
    },
    complementedUpdate,
    activations: [
      tableIndex(tables, gateActivation, rgates, parts.reset_gate),
      tableIndex(tables, gateActivation, zgates, parts.update_gate),
      tableIndex(tables, activation, ngates, parts.new_gate),
    ],
  };
}

/**
 * The constants with which a state of the given qparams enters a step.
 *
 * @throws {RangeError} If qnnpack's fixed-point addition does not support the scales.
 */
export function bindGRUState(
  engine: Engine,
  { weightHh, biasHh }: GRUCellWeights,
  parts: GRUParameters,
  hidden: PartParameters,
  complementedUpdate: boolean,
): GRUBinding {
  const { igates, hgates, reset_gate, rgate_hx, rgate_hgates } = parts;
  const { update_gate, new_gate, hx_ngate: change, zgate_hx_ngate: updateProduct } = parts;
  const k = new Float64Array(GRU_CONSTANTS);
  let fixedPoint = 0;
  const sum = (
    name: string,
    i: number,
    a: PartParameters | null,
    b: PartParameters | null,
    to: PartParameters,
  ): void => {
    const { constants, fixed } = sumConstants(engine, name, a, b, to);
    if (fixed) fixedPoint |= 1 << i;
    k.set(constants, i * SUM_SIZE);
  };
  sum("rgates", 0, igates[0]!, hgates[0]!, parts.rgates);
  sum("zgates", 1, igates[1]!, hgates[1]!, parts.zgates);
  sum("ngates", 2, igates[2]!, rgate_hgates, parts.ngates);
  sum("hy", STATE_SUM, updateProduct, complementedUpdate ? hidden : new_gate, parts.hy);
  // Differences are never in fixed point, because torch has no such operator for integers.
  const sign = complementedUpdate ? -1 : 1;
  k.set(
    [
      sign * hidden.scale,
      -sign * new_gate.scale,
      reciprocal(change.scale),
      centeredMin(change),
      centeredMax(change),
    ],
    CHANGE_SUM * SUM_SIZE,
  );
  const to = rgate_hx ?? rgate_hgates!;
  const other = rgate_hx === undefined ? hgates[2]! : hidden;
  const factors = other === null
    ? [reset_gate.scale, reciprocal(to.scale)]
    : [1, mulMultiplier(reset_gate.scale, other.scale, to)];
  k.set([...factors, centeredMin(to), centeredMax(to)], RESET_PRODUCT);
  k.set(productConstants(update_gate, change, updateProduct), UPDATE_PRODUCT);
  const order = gruOrder(hgates.length, weightHh.outFeatures / hgates.length);
  return {
    hiddenProjection: lowerProjection(
      { engine, weight: weightHh, bias: biasHh, order },
      hidden,
      hgates,
    ),
    constants: k,
    fixedPoint,
  };
}
