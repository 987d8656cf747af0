/**
 * Weights of Keras' layers, by their names in files.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";

/**
 * A weight of a layer.
 *
 * @example
 * ```ts
 * import { type KerasWeight, readKeras } from "@splitgate/splitgate/import/keras";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/keras-made/lstm.keras");
 * const [kernel]: readonly KerasWeight[] = readKeras(bytes).weights.get("dense")!;
 * assertEquals(kernel!.dtype, "<f4");
 * console.log(kernel!.name, kernel!.shape);
 * ```
 */
export interface KerasWeight extends Tensor {
  /** Its name in the file: `lstm/kernel:0`, `cell/vars/0`. */
  readonly name: string;
  /** Its dtype in the file, such as `<f4` or `uint8`. */
  readonly dtype: string;
}

/**
 * Weights of each layer by the layer's name, in Keras' order.
 *
 * @example
 * ```ts
 * import { type KerasWeights, readKeras } from "@splitgate/splitgate/import/keras";
 * import { assert } from "@std/assert";
 * const bytes = await Deno.readFile("tests/models/keras-made/lstm.keras");
 * const weights: KerasWeights = readKeras(bytes).weights;
 * assert(weights.has("lstm") && weights.has("dense")); // by the layers' names
 * ```
 */
export type KerasWeights = ReadonlyMap<string, readonly KerasWeight[]>;

/**
 * A file of Keras or TensorFlow.js.
 *
 * @example
 * ```ts
 * import { type KerasFile, readKeras } from "@splitgate/splitgate/import/keras";
 * const bytes = await Deno.readFile("tests/models/keras-made/lstm.keras");
 * const { version, config, weights }: KerasFile = readKeras(bytes);
 * console.log(`Keras ${version}, ${weights.size} layers with weights`, config);
 * ```
 */
export interface KerasFile {
  /** The version that wrote it, for instance `2.2.4-tf`; empty if unknown. */
  readonly version: string;
  /** The model's config as parsed JSON; null in a weights file. */
  readonly config: unknown;
  /** Weights by layer. */
  readonly weights: KerasWeights;
}

/** Name of a weight within its layer: `kernel`, or its number. */
export function roleOf({ name }: KerasWeight): string {
  return name.slice(name.lastIndexOf("/") + 1).replace(/:\d+$/, "");
}

/**
 * A layer's weights for these roles: by name, or by order if they are only numbered or have Keras
 * 1's names.
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
