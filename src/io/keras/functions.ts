/**
 * Keras' activation functions, by their names in configs.
 *
 * @module
 */
import type { CellActivation, GateActivation } from "../../../kernels/float/lstm.ts";
import { failRange } from "../../core/errors.ts";
import { HardSigmoid } from "../../modules/hard_sigmoid/float.ts";
import { LeakyReLU } from "../../modules/leaky_relu/float.ts";
import { LogSoftmax } from "../../modules/log_softmax/float.ts";
import type { Module } from "../../modules/module.ts";
import { ReLU } from "../../modules/relu/float.ts";
import { Sigmoid } from "../../modules/sigmoid/float.ts";
import { Softmax } from "../../modules/softmax/float.ts";
import { Tanh } from "../../modules/tanh/float.ts";
import { fieldOf } from "./config.ts";

/** clip(0.2 x + 0.5, 0, 1), as before Keras 3. */
const KERAS_2_HARD_SIGMOID = { slope: 0.2, offset: 0.5 };

/** Negative slope of the function leaky_relu. */
const LEAKY_RELU_SLOPE = 0.2;

/** Whether a file is of Keras 3 or later, which changed hard_sigmoid. */
export function isKeras3(version: string): boolean {
  return Number(/^\d+/.exec(version)?.[0]) >= 3;
}

const MODULES: Readonly<Record<string, (version: string) => Module | null>> = {
  linear: () => null,
  relu: () => new ReLU(),
  sigmoid: () => new Sigmoid(),
  tanh: () => new Tanh(),
  softmax: () => new Softmax(),
  log_softmax: () => new LogSoftmax(),
  leaky_relu: () => new LeakyReLU({ negativeSlope: LEAKY_RELU_SLOPE }),
  hard_sigmoid: (version) => new HardSigmoid(isKeras3(version) ? {} : KERAS_2_HARD_SIGMOID),
};

/** The name of a function in a config: a string, or a serialized object. */
function nameOf(value: unknown): unknown {
  const inner = fieldOf(value, "config");
  return typeof inner === "string" ? inner : fieldOf(value, "class_name") ?? value;
}

/** The module of an activation; null for linear. */
export function activationModule(at: string, value: unknown, version: string): Module | null {
  const name = nameOf(value ?? "linear");
  if (typeof name !== "string" || !Object.hasOwn(MODULES, name)) {
    return failRange(at, `one of ${Object.keys(MODULES).join(", ")}`, name);
  }
  return MODULES[name]!(version);
}

/** Name of an activation. */
export function activationName(value: unknown): string {
  return `${nameOf(value ?? "linear")}`;
}

/** The function of gates, from recurrent_activation. */
export function gateActivation(at: string, value: unknown, version: string): GateActivation {
  const name = nameOf(value);
  if (name === "sigmoid") return "sigmoid";
  if (name !== "hard_sigmoid") return failRange(at, "sigmoid or hard_sigmoid", name);
  return isKeras3(version) ? "hardSigmoid" : { name: "hardSigmoid", ...KERAS_2_HARD_SIGMOID };
}

const CELL_ACTIVATIONS: readonly unknown[] = ["tanh", "relu", "sigmoid", "linear"];

/** The function of a cell, from activation. */
export function cellActivation(at: string, value: unknown): CellActivation {
  const name = nameOf(value ?? "linear");
  if (CELL_ACTIVATIONS.includes(name)) return name as CellActivation;
  return failRange(at, CELL_ACTIVATIONS.join(", "), name);
}
