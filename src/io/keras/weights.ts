/**
 * Weights of Keras' layers, as its files name them.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";

/** A weight of a layer. */
export interface KerasWeight extends Tensor {
  /** As the file names it: `lstm/kernel:0`, `cell/vars/0`. */
  readonly name: string;
  /** As the file holds it, such as `<f4` or `uint8`. */
  readonly dtype: string;
}

/** Weights of each layer by the layer's name, in Keras' order. */
export type KerasWeights = ReadonlyMap<string, readonly KerasWeight[]>;

/** A file that Keras or TensorFlow.js wrote. */
export interface KerasFile {
  /** Who wrote it, for instance `2.2.4-tf`; empty where the file does not say it. */
  readonly version: string;
  /** The model's config, parsed JSON; null where the file holds weights only. */
  readonly config: unknown;
  /** Weights by layer. */
  readonly weights: KerasWeights;
}

/** What a weight is called within its layer: `kernel`, or its number. */
export function roleOf({ name }: KerasWeight): string {
  return name.slice(name.lastIndexOf("/") + 1).replace(/:\d+$/, "");
}

/**
 * The weights of a layer that play these roles: by their names, or by their order where they have
 * only numbers, or those of Keras 1.
 *
 * @throws {RangeError} If one is missing.
 */
export function weightsFor(
  layer: string,
  weights: readonly KerasWeight[],
  roles: readonly string[],
): KerasWeight[] {
  const named = new Map(weights.map((weight) => [roleOf(weight), weight]));
  const byName = roles.every((role) => named.has(role));
  return roles.map((role, i) => {
    const weight = byName ? named.get(role) : weights[i];
    if (weight === undefined || weights.length < roles.length) {
      const expected = `${roles.join(", ")}, which the file holds for this layer`;
      return failRange(layer, expected, weights.map(({ name }) => name));
    }
    return weight;
  });
}
