/**
 * The activation functions of a recurrent cell: their names, and checks of them.
 *
 * @module
 */
import { GRU_CONVENTIONS, type GRUConventions } from "../../kernels/float/gru.ts";
import {
  type CellActivation,
  type CellFunctions,
  type GateActivation,
  LSTM_FUNCTIONS,
} from "../../kernels/float/lstm.ts";
import { checkFloat32, checkOptions } from "../core/check.ts";
import { checkBoolean, failRange, failType, isObject } from "../core/errors.ts";

/**
 * Name of a function's operation: as in torch.nn.functional, or `"identity"`.
 *
 * @example
 * ```ts
 * import { getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference, type FunctionOp } from "@splitgate/splitgate/reference";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 1, hiddenSize: 3 }), getPreset("fbgemm"));
 * const x = tensor([0.5, 1, 0, 0], [2, 2, 1]); // [steps, batch, features]
 * observed.forward(x);
 * const functions: readonly FunctionOp[] = ["sigmoid", "tanh", "relu", "hardsigmoid", "identity"];
 * const { nodes } = convertToReference(observed);
 * const used = nodes.filter(({ op }) => functions.some((each) => each === op));
 * assertEquals(used.length, 5); // three gates, the candidate and the tanh of the cell state
 * ```
 */
export type FunctionOp = "sigmoid" | "tanh" | "relu" | "hardsigmoid" | "identity";

/** The functions that cells can have, by name. */
const OPS: Readonly<Record<string, FunctionOp>> = {
  sigmoid: "sigmoid",
  tanh: "tanh",
  relu: "relu",
  hardSigmoid: "hardsigmoid",
  linear: "identity",
};

/** The operations of functions. */
export const FUNCTION_OPS: readonly FunctionOp[] = Object.values(OPS);

/** The name of a function's operation. */
export function functionOp(activation: GateActivation | CellActivation): FunctionOp {
  return OPS[typeof activation === "string" ? activation : activation.name]!;
}

/** Names of the options for a cell's functions. */
export const FUNCTION_OPTIONS = ["gateActivation", "activation", "cellActivation"] as const;

/** The options of a cell's functions that differ from the defaults, as files store them. */
export function functionOptions(functions: CellFunctions): Partial<CellFunctions> {
  const { gateActivation, activation, cellActivation } = functions;
  return {
    ...gateActivation !== LSTM_FUNCTIONS.gateActivation && { gateActivation },
    ...activation !== LSTM_FUNCTIONS.activation && { activation },
    ...cellActivation !== activation && { cellActivation },
  };
}

/** The function fields of an LSTM, without its others. */
export function functionsOf(functions: CellFunctions): CellFunctions {
  const { gateActivation, activation, cellActivation } = functions;
  return { gateActivation, activation, cellActivation };
}

/** Whether a cell has torch.nn.LSTM's functions. */
export function hasLSTMFunctions(functions: CellFunctions): boolean {
  return FUNCTION_OPTIONS.every((key) => functions[key] === LSTM_FUNCTIONS[key]);
}

/** Requires a slope that makes the function neither falling nor constant. */
function checkSlope(name: string, value: unknown): number {
  const slope = checkFloat32(name, value);
  return slope > 0 ? slope : failRange(name, "a positive float32 number", value);
}

const GATE_ACTIVATIONS = '"sigmoid", "hardSigmoid" or { name: "hardSigmoid", slope, offset }';

/** Requires a function of gates; slope and offset are rounded to float32. */
function checkGateActivation(name: string, value: unknown): GateActivation {
  if (value === "sigmoid" || value === "hardSigmoid") return value;
  if (!isObject(value)) {
    (typeof value === "string" ? failRange : failType)(name, GATE_ACTIVATIONS, value);
  }
  checkOptions(name, value, ["name", "slope", "offset"]);
  const { name: own, slope, offset } = value as Record<string, unknown>;
  if (own !== "hardSigmoid") {
    (typeof own === "string" ? failRange : failType)(`${name}.name`, '"hardSigmoid"', own);
  }
  return Object.freeze({
    name: "hardSigmoid",
    slope: checkSlope(`${name}.slope`, slope),
    offset: checkFloat32(`${name}.offset`, offset),
  });
}

const CELL_ACTIVATIONS: readonly unknown[] = ["tanh", "relu", "sigmoid", "linear"];

/** Requires a function of the cell gate or the cell state. */
function checkCellActivation(name: string, value: unknown): CellActivation {
  if (!CELL_ACTIVATIONS.includes(value)) {
    const fail = typeof value === "string" ? failRange : failType;
    fail(name, '"tanh", "relu", "sigmoid" or "linear"', value);
  }
  return value as CellActivation;
}

/**
 * Requires functions of a cell, torch.nn.LSTM's where none are given.
 *
 * @param prefix Before the options' names in messages.
 * @throws {TypeError | RangeError} If one is no function that a cell can have: the message lists
 * those.
 */
export function checkCellFunctions(
  options: { readonly [key in keyof CellFunctions]?: unknown },
  prefix: string = "",
): CellFunctions {
  const {
    gateActivation = LSTM_FUNCTIONS.gateActivation,
    activation = LSTM_FUNCTIONS.activation,
    cellActivation = activation,
  } = options;
  return {
    gateActivation: checkGateActivation(`${prefix}gateActivation`, gateActivation),
    activation: checkCellActivation(`${prefix}activation`, activation),
    cellActivation: checkCellActivation(`${prefix}cellActivation`, cellActivation),
  };
}

/** Names of the options for what a GRU's cells compute. */
export const GRU_OPTIONS = [
  "gateActivation",
  "activation",
  "resetAfter",
  "complementedUpdate",
] as const;

/** The convention fields of a GRU, without its others. */
export function conventionsOf(conventions: GRUConventions): GRUConventions {
  const { gateActivation, activation, resetAfter, complementedUpdate } = conventions;
  return { gateActivation, activation, resetAfter, complementedUpdate };
}

/** Those that differ from the defaults, as files store them. */
export function conventionOptions(conventions: GRUConventions): Partial<GRUConventions> {
  return Object.fromEntries(
    Object.entries(conventionsOf(conventions))
      .filter(([key, value]) => value !== GRU_CONVENTIONS[key as keyof GRUConventions]),
  );
}

/**
 * Requires what a GRU's cells can compute, torch.nn.GRU's where nothing is given.
 *
 * @param prefix Before the options' names in messages.
 * @throws {TypeError | RangeError} If a function is none that a cell can have, or a flag no
 * boolean.
 */
export function checkGRUConventions(
  options: { readonly [key in keyof GRUConventions]?: unknown },
  prefix: string = "",
): GRUConventions {
  const {
    gateActivation = GRU_CONVENTIONS.gateActivation,
    activation = GRU_CONVENTIONS.activation,
    resetAfter = GRU_CONVENTIONS.resetAfter,
    complementedUpdate = GRU_CONVENTIONS.complementedUpdate,
  } = options;
  return {
    gateActivation: checkGateActivation(`${prefix}gateActivation`, gateActivation),
    activation: checkCellActivation(`${prefix}activation`, activation),
    resetAfter: checkBoolean(`${prefix}resetAfter`, resetAfter),
    complementedUpdate: checkBoolean(`${prefix}complementedUpdate`, complementedUpdate),
  };
}
