/**
 * A model under construction from layers: modules by name, and what is known about each value.
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
  /** The module that computes it, or `input`. */
  readonly name: string;
  /** Dimensions after the batch: steps and values, or values alone; null for unknown ones. */
  readonly dims: readonly (number | null)[];
  /**
   * Set if a row holds two directions side by side while the layer's output is
   * `halves[0] * forward + halves[1] * backward`.
   */
  readonly halves?: readonly [number, number];
  /** Whether it is the model's input after its mask. */
  readonly masked?: boolean;
}

/** Steps that the file's model masks. */
export interface FileMask {
  /** The layer that says so, for messages. */
  readonly layer: string;
  /** What it says. */
  readonly what: string;
  /** What a masked step holds and nothing else. */
  readonly value: unknown;
  /** Whether it masks steps of the model's input, and not of what a layer gives. */
  readonly ofInput: boolean;
}

/** Collects modules and notes. */
export class Builder {
  /** Modules by name, with their inputs. */
  readonly children: Record<string, GraphChild> = Object.create(null);
  /** Notes about the model. */
  readonly notes: string[] = [];
  /** The masks of the file's model. */
  readonly masks: FileMask[] = [];
  /** Layers that a mask changes the result of. */
  readonly maskReaders: string[] = [];
  /** Layers that mix steps whether these are masked or not. */
  readonly maskIgnorers: string[] = [];
  /** Modules that read the model's input beside its mask. */
  readonly besideMask: string[] = [];

  /** Adds a module with these tensors. */
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
    if (reads.some(({ name, masked }) => name === INPUT && !masked)) this.besideMask.push(own);
    if (tensors !== undefined) module.loadStateDict(new Map(Object.entries(tensors)));
    this.children[own] = { module, inputs: reads.map((read) => read.name) };
    return { name: own, dims };
  }

  /** A value whose rows are the layer's output: two directions are combined. */
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

/** Requires a known row width. */
export function sizeOf(layer: string, { dims }: Flow): number {
  return dims.at(-1) ?? failRange(layer, "an input whose last dimension is known", dims);
}

/** Dimensions with another row width. */
export function withSize({ dims }: Flow, size: number): (number | null)[] {
  return [...dims.slice(0, -1), size];
}
