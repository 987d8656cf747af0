/**
 * Who reads whom in a model: names of modules, the names that each of them reads, and what comes out.
 *
 * @module
 */
import { failRange } from "./errors.ts";

/** The name under which the model's input is read. */
export const INPUT = "input";

/** Who reads whom. Modules stand behind what they read. */
export interface Topology {
  /** For each module, in the order in which they run, what it reads: modules, or {@linkcode INPUT}. */
  readonly inputs: ReadonlyMap<string, readonly string[]>;
  /** The modules whose outputs the model gives. */
  readonly outputs: readonly string[];
}

/** Modules one after the other. */
export function chainOf(names: Iterable<string>): Topology {
  const inputs = new Map<string, readonly string[]>();
  let last = INPUT;
  for (const name of names) {
    inputs.set(name, [last]);
    last = name;
  }
  return { inputs, outputs: [last] };
}

/** Whether every module reads the one before it, and the last one is what comes out. */
export function isChain({ inputs, outputs }: Topology): boolean {
  const chain = chainOf(inputs.keys());
  const same = (a: readonly string[], b: readonly string[]) => a.join("\n") === b.join("\n");
  return same(outputs, chain.outputs) &&
    [...inputs].every(([name, reads]) => same(reads, chain.inputs.get(name)!));
}

/** For each value, {@linkcode INPUT} among them, the modules that read it: twice those that read it twice. */
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

/** The values that one module reads, once, and that are no output of the model, and their readers. */
export function loneReaders(topology: Topology): ReadonlyMap<string, string> {
  const lone = [...readersOf(topology)].filter(([name, readers]) =>
    readers.length === 1 && !topology.outputs.includes(name)
  );
  return new Map(lone.map(([name, [reader]]) => [name, reader!]));
}

/**
 * Checks names and puts modules behind what they read.
 *
 * @param label What messages call the modules.
 * @param given Names, and what each reads, in any order.
 * @param outputs What comes out.
 * @param dotted Whether names may have dots, as those of modules of models in models.
 * @throws {RangeError} If a name is empty, has a dot, is taken or unknown, a module reads itself by any way, or nobody
 * reads it: the message names it.
 */
export function orderedTopology(
  label: string,
  given: Iterable<readonly [name: string, inputs: readonly string[]]>,
  outputs: readonly string[],
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
  const inputs = new Map<string, readonly string[]>();
  // Modules whose inputs are being added, and how many of them are; no recursion, which a long file could exhaust.
  const open = new Map<string, number>();
  const stack: string[] = [];
  for (const first of all.keys()) {
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
        const circle = stack.join(", ");
        failRange(`${label}.${read}`, "no circle of inputs", `one by way of ${circle}`);
      }
      open.set(read, 0);
      stack.push(read);
    }
  }
  for (const name of outputs) {
    if (!all.has(name)) failRange("outputs", `names of ${[...all.keys()].join(", ")}`, name);
  }
  if (new Set(outputs).size < outputs.length) {
    failRange("outputs", "each module once", outputs.join(", "));
  }
  const topology = { inputs, outputs: [...outputs] };
  const readers = readersOf(topology);
  for (const name of all.keys()) {
    if (!outputs.includes(name) && !readers.has(name)) {
      failRange(`${label}.${name}`, "a module that is read, or an output", "neither");
    }
  }
  if (!readers.has(INPUT)) {
    failRange(label, `a module that reads "${INPUT}"`, "none");
  }
  return topology;
}
