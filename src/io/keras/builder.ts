/**
 * A model that is being made of layers: modules by name, and what is known of each value.
 *
 * @module
 */
import { failRange } from "../../core/errors.ts";
import { INPUT } from "../../core/topology.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { GraphChild } from "../../modules/graph.ts";
import { Linear } from "../../modules/linear/float.ts";
import type { Module } from "../../modules/module.ts";

/** A value between layers. */
export interface Flow {
  /** The module that gives it, or `input`. */
  readonly name: string;
  /**
   * Dimensions behind the batch: steps and values, or values alone; null where they are not known.
   */
  readonly dims: readonly (number | null)[];
  /**
   * Set where a row holds the values of two directions side by side, of which the layer gives
   * `halves[0] * forward + halves[1] * backward`.
   */
  readonly halves?: readonly [number, number];
}

/** Where modules and remarks are gathered. */
export class Builder {
  /** Modules by name, with what they read. */
  readonly children: Record<string, GraphChild> = Object.create(null);
  /** What is to be known of the model. */
  readonly notes: string[] = [];
  /** What a step of the model's input holds that is skipped; null where none is. */
  skipped: number | null = null;

  /** Adds a module, whose tensors are replaced by these. */
  add(
    name: string,
    module: Module,
    reads: readonly Flow[],
    dims: readonly (number | null)[],
    tensors?: Readonly<Record<string, Tensor>>,
  ): Flow {
    // Names of layers can have slashes and dots; names of modules cannot have dots.
    const clean = name.replace(/[./]/g, "_");
    let own = clean === INPUT || clean === "" ? `${clean}_` : clean;
    while (own in this.children) own += "_";
    if (tensors !== undefined) module.loadStateDict(new Map(Object.entries(tensors)));
    this.children[own] = { module, inputs: reads.map((read) => read.name) };
    return { name: own, dims };
  }

  /** A value whose rows are what the layer gives: two directions are added up. */
  plain(flow: Flow): Flow {
    const { halves, dims } = flow;
    if (halves === undefined) return flow;
    const size = dims.at(-1)!;
    const weight = new Float32Array(2 * size * size);
    for (let i = 0; i < size; i++) {
      weight[i * 2 * size + i] = halves[0];
      weight[i * 2 * size + size + i] = halves[1];
    }
    const linear = new Linear({ inFeatures: 2 * size, outFeatures: size, bias: false });
    return this.add(`${flow.name}_sum`, linear, [flow], dims, {
      weight: { data: weight, shape: [size, 2 * size] },
    });
  }
}

/** The number of values of a row, which must be known. */
export function sizeOf(layer: string, { dims }: Flow): number {
  return dims.at(-1) ?? failRange(layer, "an input whose last dimension is known", dims);
}

/** Dimensions with another number of values a row. */
export function withSize({ dims }: Flow, size: number): (number | null)[] {
  return [...dims.slice(0, -1), size];
}
