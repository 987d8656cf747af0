import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { chainOf, INPUT, orderedTopology, type Topology } from "../../src/core/topology.ts";
import { generator } from "../../src/testing/random.ts";

/** Nodes with their inputs (earlier nodes or the input), and the outputs. */
interface Dag {
  readonly reads: readonly (readonly number[])[];
  readonly outputs: readonly number[];
}

/** Graphs in which every node is read or an output. */
const dags: fc.Arbitrary<Dag> = fc.record({
  picks: fc.array(fc.array(fc.nat(99), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 12,
  }),
  also: fc.array(fc.nat(99), { maxLength: 3 }),
}).map(({ picks, also }) => {
  const reads = picks.map((each, i) => each.map((pick) => pick % (i + 1) - 1));
  const read = new Set(reads.flat());
  const unread = reads.flatMap((_, i) => read.has(i) ? [] : [i]);
  return { reads, outputs: [...new Set([...unread, ...also.map((pick) => pick % reads.length)])] };
});

/** The numbers 0..count - 1 in an order that follows from a seed. */
function shuffled(count: number, seed: number): number[] {
  const random = generator(seed);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random(0, i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * A graph under names that follow from a seed, its nodes given in an order that follows from it
 * too.
 */
function topologyOf({ reads, outputs }: Dag, seed: number): Topology {
  const order = shuffled(reads.length, seed);
  const nameOf = (i: number) => i < 0 ? INPUT : `n${order.indexOf(i)}`;
  const given = order.map((i) => [nameOf(i), reads[i]!.map(nameOf)] as const);
  return orderedTopology("nodes", given, outputs.map((i) => [`o${i}`, nameOf(i)]));
}

/** Who reads whom by indices in the order in which they run, which no name takes part in. */
function shapeOf({ inputs, outputs }: Topology): unknown {
  const indices = new Map([INPUT, ...inputs.keys()].map((name, i) => [name, i]));
  return [
    [...inputs.values()].map((reads) => reads.map((name) => indices.get(name))),
    [...outputs.values()].map((name) => indices.get(name)),
  ];
}

Deno.test("orderedTopology() puts every module behind what it reads, and says the same of all names and orders", () => {
  fc.assert(
    fc.property(dags, fc.nat(), fc.nat(), (dag, seed, other) => {
      const topology = topologyOf(dag, seed);
      const seen = new Set([INPUT]);
      for (const [name, reads] of topology.inputs) {
        for (const read of reads) assert(seen.has(read), `${name} before ${read}`);
        seen.add(name);
      }
      assertEquals(seen.size, dag.reads.length + 1);
      const order = shuffled(dag.reads.length, seed);
      for (const [i, reads] of dag.reads.entries()) {
        const nameOf = (i: number) => i < 0 ? INPUT : `n${order.indexOf(i)}`;
        assertEquals(topology.inputs.get(nameOf(i)), reads.map(nameOf));
      }
      assertEquals([...topology.outputs.keys()], dag.outputs.map((i) => `o${i}`));
      assertEquals(shapeOf(topologyOf(dag, other)), shapeOf(topology));
    }),
    { numRuns: 300 },
  );
});

Deno.test("orderedTopology() of a chain is chainOf() its names, whatever order they are given in", () => {
  const chain = chainOf(["b", "a", "c"]);
  const given = [...chain.inputs].reverse();
  assertEquals(orderedTopology("nodes", given, [["c", "c"]]), chain);
  assertEquals([...orderedTopology("nodes", given, [["c", "c"]]).inputs.keys()], ["b", "a", "c"]);
});

Deno.test("orderedTopology() names what is wrong, and the module", () => {
  type Given = readonly (readonly [string, readonly string[]])[];
  const refused = (given: Given, outputs: [string, string][], message: string) =>
    assertThrows(() => orderedTopology("nodes", given, outputs), RangeError, message);
  const a = ["a", [INPUT]] as const;
  const out = (name: string): [string, string][] => [[name, name]];
  refused([], out("a"), 'nodes: expected at least one module, got "none"');
  refused([a], [], 'outputs: expected the name of at least one module, got "none"');
  refused([["", [INPUT]]], out(""), 'that are not empty, have no dot and are not "input", got ""');
  refused([["a.b", [INPUT]]], out("a.b"), 'got "a.b"');
  refused([[INPUT, ["a"]], a], out("a"), 'got "input"');
  refused([a, a], out("a"), "nodes.a: expected a name of its own, got");
  refused([["a", []]], out("a"), 'nodes.a: expected one input or more, got "none"');
  refused([a, ["b", ["a", "x"]]], out("b"), 'nodes.b: expected inputs of input, a, b, got "x"');
  refused([a], out("x"), 'outputs: expected names of a, got "x"');
  refused([a], out(INPUT), 'outputs: expected names of a, got "input"');
  refused([a], [["y", "a"], ["y", "a"]], 'outputs: expected each name once, got "y"');
  refused([a, ["b", [INPUT]]], out("b"), "nodes.a: expected a module that is read, or an output");
  refused(
    [a, ["b", ["c", INPUT]], ["c", ["d"]], ["d", ["b"]], ["e", ["b"]]],
    [["a", "a"], ["e", "e"]],
    'nodes.b: expected no circle of inputs, got "one by way of d, c, b"',
  );
  refused([["a", ["a"]]], out("a"), 'nodes.a: expected no circle of inputs, got "one by way of a"');
  // Nobody reads the input only where there is a circle.
  refused([["a", ["b"]], ["b", ["a"]]], out("a"), "no circle of inputs");
  // A circle that no output needs.
  refused([a, ["b", ["c"]], ["c", ["b"]]], out("a"), "no circle of inputs");
});

Deno.test("orderedTopology() takes 100,000 modules in little time, in any order, and circles of them", () => {
  const count = 100_000;
  const names = Array.from({ length: count }, (_, i) => `n${i}`);
  const chain = names.map((name, i) => [name, [i === 0 ? INPUT : names[i - 1]!]] as const);
  const star = names.map((name) => [name, [INPUT]] as const);
  const all = names.map((name): [string, string] => [name, name]);
  const last: [string, string][] = [[names[count - 1]!, names[count - 1]!]];
  const start = performance.now();
  for (const given of [chain, chain.toReversed()]) {
    assertEquals(orderedTopology("nodes", given, last).inputs.size, count);
    assertEquals(orderedTopology("nodes", given, all).outputs.size, count);
  }
  assertEquals(orderedTopology("nodes", star, all).outputs.size, count);
  const join = [...star, ["join", names] as const];
  assertEquals(orderedTopology("nodes", join, [["join", "join"]]).inputs.size, count + 1);
  const circle = chain.map(([name, reads]) => [name, name === "n0" ? ["n99999"] : reads] as const);
  assertThrows(() => orderedTopology("nodes", circle, last), RangeError, "circle");
  assertThrows(
    () => orderedTopology("nodes", star, last),
    RangeError,
    "nodes.n0: expected a module",
  );
  const seconds = (performance.now() - start) / 1000;
  // A second here; where the work grows with the square of the modules, minutes.
  assert(seconds < 20, `${seconds} s`);
});
