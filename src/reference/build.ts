/**
 * From quantized modules to the reference graph.
 *
 * @module
 */
import { INPUT, readersOf, type Topology } from "../core/topology.ts";
import type { QuantizedModule } from "../modules/kind.ts";
import { kindOf } from "../modules/kinds.ts";
import { type GraphNode, ReferenceBuilder, type ReferenceValue } from "../modules/reference.ts";

/** The reference graph's nodes for a model. */
export function buildGraph(
  modules: ReadonlyMap<string, QuantizedModule>,
  topology: Topology,
): readonly GraphNode[] {
  const builder = new ReferenceBuilder();
  const [reader] = readersOf(topology).get(INPUT)!;
  const ends = kindOf(reader!, modules.get(reader!)!).ends(modules.get(reader!)!);
  const width = ends.inputs[0]!.size;
  const input = builder.add({
    name: INPUT,
    op: "input",
    inputs: [],
    dtype: ends.tokens === undefined ? "float32" : "int32",
    width,
    module: null,
  });
  const values = new Map<string, ReferenceValue>([
    [INPUT, { float: input, integers: null, width, qparams: null }],
  ]);
  for (const [name, module] of modules) {
    const inputs = topology.inputs.get(name)!.map((read) => values.get(read)!);
    values.set(name, kindOf(name, module).reference(module, name, inputs, builder));
  }
  const one = topology.outputs.size === 1;
  const taken = new Set(builder.nodes.map(({ name }) => name));
  for (const [name, module] of topology.outputs) {
    const { float, width } = values.get(module)!;
    let node = one ? "output" : `output.${name}`;
    // A module may have this name.
    while (taken.has(node)) node = `output.${node}`;
    taken.add(node);
    builder.add({
      name: node,
      op: "output",
      inputs: [float],
      dtype: "float32",
      width,
      module: null,
    });
  }
  return builder.finish();
}
