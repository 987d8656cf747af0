/**
 * Masks of float models: which steps a model's caller leaves out.
 *
 * @module
 */
import type { Mask } from "../core/mask.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkFlow, type FloatModel, Graph, type GraphChild } from "./graph.ts";
import { kindOf } from "./kinds.ts";

/**
 * A model's mask; null where it masks no steps.
 *
 * Before the first step that is used, recurrent modules have given nothing but hidden states of
 * zeros: what other modules make of these is a row that each weight of the model determines, and no
 * input.
 */
export function maskOf(model: FloatModel): Mask | null {
  const { modules, topology, maskValue } = model;
  if (maskValue === null) return null;
  const shapes = checkFlow(model);
  // Values whose masked steps repeat the row before them, with their row before the first one.
  const before = new Map<string, Tensor>();
  for (const [name, module] of modules) {
    const kind = kindOf(name, module);
    const reads = topology.inputs.get(name)!;
    if (kind.givesHidden?.(module) === 1) {
      const size = shapes.get(name)!.size!;
      before.set(name, { data: new Float32Array(size), shape: [1, 1, size] });
    } else if (kind.time === "row" && reads.every((read) => before.has(read))) {
      const call = { lengths: null, state: undefined };
      const row = kind.forward(module, reads.map((read) => before.get(read)!), call) as Tensor;
      if (row.data.every(Number.isFinite)) before.set(name, row);
    }
  }
  return {
    value: maskValue,
    before: Array.from(topology.outputs.values(), (name) => before.get(name)?.data ?? null),
  };
}

/** The same modules with another mask, or null for none. */
export function withMaskValue(model: Graph, maskValue: number | null): Graph {
  if (model.maskValue === maskValue) return model;
  const children = [...model.children].map(([name, module]): [string, GraphChild] => [
    name,
    { module, inputs: model.topology.inputs.get(name)! },
  ]);
  const outputs = [...model.topology.outputs.keys()];
  return new Graph(Object.fromEntries(children), {
    outputs,
    ...maskValue !== null && { maskValue },
  });
}
