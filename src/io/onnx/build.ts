/**
 * From the parts of a model that the importer has found to modules. Stacked recurrent layers are
 * joined.
 *
 * @module
 */
import { INPUT } from "../../core/topology.ts";
import { Graph, type GraphChild } from "../../modules/graph.ts";
import type { Module } from "../../modules/module.ts";
import { GRU } from "../../modules/gru/float.ts";
import { LSTM } from "../../modules/lstm/float.ts";
import { Linear } from "../../modules/linear/float.ts";
import type { Initial, LinearPart, Part, RecurrentPart } from "./values.ts";

/** Some parts and all that they depend on, in the order in which they run. */
function reachable(outputs: readonly Part[]): Part[] {
  const done = new Set<Part>();
  const stack = outputs.map((part) => ({ part, next: 0 })).reverse();
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const read = top.part.reads[top.next++];
    if (read !== undefined) {
      if (read !== null && !done.has(read)) stack.push({ part: read, next: 0 });
      continue;
    }
    done.add(top.part);
    stack.pop();
  }
  return [...done];
}

/** Whether initial states are consecutive rows of one input, or both zero. */
function continues(below: readonly Initial[], above: Initial): boolean {
  const last = below[below.length - 1]!;
  if (last === null || above === null) return last === above;
  return last.kind === "initial" && above.kind === "initial" && last.input === above.input &&
    last.rows[last.rows.length - 1]! + 1 === above.rows[0];
}

/** Joins two layers into one module; null if their forms differ. */
function joined(below: RecurrentPart, above: RecurrentPart): RecurrentPart | null {
  const { kind, hiddenSize, bidirectional, options, initial } = below;
  const [first, second] = [below, above].map(({ cells, options }) =>
    JSON.stringify([options, cells[0]!.map(({ biasIh }) => biasIh === null)])
  );
  const equal = kind === above.kind && hiddenSize === above.hiddenSize &&
    bidirectional === above.bidirectional && first === second &&
    continues(initial.h, above.initial.h[0]!) &&
    (kind !== "LSTM" || continues(initial.c, above.initial.c[0]!));
  return !equal ? null : {
    kind,
    inputSize: below.inputSize,
    hiddenSize,
    bidirectional,
    options,
    cells: [...below.cells, ...above.cells],
    initial: {
      h: [...initial.h, ...above.initial.h],
      c: [...initial.c, ...above.initial.c],
    },
  };
}

/** The part and layer that a recurrent part has become. */
export type Layers = ReadonlyMap<Part, { readonly part: Part; readonly layer: number }>;

/** Joins layers that are read only by the next one; returns the new part and layer of each. */
export function joinLayers(outputs: readonly Part[]): Layers {
  const parts = reachable(outputs);
  const readers = new Map<Part, Part[]>();
  for (const part of parts) {
    for (const read of part.reads) {
      if (read !== null) readers.set(read, [...readers.get(read) ?? [], part]);
    }
  }
  const layers = new Map<Part, { part: Part; layer: number }>();
  for (const part of parts) {
    if (part.recurrent === undefined) continue;
    layers.set(part, { part, layer: 0 });
    const [below] = part.reads;
    if (!below?.recurrent || readers.get(below)!.length > 1 || outputs.includes(below)) continue;
    const both = joined(below.recurrent, part.recurrent);
    if (both === null) continue;
    const height = below.recurrent.cells.length;
    for (const [each, where] of layers) {
      if (where.part === below) layers.set(each, { part, layer: where.layer });
    }
    layers.set(part, { part, layer: height });
    part.name = below.name;
    part.recurrent = both;
    part.reads = below.reads;
  }
  return layers;
}

function makeRecurrent(part: RecurrentPart, batchFirst: boolean): Module {
  const { kind, inputSize, hiddenSize, bidirectional, options, cells } = part;
  const sizes = {
    inputSize,
    hiddenSize,
    numLayers: cells.length,
    bias: cells[0]![0]!.biasIh !== null,
    bidirectional,
    batchFirst,
    ...options,
  };
  const module = kind === "GRU" ? new GRU(sizes) : new LSTM(sizes);
  module.cells.forEach((layer, l) =>
    layer.forEach((cell, d) => {
      const given = cells[l]![d]!;
      cell.weightIh.set(given.weightIh);
      cell.weightHh.set(given.weightHh);
      cell.biasIh?.set(given.biasIh!);
      cell.biasHh?.set(given.biasHh!);
    })
  );
  return module;
}

function makeLinear({ inFeatures, outFeatures, weight, bias }: LinearPart): Module {
  const linear = new Linear({ inFeatures, outFeatures, bias: bias !== null });
  linear.weight.set(weight);
  if (bias !== null) linear.bias!.set(bias);
  return linear;
}

/** A model, and the names of its parts. */
export interface Built {
  readonly model: Graph;
  readonly names: ReadonlyMap<Part, string>;
}

/** Makes the modules that outputs need. */
export function build(outputs: readonly Part[], batchFirst: boolean): Built {
  const names = new Map<Part, string>();
  const taken = new Set<string>([INPUT]);
  const children: Record<string, GraphChild> = {};
  for (const part of reachable(outputs)) {
    // Keys of digits only would move to the front of an object.
    const plain = part.name.replace(/[^\w-]+/g, "_").replace(/^(?=\d|$|__proto__$)/, "_");
    let name = plain;
    for (let i = 1; taken.has(name); i++) name = `${plain}_${i}`;
    taken.add(name);
    names.set(part, name);
    const module = part.recurrent
      ? makeRecurrent(part.recurrent, batchFirst)
      : part.linear
      ? makeLinear(part.linear)
      : part.make!(batchFirst);
    const inputs = part.reads.map((read) => read === null ? INPUT : names.get(read)!);
    children[name] = { module, inputs };
  }
  const given = [...new Set(outputs)].map((part) => names.get(part)!);
  return { model: new Graph(children, { outputs: given }), names };
}
