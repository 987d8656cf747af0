/**
 * The edges of a model's graph: names of modules, the names that each of them reads, and the
 * outputs.
 *
 * @module
 */
import { failRange } from "./errors.ts";
import type { Mask } from "./mask.ts";

/** The name under which the model's input is read. */
export const INPUT = "input";

/**
 * The edges of a graph. Modules come after what they read.
 *
 * @example
 * ```ts
 * import { Linear, quantize, Sequential, Tanh } from "@splitgate/splitgate";
 * import type { Topology } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const out = new Linear({ inFeatures: 1, outFeatures: 1 });
 * const chain = new Sequential({ out, tanh: new Tanh() });
 * const { model } = await quantize(chain, [Float32Array.of(0.5, 1)]);
 * const { inputs, outputs }: Topology = model.topology;
 * assertEquals([inputs.get("tanh"), [...outputs.values()]], [["out"], ["tanh"]]);
 * ```
 */
export interface Topology {
  /**
   * For each module, in the order in which they run, what it reads: modules, or {@linkcode INPUT}.
   * The order depends on the edges and on the order of the outputs only, not on the order in which
   * modules were given.
   */
  readonly inputs: ReadonlyMap<string, readonly string[]>;
  /** Names of the model's outputs, and the module that gives each. */
  readonly outputs: ReadonlyMap<string, string>;
  /** Steps that whoever runs the model leaves out; absent for none. */
  readonly mask?: Mask;
}

/** Modules one after the other. */
export function chainOf(names: Iterable<string>): Topology {
  const inputs = new Map<string, readonly string[]>();
  let last = INPUT;
  for (const name of names) {
    inputs.set(name, [last]);
    last = name;
  }
  return { inputs, outputs: new Map([[last, last]]) };
}

/** Outputs named after the modules that give them. */
export function outputsOf(names: Iterable<string>): [name: string, module: string][] {
  return Array.from(names, (name) => [name, name]);
}

/**
 * For each value, {@linkcode INPUT} among them, the modules that read it; a module that reads it
 * twice is listed twice.
 */
export function readersOf({ inputs }: Topology): ReadonlyMap<string, readonly string[]> {
  const readers = new Map<string, string[]>();
  for (const [reader, reads] of inputs) {
    for (const read of reads) {
      const known = readers.get(read);
      if (known === undefined) readers.set(read, [reader]);
      else known.push(reader);
    }
  }
  return readers;
}

/**
 * The values that exactly one module reads, once, and that are no output of the model, with their
 * readers.
 */
export function loneReaders(topology: Topology): ReadonlyMap<string, string> {
  const given = new Set(topology.outputs.values());
  const lone = new Map<string, string>();
  for (const [name, [reader, ...others]] of readersOf(topology)) {
    if (others.length === 0 && !given.has(name)) lone.set(name, reader!);
  }
  return lone;
}

/**
 * Checks names and sorts modules topologically. The order does not depend on the order in which
 * modules are given, nor on their names.
 *
 * @param label What messages call the modules.
 * @param given Names, and what each reads, in any order.
 * @param outputs Each output's name, and the module that gives it.
 * @param dotted Whether names may have dots, as modules of nested models have.
 * @throws {RangeError} If a name is empty, has a dot, is taken or unknown, a module reads itself by
 * any way, or nobody reads it: the message names it.
 */
export function orderedTopology(
  label: string,
  given: Iterable<readonly [name: string, inputs: readonly string[]]>,
  outputs: readonly (readonly [name: string, module: string])[],
  dotted = false,
): Topology {
  const all = new Map<string, readonly string[]>();
  for (const [name, reads] of given) {
    if (name === "" || name === INPUT || (!dotted && name.includes("."))) {
      failRange(label, `names that are not empty, have no dot and are not "${INPUT}"`, name);
    }
    if (all.has(name)) failRange(`${label}.${name}`, "a name of its own", "a second module of it");
    if (reads.length === 0) failRange(`${label}.${name}`, "one input or more", "none");
    all.set(name, reads);
  }
  if (all.size === 0) failRange(label, "at least one module", "none");
  if (outputs.length === 0) failRange("outputs", "the name of at least one module", "none");
  const named = new Map<string, string>();
  for (const [name, module] of outputs) {
    if (!all.has(module)) failRange("outputs", `names of ${[...all.keys()].join(", ")}`, module);
    if (named.has(name)) failRange("outputs", "each name once", name);
    named.set(name, module);
  }
  const inputs = new Map<string, readonly string[]>();
  // Modules whose inputs are being added, and how many of them are; no recursion, which a long file
  // could exhaust.
  const open = new Map<string, number>();
  const stack: string[] = [];
  // Starting at the outputs, so that the order does not depend on how the modules were given.
  for (const first of [...named.values(), ...all.keys()]) {
    if (inputs.has(first)) continue;
    open.set(first, 0);
    stack.push(first);
    while (stack.length > 0) {
      const name = stack[stack.length - 1]!;
      const reads = all.get(name)!;
      const next = open.get(name)!;
      if (next === reads.length) {
        open.delete(name);
        inputs.set(name, reads);
        stack.pop();
        continue;
      }
      open.set(name, next + 1);
      const read = reads[next]!;
      if (read === INPUT || inputs.has(read)) continue;
      if (!all.has(read)) {
        const names = [...all.keys()].join(", ");
        failRange(`${label}.${name}`, `inputs of ${INPUT}, ${names}`, read);
      }
      if (open.has(read)) {
        const circle = stack.slice(stack.indexOf(read)).reverse().join(", ");
        failRange(`${label}.${read}`, "no circle of inputs", `one by way of ${circle}`);
      }
      open.set(read, 0);
      stack.push(read);
    }
  }
  const topology = { inputs, outputs: named };
  const used = new Set([...readersOf(topology).keys(), ...named.values()]);
  for (const name of all.keys()) {
    if (!used.has(name)) {
      failRange(`${label}.${name}`, "a module that is read, or an output", "neither");
    }
  }
  return topology;
}
