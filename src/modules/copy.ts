/**
 * Copies of float modules, and of weights.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { copyArray } from "../../kernels/numeric/typed_array.ts";
import { isObject } from "../core/errors.ts";
import type { Module } from "./module.ts";

/** A module of the same sizes, given the weights and biases of another. */
export function copyOf<T extends Module>(from: T, to: T): T {
  to.loadStateDict(from.stateDict());
  return to;
}

/** A weight over arrays of its own. */
export function copyWeight<W extends LinearWeight | null>(weight: W): W {
  if (!isObject(weight)) return weight;
  const { data, scales, zeroPoints } = weight;
  return {
    ...weight,
    data: copyArray(data),
    scales: copyArray(scales),
    zeroPoints: copyArray(zeroPoints),
  };
}
