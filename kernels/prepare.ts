/**
 * From weights and qparams to the constants that the fast steps run on.
 *
 * @module
 */
import { activationTable } from "./activation.ts";
import { mulMultiplier, prepareFixedPointAdd } from "./elementwise.ts";
import { type Engine, linearMultiplier, type LinearWeight, plainBiasTerm } from "./linear.ts";
import { CELL_CONSTANTS, CellConstant as K, type LstmCell, type Projection, type StateBinding } from "./lstm_cell.ts";
import { packRows } from "./pack.ts";
import type { Affine } from "./quantize.ts";
import { reciprocal } from "./requantize.ts";

/** Largest magnitude of an integer less its zero point. */
export function integerBound(q: Affine): number {
  return Math.max(q.quantMax - q.zeroPoint, q.zeroPoint - q.quantMin);
}

/** Where row `gate * hiddenSize + unit` of a PyTorch LSTM weight stands in an array over the gates: unit after unit. */
export function gateOrder(hiddenSize: number): Int32Array {
  const order = new Int32Array(Math.ceil(hiddenSize / 2) * 8).fill(-1);
  for (let unit = 0; unit < hiddenSize; unit++) {
    for (let gate = 0; gate < 4; gate++) {
      order[unit * 4 + gate] = gate * hiddenSize + unit;
    }
  }
  return order;
}

/** Rows in their own order, filled up to groups of eight. */
export function rowOrder(count: number): Int32Array {
  const order = new Int32Array(Math.ceil(count / 8) * 8).fill(-1);
  for (let row = 0; row < count; row++) order[row] = row;
  return order;
}

/**
 * The constants of one projection.
 *
 * @param engine Whose rounding.
 * @param weight int8 [outFeatures, inFeatures].
 * @param bias float32 [outFeatures] or null.
 * @param order Which weight row each place takes; -1 for none.
 * @param from Parameters of the input.
 * @param to Parameters of the outputs, by place modulo their number; null gives float32 outputs, whose bias is
 * added by the per-channel rule.
 */
export function prepareProjection(
  engine: Engine,
  weight: LinearWeight,
  bias: Float32Array | null,
  order: ArrayLike<number>,
  from: Affine,
  to: readonly (Affine | null)[],
): Projection {
  const count = order.length,
    { data, inFeatures, outFeatures, scales, zeroPoints } = weight;
  const projection = {
    term: new Float64Array(count),
    multiplier: new Float64Array(count),
    bias: new Float64Array(count),
    scale: new Float64Array(count),
    perChannel: weight.perChannel,
    lo: new Float64Array(to.length).fill(NaN),
    hi: new Float64Array(to.length).fill(NaN),
  };
  to.forEach((q, i) => {
    if (q !== null) {
      projection.lo[i] = q.quantMin - q.zeroPoint;
      projection.hi[i] = q.quantMax - q.zeroPoint;
    }
  });
  const inputBound = integerBound(from);
  for (let place = 0; place < count; place++) {
    const row = order[place];
    if (row < 0) continue;
    const channel = Math.floor(row * scales.length / outFeatures),
      zeroPoint = zeroPoints[channel];
    let bound = 0;
    for (let k = row * inFeatures; k < (row + 1) * inFeatures; k++) {
      bound += Math.abs(data[k] - zeroPoint);
    }
    const scale = Math.fround(from.scale * scales[channel]),
      out = to[place % to.length];
    const multiplier = out === null ? scale : linearMultiplier(engine, scale, out.scale);
    const value = bias === null ? 0 : bias[row];
    projection.bias[place] = value;
    projection.scale[place] = scale;
    projection.multiplier[place] = multiplier;
    projection.term[place] = plainBiasTerm(
      engine,
      weight.perChannel || out === null,
      value,
      scale,
      bound * inputBound,
      multiplier,
    );
  }
  return projection;
}

/** Parameters of the twelve parts of a cell; `igates`, `hgates` and `gates` by gate. null is "not quantized". */
export interface CellParameters {
  readonly igates: readonly (Affine | null)[];
  readonly hgates: readonly (Affine | null)[];
  readonly gates: readonly Affine[];
  readonly input_gate: Affine;
  readonly forget_gate: Affine;
  readonly cell_gate: Affine;
  readonly output_gate: Affine;
  readonly fgate_cx: Affine;
  readonly igate_cgate: Affine;
  readonly fgate_cx_igate_cgate: Affine;
  readonly tanh_cy: Affine;
  readonly ogate_cy: Affine;
}

/**
 * Makes a cell ready to run.
 *
 * @param input Parameters of the input, or null if projected inputs will be given.
 * @param stateBound Largest magnitude of a hidden state less its zero point, a given initial one included.
 * @throws {RangeError} If qnnpack's fixed-point addition cannot take the scales, as torch throws.
 */
export function prepareCell(
  engine: Engine,
  weightIh: LinearWeight,
  weightHh: LinearWeight,
  biasIh: Float32Array | null,
  parts: CellParameters,
  input: Affine | null,
  stateBound: number,
): LstmCell {
  const hiddenSize = weightHh.outFeatures / 4, order = gateOrder(hiddenSize);
  const constants = new Float64Array(CELL_CONSTANTS);
  const eightBit = (q: Affine | null): boolean => q !== null && q.quantMin === 0 && q.quantMax === 255;
  const fixedPoint = engine === "qnnpack" &&
    [
      ...parts.igates,
      ...parts.hgates,
      ...parts.gates,
      parts.fgate_cx,
      parts.igate_cgate,
      parts.fgate_cx_igate_cgate,
    ].every(eightBit);
  const fixed = (
    name: string,
    a: Affine,
    b: Affine,
    to: Affine,
    at: number,
  ): void => {
    const add = prepareFixedPointAdd(a.scale, b.scale, to.scale);
    if (add === null) {
      throw new RangeError(
        `${name}: expected scales within 2^-14..2^8 of the output's for qnnpack's addition, got ${a.scale} and ${b.scale} for ${to.scale}`,
      );
    }
    constants[at] = add.multiplierA;
    constants[at + 1] = add.multiplierB;
    constants[at + 2] = add.shift;
  };
  for (let gate = 0; gate < 4; gate++) {
    const at = gate * 8,
      a = parts.igates[gate],
      b = parts.hgates[gate],
      to = parts.gates[gate];
    constants[at + K.INPUT_SCALE] = a?.scale ?? 1;
    constants[at + K.HIDDEN_SCALE] = b?.scale ?? 1;
    constants[at + K.GATE_INVERSE] = reciprocal(to.scale);
    constants[at + K.GATE_LO] = to.quantMin - to.zeroPoint;
    constants[at + K.GATE_HI] = to.quantMax - to.zeroPoint;
    if (fixedPoint) fixed("gates", a!, b!, to, at + K.FIXED_A);
  }
  const {
    fgate_cx: forget,
    igate_cgate: candidate,
    fgate_cx_igate_cgate: cell,
    ogate_cy: hidden,
  } = parts;
  constants[K.FORGET_LO] = forget.quantMin - forget.zeroPoint;
  constants[K.FORGET_HI] = forget.quantMax - forget.zeroPoint;
  constants[K.FORGET_SCALE] = forget.scale;
  constants[K.CANDIDATE_MULTIPLIER] = mulMultiplier(
    parts.input_gate.scale,
    parts.cell_gate.scale,
    candidate.scale,
  );
  constants[K.CANDIDATE_LO] = candidate.quantMin - candidate.zeroPoint;
  constants[K.CANDIDATE_HI] = candidate.quantMax - candidate.zeroPoint;
  constants[K.CANDIDATE_SCALE] = candidate.scale;
  constants[K.CELL_INVERSE] = reciprocal(cell.scale);
  constants[K.CELL_LO] = cell.quantMin - cell.zeroPoint;
  constants[K.CELL_HI] = cell.quantMax - cell.zeroPoint;
  if (fixedPoint) {
    fixed("fgate_cx_igate_cgate", forget, candidate, cell, K.CELL_FIXED_A);
  }
  constants[K.HIDDEN_MULTIPLIER] = mulMultiplier(
    parts.output_gate.scale,
    parts.tanh_cy.scale,
    hidden.scale,
  );
  constants[K.HIDDEN_LO] = hidden.quantMin - hidden.zeroPoint;
  constants[K.HIDDEN_HI] = hidden.quantMax - hidden.zeroPoint;
  return {
    hiddenSize,
    inputRows: input === null ? null : packRows(weightIh, order, integerBound(input)),
    inputProjection: input === null ? null : prepareProjection(engine, weightIh, biasIh, order, input, parts.igates),
    hiddenRows: packRows(weightHh, order, stateBound),
    constants,
    fixedPoint,
    tables: [
      activationTable(engine, "sigmoid", parts.gates[0], parts.input_gate),
      activationTable(engine, "sigmoid", parts.gates[1], parts.forget_gate),
      activationTable(engine, "tanh", parts.gates[2], parts.cell_gate),
      activationTable(engine, "sigmoid", parts.gates[3], parts.output_gate),
      activationTable(engine, "tanh", cell, parts.tanh_cy),
    ],
  };
}

/** How a state with the given parameters enters a step. */
export function bindState(
  engine: Engine,
  weightHh: LinearWeight,
  biasHh: Float32Array | null,
  parts: CellParameters,
  hidden: Affine,
  cell: Affine,
): StateBinding {
  const order = gateOrder(weightHh.outFeatures / 4);
  return {
    hiddenProjection: prepareProjection(
      engine,
      weightHh,
      biasHh,
      order,
      hidden,
      parts.hgates,
    ),
    forgetMultiplier: mulMultiplier(
      parts.forget_gate.scale,
      cell.scale,
      parts.fgate_cx.scale,
    ),
  };
}
